import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from detection.evaluation import evaluate
from detection.report import ReportSettings, pictures
from detection.report.photos import Marks, marked, photos
from detection.types import Detections

AMPLE = 10**8


def by_image(run):
    marks = marked(run)
    return [marks.of(run, image) for image in range(len(run.images))]


def test_every_object_and_shown_box_is_marked_once(make_run):
    run = make_run(["cat", "dog", "cow"])
    marks = [mark for of_image in by_image(run) for mark in of_image]
    for label in range(3):
        counts = {
            kind: sum(one.kind == kind and one.label == label for one in marks) for kind in ("found", "missed", "false")
        }
        assert counts == {kind: getattr(run.shown, kind)[label] for kind in counts}
    assert all(mark.chance.endswith("%") == (mark.kind != "missed") for mark in marks)
    for image, of_image in zip(run.images, by_image(run), strict=True):
        truth = {tuple(box) for box in image.boxes.tolist()}
        assert {mark.box for mark in of_image if mark.kind == "missed"} <= truth


def test_difficult_objects_are_not_marked(make_run):
    run = make_run(["cat"])
    images = [replace(one, difficult=np.ones(3, bool)) for one in run.images]
    # Each box lies on an object exactly.
    found = [Detections(one.image_id, one.boxes, np.full(3, 2, np.float32), one.labels) for one in images]
    run = replace(run, images=images, evaluation=evaluate(found, images, ["cat"]))
    assert by_image(run) == [[]] * len(images)
    assert photos(run, ReportSettings(), AMPLE) == []


def test_the_hardest_come_first():
    found, missed, low, high = (0, 9.0), (1, -np.inf), (2, 0.5), (2, 2.0)
    images = [[found], [missed], [], [low], [high, found], [low, missed], [high], [missed, missed, missed]]
    places = np.array([place for place, of_image in enumerate(images) for _ in of_image])
    kinds, margins = (
        np.array(column) for column in zip(*(mark for of_image in images for mark in of_image), strict=True)
    )
    marks = Marks(places, kinds, np.zeros_like(places), np.zeros((len(places), 4)), margins)
    assert marks.hardest() == [7, 5, 4, 6, 3, 1, 0]


def test_photos_are_whole_and_no_more_than_asked_for(make_run):
    run = make_run(["cat", "dog"])
    made = photos(run, ReportSettings(photos=5, photo_side=96), AMPLE)
    assert [one.name for one in made] == [run.images[i].image_id for i in marked(run).hardest()[:5]]
    for one in made:
        assert Image.open(io.BytesIO(one.data)).size == (one.width, one.height) == (96, 72)
        marks = by_image(run)[run.evaluation.image_ids.index(one.name)]
        parts = [
            f"{n} {kind}" for kind in ("found", "missed", "false") if (n := sum(mark.kind == kind for mark in marks))
        ]
        assert one.counts == ", ".join(parts)
        assert one.alt.endswith(f"; image {one.name}")


def test_kinds_are_told_apart_without_their_colours(make_run, monkeypatch):
    run = make_run(["cat"])
    monkeypatch.setattr("detection.report.photos.class_colour", lambda label: (0, 0, 0))
    box = run.images[0].boxes[:1]
    drawn = []
    for score, moved in ((2.0, 0), (2.0, 45), (-9.0, 0)):
        images = [replace(run.images[0], boxes=box, labels=np.zeros(1, np.int64), difficult=np.zeros(1, bool))]
        found = [
            Detections(images[0].image_id, box + np.float32(moved), np.array([score], np.float32), images[0].labels)
        ]
        one = replace(run, images=images, evaluation=evaluate(found, images, ["cat"]))
        drawn.append(photos(one, ReportSettings(), AMPLE)[0])
    assert [one.counts for one in drawn] == ["1 found", "1 missed, 1 false", "1 missed"]
    assert len({one.data for one in drawn}) == 3


def test_in_a_crowd_the_ten_highest_scoring_have_a_label(make_run, monkeypatch):
    run, draw, layers = make_run(["cat"]), pictures.drawn, []
    monkeypatch.setattr("detection.report.photos.drawn", lambda *given: (layers.extend(given[2]), draw(*given))[1])
    boxes = np.float32([[9 * i, 0, 9 * i + 8, 8] for i in range(12)])
    images = [replace(run.images[0], boxes=boxes, labels=np.zeros(12, np.int64), difficult=np.zeros(12, bool))]
    scores = np.linspace(3, 2, 12, dtype=np.float32)
    found = [Detections(images[0].image_id, boxes, scores, images[0].labels)]
    photos(replace(run, images=images, evaluation=evaluate(found, images, ["cat"])), ReportSettings(), AMPLE)
    assert [layer.box[0] for layer in layers] == [9 * i for i in range(12)]
    assert [layer.text[:4] for layer in layers] == ["cat "] * 10 + [""] * 2


def test_the_budget_is_kept_and_what_cannot_be_read_left_out(make_run, tmp_path):
    run, settings = make_run(["cat"]), ReportSettings()
    everything = photos(run, settings, AMPLE)
    budget = sum(one.html_bytes for one in everything[:3])
    assert photos(run, settings, budget) == everything[:3]
    assert photos(run, settings, budget - 1) == everything[:2]
    first = run.evaluation.image_ids.index(everything[0].name)
    gone = [replace(one, path=tmp_path / "gone.jpg") if i == first else one for i, one in enumerate(run.images)]
    assert photos(replace(run, images=gone), settings, AMPLE) == everything[1:]


@pytest.mark.parametrize("most", [0, 1])
def test_none_are_asked_for(make_run, most):
    assert len(photos(make_run(["cat"]), ReportSettings(photos=most), AMPLE)) == most
