import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.inspection.responses import Response, StrongestImages, peaks, seen_part, strongest, upsample
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
    assert seen_part(pyramid, 0, 0).shape == (2, 4, 6)
    assert strongest(pyramid, 0)["value"].tolist() == [0, 0]


def test_the_strongest_of_a_channel():
    first = np.array([[[1, 5], [5, 2]], [[-1, -2], [-3, -4]]], np.float16)
    second = np.array([[[5, 0], [0, 0]], [[-9, -9], [-9, 0]]], np.float16)
    found = strongest(pyramid_of(first, second, size=(16, 16)), 0)
    # Equal values: the first scale, then the first cell from the top left.
    assert found.tolist() == [(5.0, 0, 0, 1), (0.0, 1, 1, 1)]
    assert strongest(pyramid_of(first, second, size=(16, 16)), 0, scales=[1]).tolist() == [
        (5.0, 1, 0, 0),
        (0.0, 1, 1, 1),
    ]


def test_peaks():
    values = np.array([[3, 3, 0, 1], [0, 0, 0, 0], [5, 0, 0, 2]], np.float16)
    assert peaks(values, 2, 9) == [
        Response(5.0, 2, 2, 0), Response(3.0, 2, 0, 0), Response(2.0, 2, 2, 3), Response(1.0, 2, 0, 3),
    ]  # fmt: skip
    assert peaks(values, 0, 1) == [Response(5.0, 0, 2, 0)]
    assert peaks(np.full((1, 1), -2.0), 0, 3) == [Response(-2.0, 0, 0, 0)]
    assert len(peaks(np.zeros((4, 5)), 0, 9)) == 1


def records(values):
    found = np.zeros(len(values), [("value", "f4"), ("scale", "i4"), ("row", "i4"), ("column", "i4")])
    found["value"] = values
    return found


@settings(max_examples=50, deadline=None)
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
        best.add(image_id, records(offered[image_id]))
    for channel in (0, 1):
        expected = sorted(offered, key=lambda one: (-offered[one][channel], one))[:k]
        assert [image_id for image_id, _ in best.of(channel)] == expected
        assert [one.value for _, one in best.of(channel)] == [offered[one][channel] for one in expected]
    assert best.maxima().tolist() == [max((v[c] for v in values), default=-np.inf) for c in (0, 1)]


def test_no_image_and_wrong_k():
    assert StrongestImages(3, 2).of(1) == []
    with pytest.raises(ValueError, match="at least 1, got 0"):
        StrongestImages(3, 0)
