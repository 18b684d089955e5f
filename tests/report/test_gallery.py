import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detection.evaluation import DiagnosisSettings, IntervalSettings, diagnose, difference, evaluate
from detection.report import Comparison, ReportSettings
from detection.report.gallery import crop_proposal, crops, picks
from detection.types import Detections

AMPLE = 10**8


def grouped(chosen):
    found = {}
    for pick in chosen:
        found.setdefault((pick.label, pick.group), []).append(pick)
    return found


def test_the_highest_scoring_of_each_kind_come_first(make_run):
    run = make_run(["cat", "dog"])
    groups = grouped(picks(run, None, ReportSettings(pictures=4)))
    assert {group for _, group in groups} == {"found", "false", "missed"}
    for (label, group), own in groups.items():
        assert len(own) <= 4
        if group != "missed":
            kinds = ("correct",) if group == "found" else ("localisation", "similar", "other", "background")
            cases = [case for case in run.diagnosis.cases(label, kinds, 4) if case.score >= -0.75]
            assert [pick.found for pick in own] == [case.box for case in cases]
            assert own[0].title.startswith(run.classes[label])


def test_words_say_type_object_and_cause(make_run):
    run = make_run(["cat", "dog", "cow"])
    chosen = picks(run, None, ReportSettings(pictures=20))
    false = [pick.text for pick in chosen if pick.group == "false"]
    starts = {"localisation: ", "similar class: ", "other class: ", "background: "}
    assert all(any(text.startswith(start) for start in starts) for text in false)
    assert any("IoU 0." in text for text in false)
    missed = [pick.text for pick in chosen if pick.group == "missed"]
    assert missed
    assert {text.split(":")[0].split(" (")[0] for text in missed} == {"no proposal", "scored low"}
    assert all("%" in pick.title for pick in chosen if pick.group != "missed")


@pytest.mark.parametrize(("similar", "kind"), [((("cat", "dog"),), "similar class"), ((), "other class")])
def test_every_kind_in_words(make_run, similar, kind):
    run = make_run(["cat", "dog"])
    cat, dog = [0, 0, 40, 40], [50, 0, 90, 40]
    image = replace(run.images[0], boxes=np.float32([cat, dog]), labels=np.array([0, 1]), difficult=np.zeros(2, bool))
    boxes = np.float32([cat, cat, [0, 0, 40, 16], dog, [0, 0, 10, 8], [95, 60, 110, 80]])
    found = Detections(image.image_id, boxes, np.linspace(0.9, 0.4, 6, dtype=np.float32), np.zeros(6, np.int64))
    evaluation = evaluate([found], [image], run.classes)
    diagnosis = diagnose(evaluation, [image], DiagnosisSettings(similar=similar))
    run = replace(run, images=[image], evaluation=evaluation, diagnosis=diagnosis)
    chosen = [one for one in picks(run, None, ReportSettings(pictures=10)) if one.group != "missed"]
    assert {(one.text, one.truth_label, one.truth_class) for one in chosen} == {
        ("IoU 1.00", "", 0),
        ("localisation: found before by one of higher score (cat, IoU 1.00)", "", 0),
        ("localisation: cat, IoU 0.40", "", 0),
        (f"{kind}: dog, IoU 1.00", "dog", 1),
        ("background: nearest object is a cat, IoU 0.05", "", 0),
        ("background: overlaps no object", "", 0),
    }


def test_missed_objects_whose_proposals_were_not_looked_at_in_words(make_run):
    """One has a detection of its class, of IoU 0.40 and below the threshold; the other has none."""
    run = make_run(["cat", "dog"])
    boxes = np.float32([[0, 0, 40, 40], [50, 0, 90, 40]])
    image = replace(run.images[0], boxes=boxes, labels=np.array([0, 1]), difficult=np.zeros(2, bool))
    found = Detections(image.image_id, np.float32([[0, 0, 40, 16]]), np.float32([-2]), np.zeros(1, np.int64))
    evaluation = evaluate([found], [image], run.classes)
    run = replace(run, images=[image], evaluation=evaluation, diagnosis=diagnose(evaluation, [image]))
    missed = [one for one in picks(run, None, ReportSettings(pictures=10)) if one.group == "missed"]
    assert [(one.text, one.found, one.found_label) for one in missed] == [
        ("nearest detection: IoU 0.40, 12%", (0, 0, 40, 16), "12%"),
        ("no detection of its class overlaps it", None, ""),
    ]


def test_first_ones_of_all_classes_before_second_ones_of_any(make_run):
    run = make_run(["cat", "dog", "cow"])
    groups = grouped(picks(run, None, ReportSettings(pictures=3)))
    assert any(len(own) > 1 for own in groups.values())
    chosen = picks(run, None, ReportSettings(pictures=3, max_pictures=len(groups)))
    assert {key: len(own) for key, own in grouped(chosen).items()} == dict.fromkeys(groups, 1)


def shown_objects(run):
    """(image, box) of the objects that a detection above its threshold found."""
    found = [(run.found_objects(i), one.found) for i, one in enumerate(run.evaluation.per_class)]
    return {(int(of.images[i]), tuple(of.boxes[i].tolist())) for own, of in found for i in np.flatnonzero(own)}


def test_missed_are_the_objects_without_a_shown_detection(make_run):
    run = make_run(["cat", "dog"])
    chosen = picks(run, None, ReportSettings(pictures=50))
    missed = {(pick.image, pick.truth) for pick in chosen if pick.group == "missed"}
    everything = {(i, tuple(box)) for i, image in enumerate(run.images) for box in image.boxes.tolist()}
    assert missed == everything - shown_objects(run)
    assert len(missed) == run.shown.missed.sum()
    # One whose box is below the threshold says so, and shows it.
    low = [pick for pick in chosen if pick.group == "missed" and pick.text.startswith("scored low (")]
    assert low
    assert all(pick.found is not None and pick.found_label.endswith("%") and "IoU" in pick.text for pick in low)


def test_what_one_of_two_runs_found_alone(make_run):
    first, second = make_run(["cat", "dog"], seed=0), make_run(["cat", "dog"], seed=1)
    change = difference(first.evaluation, second.evaluation, IntervalSettings(0))
    chosen = picks(first, Comparison(second, change), ReportSettings(pictures=50))
    for group, finder, misser in (("gained", first, second), ("lost", second, first)):
        found = {(pick.image, pick.truth) for pick in chosen if pick.group == group}
        assert found == shown_objects(finder) - shown_objects(misser)
        assert found


def test_pictures_are_jpegs_of_the_size_told(make_run):
    made = crops(make_run(["cat", "dog", "cow"]), None, ReportSettings(pictures=2, picture_side=100), AMPLE)
    assert len(made) > 10
    for one in made:
        image = Image.open(io.BytesIO(one.data))
        assert image.format == "JPEG"
        assert image.size == (one.width, one.height)
        assert max(image.size) <= 100
        assert one.source.startswith("data:image/jpeg;base64,")
        assert one.alt.endswith(f"image {one.pick.image_id}")


def test_the_budget_is_kept(make_run):
    run, settings = make_run(["cat", "dog"]), ReportSettings(pictures=6)
    everything = crops(run, None, settings, AMPLE)
    sizes = [len(one.source) for one in everything]
    budget = sum(sizes) // 2
    kept = crops(run, None, settings, budget)
    assert 0 < len(kept) < len(everything)
    assert sum(len(one.source) for one in kept) <= budget
    assert [one.data for one in kept] == [one.data for one in everything[: len(kept)]]
    assert crops(run, None, settings, 0) == []


def test_an_image_that_cannot_be_read_is_left_out(make_run, tmp_path):
    run = make_run(["cat"])
    gone = [replace(one, path=tmp_path / "gone.jpg") if i == 0 else one for i, one in enumerate(run.images)]
    settings = ReportSettings(pictures=50)
    shown = crops(replace(run, images=gone), None, settings, AMPLE)
    everything = crops(run, None, settings, AMPLE)
    assert {one.pick.image_id for one in shown} == {one.pick.image_id for one in everything} - {"image 0"}


def test_boxes_are_drawn_where_they_are(make_run):
    """The detection's colour lies around the object in the crop."""
    run = make_run(["cat"])
    one = next(one for one in crops(run, None, ReportSettings(pictures=1), AMPLE) if one.pick.group == "found")
    pixels = np.array(Image.open(io.BytesIO(one.data)).convert("RGB")).astype(int)
    near = np.abs(pixels - [230, 159, 0]).max(axis=2) < 60
    rows, columns = np.nonzero(near)
    assert np.ptp(rows) > 0.4 * one.height
    assert np.ptp(columns) > 0.4 * one.width


def test_crop_by_hand():
    # 40 wide, 20 high, in the middle: 24 px around, and 10 more above and below to make it square.
    assert crop_proposal([(100, 100, 140, 120)], (500, 500)) == (76, 66, 164, 154)
    assert crop_proposal([(0, 0, 10, 10), (90, 90, 100, 100)], (100, 100)) == (0, 0, 100, 100)


@given(st.data())
def test_a_crop_is_inside_and_holds_the_boxes(data):
    height, width = data.draw(st.integers(1, 3000)), data.draw(st.integers(1, 3000))
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = (x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height)))
    left, top, right, bottom = crop_proposal([box], (height, width))
    assert 0 <= left <= box[0]
    assert 0 <= top <= box[1]
    assert box[2] <= right <= width
    assert box[3] <= bottom <= height


def test_missed_objects_come_by_their_size_the_largest_first(make_run):
    groups = grouped(picks(make_run(["cat", "dog"]), None, ReportSettings(pictures=50)))
    for label in (0, 1):
        for cause in ("no proposal", "scored low"):
            truths = [pick.truth for pick in groups[label, "missed"] if pick.text.startswith(cause)]
            sizes = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in truths]
            assert sizes
            assert sizes == sorted(sizes, reverse=True)
