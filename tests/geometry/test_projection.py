import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.geometry import choose_scale, project_to_cells, resize_scale, valid_cells


def boxes(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


# -- scales ------------------------------------------------------------------------------------------------


def test_short_side_decides_until_the_long_one_is_capped():
    assert resize_scale((375, 500), 688, 10_000) == 688 / 375
    assert resize_scale((500, 375), 688, 10_000) == 688 / 375
    assert resize_scale((100, 1000), 688, 2000) == 2


def test_the_scale_nearest_to_the_target_area():
    scales = np.array([1.0, 2.0, 4.0])
    windows = boxes([0, 0, 224, 224], [0, 0, 112, 112], [0, 0, 10, 10], [0, 0, 400, 400])
    assert choose_scale(windows, scales).tolist() == [0, 1, 2, 0]
    assert choose_scale(boxes(), scales).tolist() == []


def test_equally_near_scales_give_the_first():
    # 100 px^2 at scale 1 and 400 px^2 at scale 2 are both 150 away from 250.
    assert choose_scale(boxes([0, 0, 10, 10]), np.array([1.0, 2.0]), 250.0).tolist() == [0]
    assert choose_scale(boxes([0, 0, 10, 10]), np.array([2.0, 2.0])).tolist() == [0]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scales_against_the_loop(seed):
    generator = np.random.default_rng(seed)
    corner = generator.random((6, 2)) * 100
    windows = np.concatenate([corner, corner + 1 + generator.random((6, 2)) * 300], axis=1).astype(np.float32)
    scales = np.sort(generator.random(4) * 4 + 0.2)
    expected = []
    for x1, y1, x2, y2 in windows.astype(float):
        distance = [abs((x2 - x1) * (y2 - y1) * s**2 - 224**2) for s in scales]
        expected.append(distance.index(min(distance)))
    assert choose_scale(windows, scales).tolist() == expected


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


def test_a_window_between_centres_gets_the_nearest_cell():
    windows = boxes([9, 9, 15, 15], [17, 17, 23, 23], [0, 0, 2, 2], [62, 62, 64, 64])
    cells = project_to_cells(windows, 1.0, 16, (8.0, 8.0), (64, 64), (4, 4))
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


def test_no_window():
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


@settings(max_examples=200, deadline=None)
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
    windows = (np.concatenate([corner, other], axis=1) / 2).astype(np.float32)
    map_size = tuple(int(np.ceil(side * scale / stride)) for side in (height, width))
    result = project_to_cells(windows, scale, stride, (offset_y, offset_x), (height, width), map_size)
    for (x1, y1, x2, y2), cells in zip(windows.astype(float) * scale, result.tolist(), strict=True):
        columns = enumerate_axis(x1, x2, stride, offset_x, width * scale, map_size[1])
        rows = enumerate_axis(y1, y2, stride, offset_y, height * scale, map_size[0])
        assert cells == [columns[0], rows[0], columns[1], rows[1]]
    assert (result[:, :2] >= 0).all()
    assert (result[:, 2:] <= [map_size[1], map_size[0]]).all()
    assert (result[:, 2:] > result[:, :2]).all()
