"""The command that simulates somebody who labels with a detector that learns."""

from pathlib import Path

import numpy as np
import pytest

from detection.data.labels import ImageObjects, LabelledObject
from detection.types import Detections

CLASSES = ("cat", "dog")


@pytest.fixture
def tool(benchmark):
    from benchmarks import labelling

    return labelling


def photo(*objects):
    found = tuple(LabelledObject(0, name, box, False) for name, box in objects)
    return ImageObjects("a", Path("a.jpg"), (100, 100), found, Path("a.jpg"))


def suggested(*rows):
    boxes = np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4)
    labels, chances = np.array([one[0] for one in rows], np.int64), np.array([one[2] for one in rows], np.float64)
    return Detections("a", boxes, chances.astype(np.float32), labels, probabilities=chances)


IMAGE = photo(("cat", (0.0, 0.0, 40.0, 40.0)), ("cat", (50.0, 50.0, 90.0, 90.0)), ("dog", (0.0, 60.0, 30.0, 90.0)))


def test_without_suggestions_all_is_drawn(tool):
    done, acts = tool.Person(0.7, 0.5, True).label(IMAGE, None, CLASSES)
    assert done == IMAGE
    assert acts == {"accepted": 0, "moved": 0, "rejected": 0, "drawn": 3}


@pytest.mark.parametrize("keeps", [True, False])
def test_what_a_person_does_with_suggestions(tool, keeps):
    found = suggested(
        (0, (0, 0, 40, 36), 0.9),  # well on the first cat
        (0, (0, 0, 40, 40), 0.8),  # on the same one again
        (0, (50, 50, 90, 76), 0.7),  # roughly on the second
        (0, (0, 60, 30, 90), 0.6),  # on the dog, as a cat
        (1, (0, 60, 30, 90), 0.4),  # not shown
    )
    done, acts = tool.Person(0.7, 0.5, keeps).label(IMAGE, found, CLASSES)
    assert acts == {"accepted": 1, "moved": 1, "rejected": 2, "drawn": 1}
    assert [one.box for one in done.objects[1:]] == [one.box for one in IMAGE.objects[1:]]
    assert done.objects[0].box == ((0, 0, 40, 36) if keeps else (0, 0, 40, 40))


def test_every_rule_on_test_images(measure, run, open_run):
    means, each = measure("labelling", f"--run={run}", "--photos=[3,6,9999]", "--seeds=1", "--pool=5")
    assert [(row["photos"], row["rule"]) for row in means[:4]] == [
        (3, "random"), (3, "uncertainty"), (3, "core-set"), (3, "both"),
    ]  # fmt: skip
    assert [row["photos"] for row in each] == [3, 6] * 4
    for row in each:
        assert row["accepted"] + row["moved"] + row["drawn"] == row["objects"] > 0
        assert 0 <= row["mAP"] <= 1
    assert all(row["drawn"] == row["objects"] for row in each if row["photos"] == 3)


def test_held_out_photos_are_not_labelled(tool, run, open_run, monkeypatch):
    asked = []
    monkeypatch.setattr(tool, "simulate", lambda *given: asked.append(given) or iter(()))
    assert list(tool.benchmark(str(run), folds=2, seeds=3, rules=("random",))) == []
    parts = [{one.image_id for one in tested} for _, _, tested, *_ in asked]
    assert parts[0] == parts[2] != parts[1]
    everything = {one.image_id for one in open_run(run).train_images}
    for (_, images, *_), tested in zip(asked, parts, strict=True):
        assert tested.isdisjoint(one.image_id for one in images)
        assert tested | {one.image_id for one in images} <= everything


def test_means(tool):
    row = {"rule": "both", "photos": 10, "objects": 4, **dict.fromkeys(tool.ACTS, 1)}
    (mean,) = tool.means([{**row, "seed": 0, "mAP": 0.2}, {**row, "seed": 1, "mAP": 0.4}])
    assert (mean["seeds"], mean["mAP"]) == (2, pytest.approx(0.3))
    assert mean["mAP_error"] == pytest.approx(np.std([0.2, 0.4], ddof=1))


def test_without_a_run_nothing_is_measured(measure, capsys, benchmark):
    assert benchmark.main(["labelling", "--out=nowhere"]) == 0
    assert "left out without --run" in capsys.readouterr().out
