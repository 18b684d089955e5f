import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.evaluation import ERROR_TYPES, KINDS, DiagnosisSettings, diagnose, evaluate
from detection.evaluation.errors import class_errors, similar_classes
from detection.geometry import iou
from detection.types import Detections

CLASSES = ("cat", "dog", "car")
GROUPS = DiagnosisSettings(similar=(("cat", "dog", "cow"),))
A = [0, 0, 10, 10]


def kinds_of(detections, annotations, groups=GROUPS, label=0, **flags):
    evaluation = evaluate(detections, annotations, CLASSES, **flags)
    return [KINDS[kind] for kind in class_errors(evaluation, annotations, groups)[label].kinds]


def test_every_kind_by_hand(truth, found):
    objects = [A, [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]]
    annotation = truth("a", objects, [0, 1, 2, 0], [False, False, False, True])
    boxes = [A, A, [0, 0, 10, 4], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10], [90, 90, 99, 99], [0, 0, 2, 4]]
    detections = [found("a", boxes, np.linspace(0.9, 0.2, 8))]
    assert kinds_of(detections, [annotation]) == [
        "correct", "localisation", "localisation", "similar", "other", "ignored", "background", "background",
    ]  # fmt: skip
    diagnosis = diagnose(evaluate(detections, [annotation], CLASSES), [annotation], GROUPS)
    cases = diagnosis.cases(0)
    assert [case.duplicate for case in cases] == [False, True] + [False] * 6
    assert [case.nearest and (case.nearest.row, case.nearest.label) for case in cases] == [
        (0, 0), (0, 0), (0, 0), (1, 1), (2, 2), (3, 0), None, (0, 0),
    ]  # fmt: skip
    assert cases[2].nearest.overlap == pytest.approx(0.4)
    assert cases[7].nearest.overlap == pytest.approx(0.08)
    assert cases[3].nearest.box == (20, 0, 30, 10)
    assert [case.rank for case in diagnosis.cases(0, ("similar", "other"))] == [3, 4]
    assert len(diagnosis.cases(0, ERROR_TYPES, limit=2)) == 2


def test_localisation_comes_before_similar_before_other(truth, found):
    """All three are overlapped; IoU of exactly 0.1 is enough."""
    box = [0, 0, 10, 1]
    objects = {0: A, 1: [0, 0, 10, 9], 2: [0, 0, 10, 8]}
    for labels, expected in (((0, 1, 2), "localisation"), ((1, 2), "similar"), ((2,), "other")):
        annotation = truth("a", [objects[label] for label in labels], labels)
        assert kinds_of([found("a", [box], [1])], [annotation]) == [expected]


def test_groups_are_a_parameter(truth, found):
    annotation, detections = truth("a", [A], [1]), [found("a", [A], [1])]
    assert kinds_of(detections, [annotation], DiagnosisSettings(similar=())) == ["other"]
    assert kinds_of(detections, [annotation], DiagnosisSettings()) == ["similar"]
    assert kinds_of(detections, [annotation], DiagnosisSettings(similar=(("cat", "car"), ("dog",)))) == ["other"]


def test_dropped_objects_explain_nothing(truth, found):
    annotation, detections = truth("a", [A], [1], [True]), [found("a", [A], [1])]
    assert kinds_of(detections, [annotation]) == ["similar"]
    assert kinds_of(detections, [annotation], difficult="drop") == ["background"]


def test_match_below_the_near_threshold(truth, found):
    annotation, detections = truth("a", [A]), [found("a", [[0, 0, 10, 1]], [1])]
    assert kinds_of(detections, [annotation], DiagnosisSettings(near_iou=0.4), iou_threshold=0.05) == ["correct"]


def test_groups_by_name():
    similar = similar_classes(("bird", "aeroplane", "cat"), (("aeroplane", "bird"), ("bird", "cat", "wolf")))
    assert similar.tolist() == [[False, True, True], [True, False, False], [True, False, False]]


def slow_kind(box, label, outcome_is_match, duplicate, ignored, truth):
    """Hoiem's rules one by one."""
    if ignored:
        return "ignored"
    if outcome_is_match:
        return "correct"
    overlaps = iou(box[None], truth.boxes)[0]
    own = max((o for o, t in zip(overlaps, truth.labels, strict=True) if t == label), default=0)
    alike = max((o for o, t in zip(overlaps, truth.labels, strict=True) if {t, label} == {0, 1}), default=0)
    rest = max(
        (o for o, t in zip(overlaps, truth.labels, strict=True) if t != label and {t, label} != {0, 1}), default=0
    )
    if duplicate or own >= 0.1:
        return "localisation"
    return "similar" if alike >= 0.1 else "other" if rest >= 0.1 else "background"


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_kinds_by_brute_force(random_case, seed):
    detections, annotations = random_case(seed)
    evaluation = evaluate(detections, annotations, CLASSES)
    for label, one in enumerate(class_errors(evaluation, annotations, GROUPS)):
        matches = evaluation.per_class[label].matches
        for rank, kind in enumerate(one.kinds):
            truth = annotations[matches.images[rank]]
            outcome = matches.outcomes[rank]
            expected = slow_kind(matches.boxes[rank], label, outcome == 1, outcome == 2, outcome == 3, truth)
            assert KINDS[kind] == expected
            near = one.nearest[rank]
            if near >= 0:
                assert one.overlaps[rank] == iou(matches.boxes[[rank]], truth.boxes[[near]])[0, 0] > 0
            else:
                assert KINDS[kind] == "background"


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["voc07", "voc10"]))
def test_repaired_is_what_evaluating_repaired_detections_gives(random_case, seed, metric):
    detections, annotations = random_case(seed)
    evaluation = evaluate(detections, annotations, CLASSES, metric)
    diagnosis = diagnose(evaluation, annotations, GROUPS)
    for kind in ERROR_TYPES:
        removed = evaluate(without(detections, diagnosis, kind), annotations, CLASSES, metric)
        expected = [one.ap for one in removed.per_class]
        got = [
            one.repaired and (one.localisation_removed if kind == "localisation" else one.repaired[kind])
            for one in diagnosis.per_class
        ]
        assert got == expected
    right = evaluate(put_right(detections, diagnosis), annotations, CLASSES, metric)
    assert [one.repaired and one.repaired["localisation"] for one in diagnosis.per_class] == [
        None if one.ap is None else pytest.approx(one.ap, abs=1e-12) for one in without_duplicates(right, annotations)
    ]
    means = [one.repaired["localisation"] for one in diagnosis.per_class if one.repaired]
    assert (diagnosis.repaired and diagnosis.repaired["localisation"]) == (
        pytest.approx(np.mean(means)) if means else None
    )


def rows_of(diagnosis, image_id, kind):
    """(row, case) of an image's detections of a kind."""
    for label in range(len(CLASSES)):
        for case in diagnosis.cases(label, (kind,)):
            if case.image_id == image_id:
                yield int(diagnosis.evaluation.per_class[label].matches.rows[case.rank]), case


def without(detections, diagnosis, kind):
    result = []
    for one in detections:
        gone = [row for row, _ in rows_of(diagnosis, one.image_id, kind)]
        kept = np.setdiff1d(np.arange(len(one.labels)), gone)
        result.append(Detections(one.image_id, one.boxes[kept], one.scores[kept], one.labels[kept]))
    return result


def put_right(detections, diagnosis):
    result = []
    for one in detections:
        boxes = one.boxes.copy()
        for kind in ("localisation", "correct", "ignored"):
            for row, case in rows_of(diagnosis, one.image_id, kind):
                boxes[row] = case.nearest.box
        result.append(Detections(one.image_id, boxes, one.scores, one.labels))
    return result


def without_duplicates(evaluation, annotations):
    """The classes of an evaluation whose duplicates are taken out of the detections."""
    kept = {image_id: [] for image_id in evaluation.image_ids}
    for label, one in enumerate(evaluation.per_class):
        for rank in np.flatnonzero(one.matches.outcomes != 2):
            kept[evaluation.image_ids[one.matches.images[rank]]].append(
                (one.matches.scores[rank], label, one.matches.boxes[rank])
            )
    records = []
    for image_id, rows in kept.items():
        rows.sort(key=lambda row: -row[0])
        records.append(
            Detections(
                image_id,
                np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
                np.array([row[0] for row in rows], np.float32),
                np.array([row[1] for row in rows], np.int64),
            )
        )
    return evaluate(records, annotations, CLASSES, evaluation.settings.metric).per_class


def test_shares_of_the_top_ranked(truth, found):
    """Three objects: the three highest-scoring detections that count are top-ranked."""
    objects = [A, [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]]
    annotation = truth("a", objects, difficult=[False, False, False, True])
    boxes = [[60, 0, 70, 10], A, [90, 90, 99, 99], A, [20, 0, 30, 10]]
    evaluation = evaluate([found("a", boxes, [0.9, 0.8, 0.7, 0.6, 0.5])], [annotation], CLASSES)
    one = class_errors(evaluation, [annotation], GROUPS)[0]
    assert (one.top, one.cut) == (3, pytest.approx(0.6))
    assert one.shares == {
        "correct": pytest.approx(1 / 3),
        "localisation": pytest.approx(1 / 3),
        "similar": 0,
        "other": 0,
        "background": pytest.approx(1 / 3),
    }


def test_no_detection_and_no_object(truth):
    annotation = truth("a", [A])
    one, other, _ = class_errors(evaluate([], [annotation], CLASSES), [annotation], GROUPS)
    assert (one.top, one.cut, sum(one.shares.values())) == (0, None, 0)
    assert one.repaired == dict.fromkeys(ERROR_TYPES, 0)
    assert (other.repaired, other.localisation_removed) == (None, None)
