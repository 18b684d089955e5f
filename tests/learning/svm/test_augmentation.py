import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detection.geometry import iou
from detection.learning import SVMSettings, jittered_boxes


@given(st.integers(0, 1000), st.sampled_from([0.5, 0.7, 0.9]), st.integers(0, 4))
def test_boxes_beside(seed, least, count):
    boxes = np.array([[0, 0, 50, 40], [20, 30, 90, 99.5], [3, 3, 4, 5]], np.float32)
    moved, owners = jittered_boxes(boxes, (100, 120), count, least, seed, "img")
    assert moved.dtype == np.float32
    assert owners.tolist() == [i for i in range(3) for _ in range(count)]
    for box, owner in zip(moved, owners, strict=True):
        assert iou(box[None], boxes[owner][None])[0, 0] >= least
        assert 0 <= box[0] < box[2] <= 120
        assert 0 <= box[1] < box[3] <= 100


def test_seed_and_image_decide():
    boxes = np.array([[10, 10, 60, 50]], np.float32)
    first, _ = jittered_boxes(boxes, (100, 120), 4, 0.7, 3, "a")
    assert (jittered_boxes(boxes, (100, 120), 4, 0.7, 3, "a")[0] == first).all()
    assert (jittered_boxes(boxes, (100, 120), 4, 0.7, 3, "b")[0] != first).any()
    assert (jittered_boxes(boxes, (100, 120), 4, 0.7, 4, "a")[0] != first).any()
    assert len(np.unique(first, axis=0)) == 4


def test_no_box():
    moved, owners = jittered_boxes(np.zeros((0, 4), np.float32), (10, 10), 3, 0.8, 0, "a")
    assert moved.shape == (0, 4)
    assert owners.shape == (0,)


def test_settings():
    assert SVMSettings().extra_positives is None
    extra = SVMSettings(mirrored_positives=True, jittered_positives=2).extra_positives
    assert (extra.mirrored, extra.jittered, extra.jitter_iou, extra.difficult) == (True, 2, 0.8, True)
