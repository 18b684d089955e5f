import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from detection.types import (
    AnnotatedImage,
    Detections,
    FeaturePyramid,
    Proposals,
    RegionFeatures,
    RegionScores,
    check_array,
)

BOXES = np.array([[1, 2, 5, 9], [0, 0, 20, 10]], dtype=np.float32)
EMPTY = np.zeros((0, 4), np.float32)
NO_AREA = np.array([[1, 2, 5, 9], [3, 3, 3, 8]], dtype=np.float32)
INVERTED = np.array([[1, 2, 5, 9], [3, 8, 6, 3]], dtype=np.float32)
LEFT = np.array([[-1, 2, 5, 9], [0, 0, 20, 10]], dtype=np.float32)
RIGHT = np.array([[1, 2, 5, 9], [0, 0, 20.5, 10]], dtype=np.float32)
LOW = np.array([[1, 2, 5, 9], [0, 0, 20, 10.5]], dtype=np.float32)
NAN = np.array([[1, 2, 5, 9], [0, 0, np.nan, 10]], dtype=np.float32)

# (height, width) = (10, 20): a mix-up of the two would refuse BOXES.
VALID = {
    AnnotatedImage: {
        "image_id": "dir/img 1",
        "path": Path("img 1.jpg"),
        "size": (10, 20),
        "boxes": BOXES,
        "labels": np.array([3, 0]),
        "difficult": np.array([False, True]),
    },
    Proposals: {"image_id": "dir/img 1", "size": (10, 20), "boxes": BOXES, "source": "selective_search/fast"},
    FeaturePyramid: {
        "image_id": "dir/img 1",
        "size": (10, 20),
        "maps": (
            (np.zeros((3, 2, 4), np.float16), np.zeros((5, 1, 2), np.float16)),
            (np.zeros((3, 4, 8), np.float16), np.zeros((5, 2, 4), np.float16)),
        ),
        "scales": np.array([1.0, 2.0]),
        "strides": np.array([16, 32]),
        "offsets": np.array([[15.5, 15.5], [31.5, 31.5]]),
    },
    RegionFeatures: {
        "image_id": "dir/img 1",
        "boxes": BOXES,
        "values": np.zeros((2, 7), np.float32),
        "layer": "pool5",
    },
    RegionScores: {
        "image_id": "dir/img 1",
        "boxes": np.zeros((2, 3, 4), np.float32),
        "scores": np.zeros((2, 3), np.float32),
    },
    Detections: {
        "image_id": "dir/img 1",
        "boxes": BOXES,
        "scores": np.array([0.5, 0.5], np.float32),
        "labels": np.array([1, 0]),
    },
}

NOTHING = {
    AnnotatedImage: {"boxes": EMPTY, "labels": np.zeros(0, np.int64), "difficult": np.zeros(0, bool)},
    Proposals: {"boxes": EMPTY},
    FeaturePyramid: {"maps": (), "scales": np.zeros(0)},
    RegionFeatures: {"boxes": EMPTY, "values": np.zeros((0, 7), np.float32)},
    RegionScores: {"boxes": np.zeros((0, 3, 4), np.float32), "scores": np.zeros((0, 3), np.float32)},
    Detections: {"boxes": EMPTY, "scores": np.zeros(0, np.float32), "labels": np.zeros(0, np.int64)},
}

BAD_SIZES = [
    ({"size": (10, 0)}, r"size .* got \(10, 0\)"),
    ({"size": (10.0, 20)}, r"size .* got \(10.0, 20\)"),
    ({"size": (10, 20, 3)}, r"size .* got \(10, 20, 3\)"),
]
BAD_BOXES = [
    ({"boxes": BOXES.astype(np.float64)}, r"expected float32 of shape \(any, 4\), got float64"),
    ({"boxes": BOXES.astype(np.int64)}, "expected float32 .* got int64"),
    ({"boxes": BOXES[:, :3]}, r"expected float32 of shape \(any, 4\), got float32 of shape \(2, 3\)"),
    ({"boxes": BOXES[0]}, r"got float32 of shape \(4,\)"),
    ({"boxes": BOXES.tolist()}, "expected float32 .* got list"),
    ({"boxes": np.zeros(0, np.float32)}, r"got float32 of shape \(0,\)"),
]
NO_AREA_BOXES = [
    ({"boxes": NO_AREA}, r"expected x1 < x2 and y1 < y2, got \[3.0, 3.0, 3.0, 8.0\] in row 1 \(1 such rows\)"),
    ({"boxes": INVERTED}, "expected x1 < x2 and y1 < y2, got .* in row 1"),
    ({"boxes": NAN}, "expected x1 < x2 and y1 < y2, got .*nan.* in row 1"),
]
OUTSIDE = [
    ({"boxes": LEFT}, r"expected boxes inside \(height, width\) = \(10, 20\), got .* in row 0"),
    ({"boxes": RIGHT}, r"expected boxes inside .* got \[0.0, 0.0, 20.5, 10.0\] in row 1"),
    ({"boxes": LOW}, r"expected boxes inside .* got \[0.0, 0.0, 20.0, 10.5\] in row 1"),
]
MAPS = VALID[FeaturePyramid]["maps"]
OTHER_SIDE = FeaturePyramid(**{**VALID[FeaturePyramid], "size": (20, 10)})

FAULTS = {
    AnnotatedImage: [
        *BAD_SIZES,
        *BAD_BOXES,
        *NO_AREA_BOXES,
        *OUTSIDE,
        ({"labels": np.array([0])}, r"labels .* expected int64 of shape \(2\), got int64 of shape \(1,\)"),
        ({"labels": np.array([0, 1], np.int32)}, "labels .* expected int64 .* got int32"),
        ({"labels": np.array([0, -1])}, "labels .* expected >= 0, got -1"),
        ({"difficult": np.array([0, 1])}, "difficult .* expected bool .* got int64"),
        ({"difficult": np.array([True])}, r"difficult .* of shape \(2\), got bool of shape \(1,\)"),
    ],
    Proposals: [*BAD_SIZES, *BAD_BOXES, *NO_AREA_BOXES, *OUTSIDE],
    FeaturePyramid: [
        *BAD_SIZES,
        ({"scales": np.array([1.0])}, r"scales .* expected float64 of shape \(2\), got float64 of shape \(1,\)"),
        ({"scales": np.array([1.0, 2.0], np.float32)}, "scales .* expected float64 .* got float32"),
        ({"strides": np.array([16.0, 32.0])}, "strides .* expected int64 .* got float64"),
        ({"offsets": np.zeros(2)}, r"offsets .* of shape \(2, 2\), got float64 of shape \(2,\)"),
        ({"offsets": np.zeros((1, 2))}, r"offsets .* of shape \(2, 2\), got float64 of shape \(1, 2\)"),
        ({"maps": (MAPS[0], MAPS[1][:1])}, "scale 1: expected 2 stages, got 1"),
        ({"mirrored": OTHER_SIDE}, r"mirrored maps, image 'dir/img 1': expected \(10, 20\), got \(20, 10\)"),
        (
            {"maps": (MAPS[0], (MAPS[1][0], np.zeros((5, 2), np.float16)))},
            r"scale 1, stage 1: .* got float16 of shape \(5, 2\)",
        ),
        (
            {"maps": (MAPS[0], (MAPS[1][0], np.zeros((5, 0, 2), np.float16)))},
            r"all > 0, got float16 of shape \(5, 0, 2\)",
        ),
        ({"maps": (MAPS[0], (MAPS[1][0], np.zeros((5, 2, 2))))}, "scale 1, stage 1: .* got float64"),
    ],
    RegionFeatures: [
        *BAD_BOXES,
        ({"values": np.zeros((1, 7), np.float32)}, r"features .* expected float32 of shape \(2, any\), got .*\(1, 7\)"),
        ({"values": np.zeros((2, 7))}, "features .* expected float32 .* got float64"),
        ({"layer": "conv5"}, "layer .* expected one of pool5, fc6, fc7, got 'conv5'"),
        ({"rows": np.array([0, 2])}, r"rows of features .* expected 0 \.\. 1, got 0 \.\. 2"),
        ({"rows": np.array([-1, 1])}, r"rows of features .* expected 0 \.\. 1, got -1 \.\. 1"),
        (
            {"rows": np.array([0, 1, 1])},
            r"rows of features .* expected int64 of shape \(2\), got int64 of shape \(3,\)",
        ),
    ],
    RegionScores: [
        ({"scores": np.zeros((2, 4), np.float32)}, r"boxes .* of shape \(2, 4, 4\), got float32 of shape \(2, 3, 4\)"),
        ({"scores": np.zeros((2, 3))}, "scores .* expected float32 .* got float64"),
        ({"scores": np.zeros(2, np.float32)}, r"scores .* got float32 of shape \(2,\)"),
        ({"boxes": np.zeros((2, 4), np.float32)}, r"boxes .* of shape \(2, 3, 4\), got float32 of shape \(2, 4\)"),
    ],
    Detections: [
        *BAD_BOXES,
        *NO_AREA_BOXES,
        ({"scores": np.array([0.1, 0.5], np.float32)}, "expected falling scores, got 0.1.* before 0.5 in row 0"),
        ({"scores": np.array([0.5], np.float32)}, r"scores .* of shape \(2\), got float32 of shape \(1,\)"),
        ({"scores": np.array([0.5, 0.1])}, "scores .* expected float32 .* got float64"),
        ({"labels": np.array([1.0, 0.0])}, "labels .* expected int64 .* got float64"),
        ({"labels": np.array([1, -2])}, "labels .* expected >= 0, got -2"),
        ({"labels": np.array([[1], [0]])}, r"labels .* of shape \(2\), got int64 of shape \(2, 1\)"),
    ],
}


@pytest.mark.parametrize("record", VALID, ids=lambda record: record.__name__)
def test_a_sound_record_is_taken_as_it_is(record):
    made = record(**VALID[record])
    for key, value in VALID[record].items():
        assert getattr(made, key) is value


def test_proposals_may_share_a_vector():
    shared = {**VALID[RegionFeatures], "values": np.zeros((1, 7), np.float32), "rows": np.array([0, 0])}
    assert RegionFeatures(**shared).rows.tolist() == [0, 0]


@pytest.mark.parametrize("record", VALID, ids=lambda record: record.__name__)
def test_records_are_frozen(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        record(**VALID[record]).image_id = "other"


@pytest.mark.parametrize("record", VALID, ids=lambda record: record.__name__)
def test_nothing_is_legal(record):
    record(**{**VALID[record], **NOTHING[record]})


@pytest.mark.parametrize(
    ("record", "change", "message"),
    [(record, change, message) for record, faults in FAULTS.items() for change, message in faults],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_fault_is_refused_with_image_expected_and_got(record, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        record(**{**VALID[record], **change})
    assert "image 'dir/img 1'" in str(caught.value)
    assert "expected" in str(caught.value)


def test_boxes_may_touch_the_borders():
    whole = np.array([[0, 0, 20, 10]], np.float32)
    Proposals("a", (10, 20), whole, "given")


def test_scored_boxes_may_be_empty_or_outside():
    boxes = np.array([[[5, 5, 5, 5], [-9, -9, 99, 99]]], np.float32)
    RegionScores("a", boxes, np.zeros((1, 2), np.float32))


def test_equal_scores_are_falling():
    Detections("a", BOXES, np.ones(2, np.float32), np.zeros(2, np.int64))


@pytest.mark.parametrize("wrong", [[0.5], [0.5, 1.5], [0.5, np.nan]])
def test_probabilities_are_checked(wrong):
    with pytest.raises(ValueError, match="probabilities of image 'a': expected"):
        Detections("a", BOXES, np.ones(2, np.float32), np.zeros(2, np.int64), np.array(wrong))


def test_some_of_the_detections():
    ours = Detections("a", BOXES, np.float32([2, 1]), np.array([1, 0]), np.array([0.9, 0.2]))
    one = ours.chosen(np.array([False, True]))
    assert (one.image_id, one.boxes.tolist()) == ("a", BOXES[1:].tolist())
    assert (one.scores.tolist(), one.labels.tolist(), one.probabilities.tolist()) == ([1], [0], [0.2])
    assert dataclasses.replace(ours, probabilities=None).chosen(np.array([0])).probabilities is None


def test_a_tensor_is_checked_by_its_attributes():
    class Tensor:
        dtype = "torch.float16"
        shape = (3, 4)

    check_array(Tensor(), "float16", (3, None), "map", "a")
    with pytest.raises(ValueError, match=r"map of image 'a': expected float32 of shape \(3, any\), got float16"):
        check_array(Tensor(), "float32", (3, None), "map", "a")


def test_supervision_and_back():
    supervision = pytest.importorskip("supervision")
    scores = np.array([0.5, -0.25], np.float32)
    ours = Detections("a", BOXES, scores, np.array([1, 0]))
    theirs = ours.to_supervision(["cat", "dog"])
    assert isinstance(theirs, supervision.Detections)
    assert np.array_equal(theirs.xyxy, BOXES)
    assert theirs.confidence.tolist() == [0.5, -0.25]
    assert theirs.class_id.tolist() == [1, 0]
    assert theirs.data["class_name"].tolist() == ["dog", "cat"]
    back = Detections.from_supervision(theirs[[1, 0]], "a")
    assert all(np.array_equal(getattr(back, name), getattr(ours, name)) for name in ("boxes", "scores", "labels"))
    none = Detections("a", EMPTY, np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert len(Detections.from_supervision(none.to_supervision(), "a").boxes) == 0
    with pytest.raises(ValueError, match="expected below 1, got 1"):
        ours.to_supervision(["cat"])
    with pytest.raises(ValueError, match="got no confidence"):
        Detections.from_supervision(supervision.Detections(xyxy=BOXES), "a")
    scene = np.zeros((40, 60, 3), np.uint8)
    assert supervision.BoxAnnotator().annotate(scene, theirs).any()
    assert supervision.LabelAnnotator().annotate(scene.copy(), theirs).any()
    assert len(theirs.with_nms(0.5)) == 2
    probable = dataclasses.replace(ours, probabilities=np.array([0.75, 0.5]))
    assert probable.to_supervision().confidence.tolist() == [0.75, 0.5]


def test_without_supervision_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"sppnet\[supervision\]"):
        Detections("a", EMPTY, np.zeros(0, np.float32), np.zeros(0, np.int64)).to_supervision()
