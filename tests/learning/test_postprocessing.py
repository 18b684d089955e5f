import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.geometry import iou
from detection.learning import NMSOutcome, PostprocessSettings, nms_outcome, postprocess, suppressed
from detection.types import RegionScores

SIZE = (100, 120)


def make_scores(proposals, classes, seed=0, spread=120):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-20, spread, (proposals, classes, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(-3, 60, (proposals, classes, 2))], axis=2)
    scores = rng.integers(-40, 40, (proposals, classes)) / 8
    return RegionScores("img", boxes.astype(np.float32), scores.astype(np.float32))


def reference(record, size, nms_iou, max_per_class, min_score):
    """Box by box, from the definition."""
    found = []
    for c in range(record.scores.shape[1]):
        kept = []
        for r in sorted(range(len(record.scores)), key=lambda r, c=c: (-record.scores[r, c], r)):
            x1, y1, x2, y2 = (float(v) for v in record.boxes[r, c])
            box = (
                min(max(x1, 0), size[1]),
                min(max(y1, 0), size[0]),
                min(max(x2, 0), size[1]),
                min(max(y2, 0), size[0]),
            )
            score = float(record.scores[r, c])
            empty = box[2] <= box[0] or box[3] <= box[1]
            if empty or not np.isfinite(score) or (min_score is not None and score < min_score):
                continue
            if len(kept) < max_per_class and all(iou([box], [other])[0, 0] <= nms_iou for other, _, _ in kept):
                kept.append((box, score, c))
        found += kept
    return sorted(found, key=lambda item: -item[1])


def test_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [-50, 0, 5, 10], [130, 0, 140, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([[1, 5], [2, 4], [3, -np.inf], [9, 9], [-4, 3]], np.float32)
    found = postprocess(RegionScores("img", np.repeat(boxes[:, None], 2, axis=1), scores), SIZE)
    assert found.image_id == "img"
    assert list(zip(found.scores.tolist(), found.labels.tolist(), strict=True)) == [(5, 1), (3, 0), (3, 1), (-4, 0)]
    assert found.boxes.tolist() == [[0, 0, 10, 10], [0, 0, 5, 10], [50, 50, 60, 60], [50, 50, 60, 60]]


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 3), st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    st.integers(1, 6), st.sampled_from([None, -1.0, 2.0]),
)  # fmt: skip
def test_against_the_definition(seed, proposals, classes, nms_iou, max_per_class, min_score):
    record = make_scores(proposals, classes, seed)
    found = postprocess(record, SIZE, PostprocessSettings(nms_iou, max_per_class, min_score))
    expected = reference(record, SIZE, nms_iou, max_per_class, min_score)
    assert [
        (tuple(b), s, c) for b, s, c in zip(found.boxes.tolist(), found.scores.tolist(), found.labels, strict=True)
    ] == [(tuple(np.float32(b).tolist()), s, c) for b, s, c in expected]


def test_more_boxes_are_looked_at_while_too_few_survive():
    record = make_scores(600, 2, spread=30)
    one_by_one = reference(record, SIZE, 0.5, 12, None)
    found = postprocess(record, SIZE, PostprocessSettings(nms_iou=0.5, max_per_class=12))
    assert found.scores.tolist() == [score for _, score, _ in one_by_one]
    assert len(found.scores) == 24


def test_untrained_classes_give_nothing():
    record = make_scores(30, 2)
    record.scores[:, 1] = -np.inf
    assert set(postprocess(record, SIZE).labels.tolist()) == {0}


def test_the_record_is_left_alone():
    record = make_scores(30, 2)
    before = record.boxes.copy(), record.scores.copy()
    postprocess(record, SIZE)
    assert (record.boxes == before[0]).all()
    assert (record.scores == before[1]).all()


@pytest.mark.parametrize(("proposals", "classes"), [(0, 0), (0, 3), (5, 0)])
def test_nothing(proposals, classes):
    found = postprocess(make_scores(proposals, classes), SIZE)
    assert found.boxes.shape == (0, 4)
    assert found.labels.dtype == np.int64


@pytest.mark.parametrize("change", [{"nms_iou": 1.5}, {"max_per_class": 0}])
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=f"postprocess.{next(iter(change))}: expected"):
        PostprocessSettings(**change)


def test_the_outcome_of_each_proposal_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [130, 0, 140, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([[2], [1], [3], [9], [-4]], np.float32)
    record = RegionScores("img", boxes[:, None], scores)
    strict = PostprocessSettings(max_per_class=1, min_score=-2)
    outcomes = [nms_outcome(record, SIZE, row, 0, strict) for row in range(5)]
    assert [one.outcome for one in outcomes] == ["over max_per_class", "suppressed", "kept", "dropped", "dropped"]
    assert outcomes[1] == NMSOutcome("suppressed", None, 0, 0.9)
    assert outcomes[2] == NMSOutcome("kept", 1)
    assert outcomes[0].rank == 2


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(0, 99), st.integers(1, 5))
def test_outcomes_agree_with_the_detections(proposals, seed, most):
    record = make_scores(proposals, 2, seed, spread=60)
    chosen = PostprocessSettings(max_per_class=most, min_score=-3.0)
    found = postprocess(record, SIZE, chosen)
    for label in (0, 1):
        outcomes = [nms_outcome(record, SIZE, row, label, chosen) for row in range(proposals)]
        kept = sorted((one.rank, row) for row, one in enumerate(outcomes) if one.outcome == "kept")
        mine = found.labels == label
        assert [rank for rank, _ in kept] == list(range(1, mine.sum() + 1))
        assert [float(record.scores[row, label]) for _, row in kept] == found.scores[mine].tolist()
        for row, one in enumerate(outcomes):
            if one.outcome == "suppressed":
                assert one.overlap > chosen.nms_iou - 1e-6
                assert outcomes[one.by].outcome in ("kept", "over max_per_class")
                assert record.scores[one.by, label] >= record.scores[row, label]


def test_suppressed_proposals_are_those_that_postprocess_drops():
    record, settings = make_scores(60, 3), PostprocessSettings(max_per_class=5, min_score=-0.5)
    kept = suppressed(record, (100, 100), settings)
    assert kept.boxes is record.boxes
    finite = np.isfinite(kept.scores)
    assert (kept.scores[finite] == record.scores[finite]).all()
    found = postprocess(record, (100, 100), settings)
    assert sorted(found.scores.tolist()) == sorted(record.scores[finite].tolist())
    again = postprocess(kept, (100, 100), settings)
    assert again.boxes.tolist() == found.boxes.tolist()


def test_a_score_at_the_least_counts_and_one_below_does_not():
    below = np.nextafter(np.float32(-1), np.float32(-2))
    boxes = np.float32([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])[:, None]
    record = RegionScores("img", boxes, np.array([[-0.5], [-1], [below]], np.float32))
    assert postprocess(record, SIZE, PostprocessSettings(min_score=-1.0)).scores.tolist() == [-0.5, -1]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_box_that_is_wanted_may_lie_anywhere_in_the_order(most):
    """All boxes are one but for one, which is found wherever it lies: none is passed over between two looks."""
    for place in range(60):
        boxes = np.tile(np.float32([0, 0, 10, 10]), (60, 1))
        boxes[place] = (50, 50, 60, 60)
        record = RegionScores("img", boxes[:, None], np.arange(60, 0, -1, dtype=np.float32)[:, None])
        found = postprocess(record, SIZE, PostprocessSettings(max_per_class=most))
        assert found.scores.tolist() == [60, 60 - max(place, 1)][:most]
