import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from detection.evaluation import MissCause, diagnose, diagnosis_table, evaluate, missed_rows, score_cuts

A, B, C = [0, 0, 10, 10], [20, 0, 40, 10], [60, 0, 70, 40]
LOW = MissCause("scored low", (0, 0, 9, 9), 0.8, (0, 0, 9, 10), 0.9, -1.5)


@pytest.fixture
def three(truth, found):
    """Three objects: one found among the top-ranked, one further down, one never; and a difficult one."""
    annotation = truth(
        "a", [A, B, C, [80, 80, 90, 90]], difficult=[0, 0, 0, 1], truncated=np.array([False, True, False, False])
    )
    far = [[50, 50, 55, 55], [50, 60, 55, 65]]
    detections = [found("a", [[80, 80, 90, 90], A, *far, B], [0.9, 0.8, 0.7, 0.6, 0.5])]
    return evaluate(detections, [annotation], ["cat"]), [annotation]


def test_missed_objects_by_hand(three):
    evaluation, annotations = three
    assert missed_rows(evaluation, annotations) == {"a": [1, 2]}
    assert score_cuts(evaluation).tolist() == [pytest.approx(0.6)]
    found = diagnose(evaluation, annotations)
    low, never = found.missed
    assert (low.row, low.size, low.aspect, low.truncated) == (1, "M", "W", True)
    assert low.found_score == pytest.approx(0.5)
    assert low.best.box == (20, 0, 40, 10)
    assert low.best.kind == "correct"
    assert (never.row, never.found_score, never.best, never.cause) == (2, None, None, None)
    assert found.by_size.objects == {"XS": 0, "S": 1, "M": 1, "L": 1, "XL": 0}
    assert found.by_size.missed == {"XS": 0, "S": 0, "M": 1, "L": 1, "XL": 0}
    assert found.by_truncation.objects == {"whole": 2, "truncated": 1}
    assert found.by_truncation.missed == {"whole": 1, "truncated": 1}
    assert (found.causes, found.causes_of(0)) == (None, None)


def test_causes(three):
    evaluation, annotations = three
    none = MissCause("no proposal", None, 0.0, None, 0.0, None)
    found = diagnose(evaluation, annotations, causes={("a", 1): LOW, ("a", 2): none})
    assert [one.cause for one in found.missed] == [LOW, none]
    assert found.causes == {"no proposal": 1, "moved away": 0, "scored low": 1, "suppressed": 0}
    assert found.causes_of(0) == found.causes
    with pytest.raises(ValueError, match="cause of missed object 2 of image 'a', got none"):
        diagnose(evaluation, annotations, causes={("a", 1): LOW})


def test_other_annotations_are_refused(three, truth):
    with pytest.raises(ValueError, match="images of the evaluation"):
        diagnose(three[0], [truth("b", [A])])


def test_truncation_that_is_not_told(truth):
    annotations = [truth("a", [A])]
    assert diagnose(evaluate([], annotations, ["cat"]), annotations).by_truncation is None


def test_nothing_at_all():
    found = diagnose(evaluate([], [], ["cat"]), [])
    assert (found.mean_ap, found.repaired, found.localisation_removed, found.missed) == (None, None, None, ())
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["missed"]["count"] == 0
    assert "cat" in shown(found)


def shown(found):
    console = Console(width=200, file=io.StringIO())
    console.print(diagnosis_table(found))
    return console.file.getvalue()


def test_table_and_json_say_the_same(three):
    evaluation, annotations = three
    found = diagnose(evaluation, annotations, causes={("a", 1): LOW, ("a", 2): LOW})
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["missed"]["causes"]["scored low"] == 2
    assert value["per_class"]["cat"]["missed"] == 2
    assert value["shares"]["background"] == pytest.approx(2 / 3)
    text = shown(found)
    assert [line.split() for line in text.splitlines() if line.startswith("cat")] == [
        ["cat", "33%", "0%", "0%", "0%", "67%", "2", "3"]
    ]
    assert "truncated 1 of 1" in text
    assert "scored low" in text
    assert f"background {value['repaired']['background']:.3f}" in text


def test_coco_is_compared_with_voc10(three):
    _, annotations = three
    found = diagnose(evaluate([], annotations, ["cat"], "coco"), annotations)
    assert found.mean_ap == 0


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_missed_and_found_make_the_whole(random_case, seed):
    detections, annotations = random_case(seed)
    evaluation = evaluate(detections, annotations, ["a", "b", "c"])
    found = diagnose(evaluation, annotations)
    for label, (one, errors) in enumerate(zip(evaluation.per_class, found.per_class, strict=True)):
        correct = round(errors.shares["correct"] * max(errors.top, 1))
        assert correct + sum(miss.label == label for miss in found.missed) == one.objects
    for table in (found.by_size, found.by_aspect):
        assert sum(table.objects.values()) == sum(one.objects for one in evaluation.per_class)
        assert sum(table.missed.values()) == len(found.missed)


@pytest.mark.parametrize(("detections", "cut"), [(1, -np.inf), (2, 0.8), (3, 0.8)])
def test_the_cut_is_the_score_of_as_many_detections_as_objects(truth, found, detections, cut):
    boxes, scores = [C, [50, 50, 55, 55], [50, 60, 55, 65]], [0.9, 0.8, 0.7]
    result = evaluate([found("a", boxes[:detections], scores[:detections])], [truth("a", [A, B])], ["cat"])
    assert score_cuts(result).tolist() == pytest.approx([cut])
