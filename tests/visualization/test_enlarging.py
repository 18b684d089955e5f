import numpy as np
import pytest

from detection.types import Detections
from detection.visualization import enlarge


def detections(*boxes):
    count = len(boxes)
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections("a", array, np.ones(count, np.float32), np.zeros(count, np.int64))


@pytest.mark.parametrize("shape", [(128, 10), (375, 500), (4000, 6000)])
def test_large_images_stay(shape):
    rgb, found = np.zeros((*shape, 3), np.uint8), detections([1, 2, 3, 4])
    same, boxes = enlarge(rgb, found)
    assert same is rgb
    assert boxes is found


def test_small_images_grow_by_a_whole_factor():
    rgb = np.arange(2 * 100 * 3, dtype=np.uint8).reshape(2, 100, 3)
    large, found = enlarge(rgb, detections([10, 0.5, 20, 2]))
    assert large.shape == (4, 200, 3)
    assert (large[::2, ::2] == rgb).all()
    assert (large[1::2, 1::2] == rgb).all()
    assert found.boxes.tolist() == [[20, 1, 40, 4]]
    assert enlarge(rgb[:1, :1], detections())[0].shape == (128, 128, 3)
