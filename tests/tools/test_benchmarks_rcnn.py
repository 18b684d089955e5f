"""R-CNN-style crops to vectors against a slow, obvious one."""

import math

import numpy as np
import pytest
import torch

from detection.backbones import Backbone
from detection.data import write_image
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


def _round(value):
    return math.floor(value + 0.5)


def _warped(image, box, side, context):
    """appendix A and rcnn_im_crop.m, pixel by pixel."""
    height, width = image.shape[:2]
    scale = side / (side - 2 * context)
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_x, half_y = (box[2] - box[0]) / 2 * scale, (box[3] - box[1]) / 2 * scale
    x1, x2 = _round(centre_x - half_x), _round(centre_x + half_x)
    y1, y2 = _round(centre_y - half_y), _round(centre_y + half_y)
    inside_x1, inside_x2, inside_y1, inside_y2 = max(x1, 0), min(x2, width), max(y1, 0), min(y2, height)
    stretch_x, stretch_y = side / (x2 - x1), side / (y2 - y1)
    left, top = _round((inside_x1 - x1) * stretch_x), _round((inside_y1 - y1) * stretch_y)
    columns = min(_round((inside_x2 - inside_x1) * stretch_x), side - left)
    rows = min(_round((inside_y2 - inside_y1) * stretch_y), side - top)
    part = image[inside_y1:inside_y2, inside_x1:inside_x2].astype(np.float64)
    out = np.zeros((side, side, 3))
    for row in range(rows):
        y = min(max((row + 0.5) * part.shape[0] / rows - 0.5, 0), part.shape[0] - 1)
        for column in range(columns):
            x = min(max((column + 0.5) * part.shape[1] / columns - 0.5, 0), part.shape[1] - 1)
            i, j = int(y), int(x)
            below, right = min(i + 1, part.shape[0] - 1), min(j + 1, part.shape[1] - 1)
            upper = part[i, j] * (1 - (x - j)) + part[i, right] * (x - j)
            lower = part[below, j] * (1 - (x - j)) + part[below, right] * (x - j)
            out[top + row, left + column] = upper * (1 - (y - i)) + lower * (y - i)
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
def test_warping_equals_the_slow_way(rcnn, photo, box, side, context):
    image = normalise(photo, (120.0, 110.0, 100.0), (60.0, 61.0, 62.0))
    out = np.full((side, side, 3), np.nan, np.float32)
    rcnn.warp_proposal(image, np.array(box, np.float32), rcnn.CropSettings(side, context), out)
    np.testing.assert_allclose(out, _warped(image, box, side, context), atol=2e-3)


def test_the_proposal_lies_within_the_context(rcnn):
    photo = np.zeros((100, 100, 3), np.float32)
    photo[40:60, 30:70] = 1
    out = np.empty((224, 224, 3), np.float32)
    rcnn.warp_proposal(photo, np.array([30, 40, 70, 60], np.float32), rcnn.CropSettings(), out)
    # Edges are rounded to whole px of the photo, of up to 224 / 20 px here.
    assert (out[24:200, 24:200] > 0.999).all()
    assert not out[:8].any()
    assert not out[:, :8].any()


def test_vectors_equal_crops_one_by_one(rcnn, backbone, photo):
    boxes = np.array([[3, 4, 50, 60], [0, 0, 90, 70], [60, 20, 90, 40], [1, 1, 9, 9], [30, 2, 44, 69]], np.float32)
    settings = rcnn.CropSettings(batch=2)
    values = rcnn.crop_vectors(backbone, photo, boxes, LEVELS, settings)
    image = normalise(photo, backbone.mean, backbone.std)
    for box, found in zip(boxes, values, strict=True):
        crop = np.empty((1, 224, 224, 3), np.float32)
        rcnn.warp_proposal(image, box, settings, crop[0])
        maps = backbone(torch.from_numpy(crop).permute(0, 3, 1, 2))
        expected = np.concatenate([pool_map(one[0].numpy(), LEVELS) for one in maps])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert rcnn.crop_vectors(backbone, photo, boxes[:0], LEVELS, settings).shape == (0, values.shape[1])


def test_wrong_settings(rcnn):
    for wrong in ({"batch": 0}, {"side": 32}, {"context": -1}):
        with pytest.raises(ValueError, match="crops: expected"):
            rcnn.CropSettings(**wrong)


def test_the_store_computes_once(rcnn, backbone, photo, tmp_path, monkeypatch):
    path, boxes = tmp_path / "a.png", np.array([[3, 4, 50, 60], [0, 0, 90, 70]], np.float32)
    write_image(path, photo)
    store = rcnn.CropStore(tmp_path / "crops", backbone, LEVELS, rcnn.CropSettings())
    assert store.read("a", path, boxes) is None
    values = store.make("a", path, boxes)
    assert values.dtype == np.float16
    expected = rcnn.crop_vectors(backbone, photo, boxes, LEVELS, rcnn.CropSettings())
    np.testing.assert_array_equal(values, expected.astype(np.float16))
    monkeypatch.setattr(rcnn, "crop_vectors", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(store.make("a", path, boxes), values)
    # Another box, another image, another context.
    assert store.read("a", path, boxes + 1) is None
    other = rcnn.CropStore(tmp_path / "crops", backbone, LEVELS, rcnn.CropSettings(context=0))
    assert other.read("a", path, boxes) is None
    write_image(path, photo[::-1].copy())
    assert store.read("a", path, boxes) is None
