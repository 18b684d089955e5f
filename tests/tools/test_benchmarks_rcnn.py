"""R-CNN-style crops to vectors against a slow, obvious one."""

import math

import numpy as np
import pytest
import torch

from detection.backbones import Backbone
from detection.features.resize import normalise
from detection.pooling import pool_map

LEVELS = (3, 2, 1)


@pytest.fixture
def rcnn(benchmark):
    import benchmarks.rcnn

    return benchmarks.rcnn


@pytest.fixture(scope="module")
def backbone():
    return Backbone.from_weights("efficientnet_lite0", (16, 32), "random", seed=1)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


def _warped(image, box, side, context):
    """Appendix A pixel by pixel: bilinear between px centres, zeros beyond the image."""
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    out = np.zeros((side, side, 3))
    for row, column in np.ndindex(side, side):
        x, y = (
            (low + high) / 2 + (place + 0.5 - side / 2) * (high - low) / (side - 2 * context) - 0.5
            for low, high, place in ((box[0], box[2], column), (box[1], box[3], row))
        )
        i, j = math.floor(y), math.floor(x)
        if -1 <= i < image.shape[0] and -1 <= j < image.shape[1]:
            square, down, right = padded[i + 1 : i + 3, j + 1 : j + 3], y - i, x - j
            upper, lower = (line[0] * (1 - right) + line[1] * right for line in square)
            out[row, column] = upper * (1 - down) + lower * down
    return out


@pytest.mark.parametrize(
    "box",
    [
        (20, 15, 60, 55),  # inside
        (0, 0, 90, 70),  # the whole photo: context beyond all sides
        (0, 30, 9, 70),  # a corner
        (80, 1, 90, 3),  # small, at the border
        (89, 69, 90, 70),  # one px
        (10.25, 20.5, 47.75, 33.125),  # no whole px
    ],
)
@pytest.mark.parametrize(("side", "context"), [(64, 0), (64, 5)])
def test_warping_equals_a_slow_one(rcnn, box, side, context):
    # Smooth, as OpenCV rounds places to 1/32 px.
    rows, columns = np.mgrid[:70, :90]
    image = np.stack([rows + columns, 2 * columns, 100 - rows], axis=2).astype(np.float32) / 10 + 5
    out = np.full((side, side, 3), np.nan, np.float32)
    rcnn.warp_proposal(image, np.array(box, np.float32), out, context)
    expected = _warped(image, box, side, context)
    # Within the image; at its border the step to 0 is as steep as a px is wide.
    error = np.abs(out - expected)
    assert np.quantile(error, 0.8) < 0.02
    assert error.max() < 0.05 * np.abs(expected).max()


def test_the_proposal_lies_within_the_context(rcnn):
    photo = np.zeros((100, 100, 3), np.float32)
    photo[40:60, 30:70] = 1
    out = np.empty((224, 224, 3), np.float32)
    rcnn.warp_proposal(photo, np.array([30, 40, 70, 60], np.float32), out)
    # A px of the photo is 4.8 px wide and 9.6 px high here, and fades over one.
    assert (out[21:203, 19:205] > 0.999).all()
    assert not out[:11].any()
    assert not out[:, :13].any()


def test_vectors_equal_crops_one_by_one(rcnn, backbone, photo):
    boxes = np.array([[3, 4, 50, 60], [0, 0, 90, 70], [60, 20, 90, 40], [1, 1, 9, 9], [30, 2, 44, 69]], np.float32)
    values = rcnn.crop_vectors(backbone, photo, boxes, LEVELS, batch=2)
    image = normalise(photo, backbone.mean, backbone.std)
    for box, found in zip(boxes, values, strict=True):
        crop = np.empty((1, 224, 224, 3), np.float32)
        rcnn.warp_proposal(image, box, crop[0])
        maps = backbone(torch.from_numpy(crop).permute(0, 3, 1, 2))
        expected = np.concatenate([pool_map(one[0].numpy(), LEVELS) for one in maps])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert rcnn.crop_vectors(backbone, photo, boxes[:0], LEVELS).shape == (0, values.shape[1])
