import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.backbones.receptive_layers import ReceptiveField
from detection.inspection.responses import (
    StrongestImages,
    activation_maps,
    local_maxima,
    receptive_boxes,
    strongest_responses,
    upsample,
)
from detection.types import FeaturePyramid


def pyramid_of(*maps, size=(32, 48), scales=None, strides=(8,), offsets=((3.5, 3.5),)):
    """One stage; a map a scale."""
    return FeaturePyramid(
        "image", size, tuple((one,) for one in maps), np.array(scales or [1.0] * len(maps)), np.array(strides),
        np.array(offsets),
    )  # fmt: skip


def naive_upsample(values, size, scale, stride, offset):
    """Each px by itself."""
    result = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            total = 0.0
            place = [((at + 0.5) * scale - o) / stride for at, o in zip((y, x), offset, strict=True)]
            place = [min(max(at, 0), n - 1) for at, n in zip(place, values.shape, strict=True)]
            for i in range(values.shape[0]):
                for j in range(values.shape[1]):
                    total += max(0, 1 - abs(place[0] - i)) * max(0, 1 - abs(place[1] - j)) * values[i, j]
            result[y, x] = total
    return result


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 1), (3, 5)])
def test_upsampling_is_linear_between_the_centres_of_cells(shape):
    values = np.random.default_rng(0).standard_normal(shape)
    arguments = ((19, 23), 1.3, 8, (3.5, 4.5))
    assert np.allclose(upsample(values, *arguments), naive_upsample(values, *arguments), atol=1e-6)


def test_upsampling_keeps_a_cells_value_at_its_centre():
    values = np.arange(6.0).reshape(2, 3)
    # Scale 0.5: the centre of cell (1, 2) is at 4.25 + 8 (1, 2) resized px, i.e. px 24 and 40 of the image.
    large = upsample(values, (40, 50), 0.5, 8, (4.25, 4.25))
    assert large.shape == (40, 50)
    assert large[24, 40] == 5.0
    assert large[0, 0] == 0.0
    assert large[-1, -1] == 5.0


def test_cells_that_see_padding_are_left_out():
    one = np.zeros((2, 5, 7), np.float16)
    one[0, 4, 0] = one[1, 0, 6] = 9
    # 32 px high: rows with centres 3.5 .. 27.5; 48 px wide: columns up to 43.5.
    pyramid = pyramid_of(one)
    assert activation_maps(pyramid, 0, 0).shape == (2, 4, 6)
    assert strongest_responses(pyramid, 0, [0])["value"].tolist() == [0, 0]


def test_the_strongest_of_a_channel():
    first = np.array([[[1, 5], [5, 2]], [[-1, -2], [-3, -4]]], np.float16)
    second = np.array([[[5, 0], [0, 0]], [[-9, -9], [-9, 0]]], np.float16)
    pyramid = pyramid_of(first, second, size=(16, 16))
    # Equal values: the first scale, then the first cell from the top left.
    assert strongest_responses(pyramid, 0, [0, 1]).tolist() == [(5.0, 0, 0, 1), (0.0, 1, 1, 1)]
    assert strongest_responses(pyramid, 0, [1]).tolist() == [(5.0, 1, 0, 0), (0.0, 1, 1, 1)]


def test_local_maxima():
    values = np.array([[3, 3, 0, 1], [0, 0, 0, 0], [5, 0, 0, 2]], np.float16)
    assert local_maxima(values, 2, 9).tolist() == [(5.0, 2, 2, 0), (3.0, 2, 0, 0), (2.0, 2, 2, 3), (1.0, 2, 0, 3)]
    assert local_maxima(values, 0, 1).tolist() == [(5.0, 0, 2, 0)]
    assert local_maxima(np.full((1, 1), -2.0), 0, 3).tolist() == [(-2.0, 0, 0, 0)]
    assert len(local_maxima(np.zeros((4, 5)), 0, 9)) == 1


def test_receptive_boxes_lie_in_the_image():
    found = local_maxima(np.array([[1.0, 0, 0], [0, 0, 2.0]]), 1, 2)
    fields = (ReceptiveField((-4, -4), (12, 12), 8), ReceptiveField((-np.inf,) * 2, (np.inf,) * 2, 0))
    boxes = receptive_boxes(found, fields, np.array([1.0, 0.5]), (32, 48))
    # Cell (1, 2) sees rows 4 to 20 and columns 12 to 28 of the image at half its size.
    assert boxes.tolist() == [[[24, 8, 48, 32], [0, 0, 24, 24]], [[0, 0, 48, 32]] * 2]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=0, max_size=9), st.integers(1, 4),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_the_best_images_whatever_the_order(values, k, random):
    offered = {f"image{number}": value for number, value in enumerate(values)}
    order = list(offered)
    random.shuffle(order)
    best = StrongestImages(2, k)
    for image_id in order:
        best.add(image_id, np.array(offered[image_id], np.float32), np.full((1, 2, 4), offered[image_id][1]))
    for channel in (0, 1):
        expected = sorted(offered, key=lambda one: (-offered[one][channel], one))[:k]
        assert [one.image_id for one in best.of(channel)] == expected
        assert [one.value for one in best.of(channel)] == [offered[one][channel] for one in expected]
        assert [one.boxes.tolist() for one in best.of(channel)] == [[[offered[one][1]] * 4] for one in expected]
    assert best.image_ids() == {one.image_id for channel in (0, 1) for one in best.of(channel)}


def test_no_image_and_wrong_k():
    assert StrongestImages(3, 2).of(1) == []
    with pytest.raises(ValueError, match="at least 1, got 0"):
        StrongestImages(3, 0)
