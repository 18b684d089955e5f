import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.geometry import choose_scale, project_to_cells, resize_scale, valid_cells
from detection.geometry.projection import choose_side, project_as_released


def boxes(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


# -- scales ------------------------------------------------------------------------------------------------


def test_short_side_decides_until_the_long_one_is_capped():
    assert resize_scale((375, 500), 688, 10_000) == 688 / 375
    assert resize_scale((500, 375), 688, 10_000) == 688 / 375
    assert resize_scale((100, 1000), 688, 2000) == 2


def test_the_scale_nearest_to_the_target_area():
    scales = np.array([1.0, 2.0, 4.0])
    regions = boxes([0, 0, 224, 224], [0, 0, 112, 112], [0, 0, 10, 10], [0, 0, 400, 400])
    assert choose_scale(regions, scales).tolist() == [0, 1, 2, 0]
    assert choose_scale(boxes(), scales).tolist() == []


def test_equally_near_scales_give_the_first():
    # 100 px^2 at scale 1 and 400 px^2 at scale 2 are both 150 away from 250.
    assert choose_scale(boxes([0, 0, 10, 10]), np.array([1.0, 2.0]), 250.0).tolist() == [0]
    assert choose_scale(boxes([0, 0, 10, 10]), np.array([2.0, 2.0])).tolist() == [0]


@given(st.integers(0, 2**32 - 1))
def test_scales_against_the_loop(seed):
    generator = np.random.default_rng(seed)
    corner = generator.random((6, 2)) * 100
    regions = np.concatenate([corner, corner + 1 + generator.random((6, 2)) * 300], axis=1).astype(np.float32)
    scales = np.sort(generator.random(4) * 4 + 0.2)
    expected = []
    for x1, y1, x2, y2 in regions.astype(float):
        distance = [abs((x2 - x1) * (y2 - y1) * s**2 - 224**2) for s in scales]
        expected.append(distance.index(min(distance)))
    assert choose_scale(regions, scales).tolist() == expected


# -- cells -------------------------------------------------------------------------------------------------


def test_by_hand_at_stride_16():
    """Centres at 8, 24, 40, 56: strictly inside 8 .. 41 lie 24 and 40."""
    cells = project_to_cells(boxes([8, 7, 41, 57]), 1.0, 16, (8.0, 8.0), (64, 64), (4, 4))
    assert cells.tolist() == [[1, 0, 3, 4]]
    assert cells.dtype == np.int32


def test_offsets_are_y_then_x():
    cells = project_to_cells(boxes([0, 0, 20, 20]), 1.0, 16, (4.0, 12.0), (64, 64), (4, 4))
    assert cells.tolist() == [[0, 0, 1, 1]]
    cells = project_to_cells(boxes([0, 0, 20.5, 20.5]), 1.0, 16, (4.0, 12.0), (64, 64), (4, 4))
    assert cells.tolist() == [[0, 0, 1, 2]]


def test_a_region_between_centres_gets_the_nearest_cell():
    regions = boxes([9, 9, 15, 15], [17, 17, 23, 23], [0, 0, 2, 2], [62, 62, 64, 64])
    cells = project_to_cells(regions, 1.0, 16, (8.0, 8.0), (64, 64), (4, 4))
    assert cells.tolist() == [[0, 0, 1, 1], [1, 1, 2, 2], [0, 0, 1, 1], [3, 3, 4, 4]]


def test_cells_over_the_padding_are_never_used():
    # The image ends at 50: the centre at 56 sees padding only.
    assert valid_cells(50, 16, 8.0, 4) == 3
    cells = project_to_cells(boxes([0, 0, 50, 50]), 1.0, 16, (8.0, 8.0), (50, 50), (4, 4))
    assert cells.tolist() == [[0, 0, 3, 3]]


@pytest.mark.parametrize(("length", "expected"), [(8, 1), (8.01, 1), (24, 1), (24.01, 2), (1, 1), (640, 4)])
def test_valid_cells(length, expected):
    """Centres at 8, 24, 40, 56; a centre on the border is outside; at least one cell."""
    assert valid_cells(length, 16, 8.0, 4) == expected


def test_no_region():
    assert project_to_cells(boxes(), 1.0, 16, (8.0, 8.0), (64, 64), (4, 4)).shape == (0, 4)


def enumerate_axis(low, high, stride, offset, length, cells):
    """First and last + 1 of the cells whose centre is strictly inside, or of the nearest one (right of two)."""
    centres = [offset + stride * i for i in range(cells)]
    usable = [i for i, c in enumerate(centres) if c < length] or [0]
    inside = [i for i in usable if low < centres[i] < high]
    if inside:
        return inside[0], inside[-1] + 1
    middle = (low + high) / 2
    best = min(usable, key=lambda i: (abs(centres[i] - middle), -i))
    return best, best + 1


@settings(max_examples=200)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.5, 1.0, 1.5, 2.0]),
    st.sampled_from([4, 16, 32]),
    st.sampled_from([0.5, 8.0, 15.5, 31.5]),
    st.sampled_from([0.5, 8.0, 15.5, 31.5]),
)
def test_against_an_enumeration_of_the_centres(seed, scale, stride, offset_y, offset_x):
    """Corners in halves of a px, so that centres on a border are common and every number is exact."""
    generator = np.random.default_rng(seed)
    height, width = (int(n) for n in generator.integers(20, 200, 2))
    corner = generator.integers(0, [2 * width - 1, 2 * height - 1], (20, 2))
    other = generator.integers(corner + 1, [2 * width + 1, 2 * height + 1])
    regions = (np.concatenate([corner, other], axis=1) / 2).astype(np.float32)
    map_size = tuple(int(np.ceil(side * scale / stride)) for side in (height, width))
    result = project_to_cells(regions, scale, stride, (offset_y, offset_x), (height, width), map_size)
    for (x1, y1, x2, y2), cells in zip(regions.astype(float) * scale, result.tolist(), strict=True):
        columns = enumerate_axis(x1, x2, stride, offset_x, width * scale, map_size[1])
        rows = enumerate_axis(y1, y2, stride, offset_y, height * scale, map_size[0])
        assert cells == [columns[0], rows[0], columns[1], rows[1]]
    assert (result[:, :2] >= 0).all()
    assert (result[:, 2:] <= [map_size[1], map_size[0]]).all()
    assert (result[:, 2:] > result[:, :2]).all()


def released_cells(box, scale, size, map_size, offset0=21.0, inset=6.5, stride=16.0):
    """The arithmetic of SPP_net's spp_features_convX_to_poolX.m and spm_pool_caffe_mex.cpp, counting from 1."""
    short = min(size)
    x1, y1, x2, y2 = box[0] + 1, box[1] + 1, box[2], box[3]
    scaled = [(value - 1) * (short * scale - 1) / (short - 1) + 1 for value in (x1, y1, x2, y2)]
    cells = []
    for axis in (0, 1):
        low = int(math.floor((scaled[axis] - offset0 + inset) / stride + 0.5) + 1)
        high = int(math.ceil((scaled[axis + 2] - offset0 - inset) / stride - 0.5) + 1)
        if low > high:
            low = high = int((low + high) / 2)
        last = map_size[1 - axis]
        cells.append((min(last, max(1, low)) - 1, min(last, max(1, high))))
    return [cells[0][0], cells[1][0], cells[0][1], cells[1][1]]


def test_the_released_projection():
    rng = np.random.default_rng(0)
    size, map_size = (375, 500), (42, 57)
    corners = rng.integers(0, 300, (300, 2))
    boxes = np.concatenate([corners, corners + rng.integers(3, 75, (300, 2))], axis=1).astype(np.float32)
    for scale in (480 / 375, 688 / 375):
        got = project_as_released(boxes, scale, 16, (20.5, 20.5), size, map_size, 6.5, True)
        assert got.dtype == np.int32
        assert got.tolist() == [released_cells(box, scale, size, map_size) for box in boxes.tolist()]
        assert (got[:, :2] < got[:, 2:]).all()


def test_the_released_projection_of_edges():
    """A region of exactly one cell around centre 36.5, without inset and with one."""
    box = np.array([[28.5, 28.5, 44.5, 44.5]], np.float32)
    for inset in (0.0, 6.5):
        got = project_as_released(box, 1.0, 16, (20.5, 20.5), (200, 200), (10, 10), inset, False)
        assert got.tolist() == [[1, 1, 2, 2]]
    assert project_as_released(box[:0], 1.0, 16, (0.5, 0.5), (9, 9), (1, 1), 0.0, True).shape == (0, 4)


@pytest.mark.parametrize("inset", [0.0, 6.5])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_released_projection_at_the_borders_of_its_cells(scale, inset):
    """By hand: the first px's centre x1 + 0.5, 20.5 being cell 0's, reaches cell 1 at 28 - inset; down, 8 px less."""
    still = np.array([28 - inset, 20 - inset, 45 + inset, 37 + inset])
    beyond = still + np.array([-0.125, -0.125, 0.125, 0.125])
    boxes = np.array([still, beyond], np.float32) / scale
    got = project_as_released(boxes, scale, 16, (12.5, 20.5), (200, 200), (10, 10), inset, False)
    assert got.tolist() == [[1, 1, 2, 2], [0, 0, 3, 3]]


def test_scale_by_side_is_the_released_rule():
    rng = np.random.default_rng(0)
    sides = np.array([480, 576, 688, 874, 1200])
    corners = rng.integers(0, 200, (200, 2))
    boxes = np.concatenate([corners, corners + rng.integers(20, 175, (200, 2))], axis=1).astype(np.float32)
    # spm_expected_scale.m on boxes that count from 1, ends included
    areas = (boxes[:, 2] - boxes[:, 0]).astype(float) * (boxes[:, 3] - boxes[:, 1])
    expected = np.floor(13 * 16 * 375 / np.sqrt(areas) + 0.5)
    best = np.abs(sides[None] - expected[:, None]).argmin(axis=1)
    got = choose_side(boxes, sides / 375, (375, 500), 208.0**2)
    assert got.tolist() == best.tolist()
    assert got.dtype == np.int64
    # 600 px wanted: by side 576 (24 px away), by area 688 would be compared with 600^2
    assert (choose_scale(boxes, sides / 375, 208.0**2) != got).any()
