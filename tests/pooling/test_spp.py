import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.pooling import spatial_pyramid_pool, spp
from detection.pooling._input_kernels import unique_cells, widen
from detection.pooling._lane_kernels import LANES
from detection.pooling.spp import empty_vectors, pool_into, pooled_length


def nested_loops(feature_map, cells, levels):
    channels = len(feature_map)
    out = np.empty((len(cells), pooled_length(channels, levels)), np.float32)
    for row, (x1, y1, x2, y2) in enumerate(np.asarray(cells, dtype=int)):
        at = 0
        for n in levels:
            for c in range(channels):
                for i in range(n):
                    for j in range(n):
                        top, bottom = y1 + i * (y2 - y1) // n, y1 - (-(i + 1) * (y2 - y1) // n)
                        left, right = x1 + j * (x2 - x1) // n, x1 - (-(j + 1) * (x2 - x1) // n)
                        best = -np.inf
                        for y in range(top, bottom):
                            for x in range(left, right):
                                best = max(best, feature_map[c, y, x])
                        out[row, at] = best
                        at += 1
    return out


@st.composite
def problems(draw):
    channels, height, width = draw(st.integers(1, 70)), draw(st.integers(1, 13)), draw(st.integers(1, 17))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few values: ties are common.
    feature_map = rng.integers(-5, 5, (channels, height, width)).astype(np.float32)
    count = draw(st.integers(0, 6))
    x = np.sort(rng.integers(0, width + 1, (count, 2)), axis=1)
    y = np.sort(rng.integers(0, height + 1, (count, 2)), axis=1)
    x[:, 0] = np.minimum(x[:, 0], width - 1)
    y[:, 0] = np.minimum(y[:, 0], height - 1)
    x[:, 1] = np.maximum(x[:, 1], x[:, 0] + 1)
    y[:, 1] = np.maximum(y[:, 1], y[:, 0] + 1)
    cells = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)
    levels = tuple(draw(st.lists(st.integers(1, 8), min_size=1, max_size=4, unique=True)))
    return feature_map, np.concatenate([cells, cells[:1]]), levels


@settings(max_examples=80)
@given(problems())
def test_equals_nested_loops(problem):
    feature_map, cells, levels = problem
    expected = nested_loops(feature_map, cells, levels)
    got = spatial_pyramid_pool(feature_map, cells, levels)
    assert got.dtype == np.float32
    assert got.tobytes() == (expected + 0).tobytes()


@pytest.mark.parametrize("pooling", ["max", "mean"])
@settings(max_examples=25)
@given(problem=problems())
def test_a_tensor_gives_the_same_bits(pooling, problem):
    import torch

    feature_map, cells, levels = problem
    got = spatial_pyramid_pool(torch.from_numpy(feature_map), torch.from_numpy(cells), levels, pooling)
    assert isinstance(got, torch.Tensor)
    assert got.numpy().tobytes() == spatial_pyramid_pool(feature_map, cells, levels, pooling).tobytes()


def test_order_by_hand():
    first = np.array([[1, 2], [3, 4]], np.float32)
    feature_map = np.stack([first, 10 * first])
    got = spatial_pyramid_pool(feature_map, np.array([[0, 0, 2, 2]]), (2, 1))
    assert got.tolist() == [[1, 2, 3, 4, 10, 20, 30, 40, 4, 40]]
    assert spatial_pyramid_pool(feature_map, np.array([[0, 0, 2, 2]]), (1, 2)).tolist() == [
        [4, 40, 1, 2, 3, 4, 10, 20, 30, 40]
    ]


def test_one_level_is_a_flattened_map():
    feature_map = np.random.default_rng(0).standard_normal((5, 6, 6)).astype(np.float32)
    got = spatial_pyramid_pool(feature_map, np.array([[0, 0, 6, 6]]), (6,))
    assert np.array_equal(got[0], feature_map.ravel())


def test_bins_of_seven_cells_in_three_overlap():
    row = np.arange(7, dtype=np.float32)[::-1].reshape(1, 1, 7)
    # bins 0..3, 2..5, 4..7 of falling values
    assert spatial_pyramid_pool(row, np.array([[0, 0, 7, 1]]), (3,)).tolist() == [[6, 4, 2] * 3]


def test_a_cell_under_a_fine_level_fills_every_bin():
    feature_map = np.array([[[-3.5]]], np.float32)
    assert spatial_pyramid_pool(feature_map, np.array([[0, 0, 1, 1]]), (6, 1)).tolist() == [[-3.5] * 37]


def test_negative_zero_becomes_zero():
    got = spatial_pyramid_pool(np.full((1, 2, 2), -0.0, np.float32), np.array([[0, 0, 2, 2]]), (1,))
    assert not np.signbit(got).any()


def test_no_region():
    assert spatial_pyramid_pool(np.zeros((3, 4, 4), np.float32), np.zeros((0, 4), int), (3, 1)).shape == (0, 30)


@pytest.mark.parametrize("cells", [[-1, 0, 2, 2], [0, 0, 5, 2], [0, 0, 2, 4], [2, 1, 2, 3], [3, 1, 2, 3]])
def test_cells_outside_the_map_are_refused(cells):
    with pytest.raises(ValueError, match=r"cells: expected .* row 1"):
        spatial_pyramid_pool(np.zeros((1, 3, 4), np.float32), np.array([[0, 0, 1, 1], cells]), (1,))


def test_wrong_arguments_are_refused():
    feature_map, cells = np.zeros((1, 3, 4), np.float32), np.array([[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="pooling: expected max or mean, got 'median'"):
        spatial_pyramid_pool(feature_map, cells, (1,), "median")
    with pytest.raises(ValueError, match="levels"):
        spatial_pyramid_pool(feature_map, cells, ())
    with pytest.raises(ValueError, match="levels"):
        spatial_pyramid_pool(feature_map, cells, (2, 0))
    with pytest.raises(ValueError, match="float32"):
        spatial_pyramid_pool(feature_map.astype(np.float64), cells, (1,))
    with pytest.raises(ValueError, match="integers"):
        spatial_pyramid_pool(feature_map, cells.astype(np.float32), (1,))


def test_rows_and_columns_of_the_output_are_those_asked_for():
    feature_map = np.random.default_rng(1).standard_normal((2, 5, 5)).astype(np.float16)
    cells = np.array([[0, 0, 3, 3], [1, 1, 5, 5], [0, 0, 3, 3]])
    out = np.full((5, 14), np.nan, np.float32)
    pool_into(feature_map, cells, (2, 1), np.array([4, 0, 2]), out, 3)
    expected = nested_loops(feature_map.astype(np.float32), cells, (2, 1))
    assert np.array_equal(out[[4, 0, 2], 3:13], expected)
    assert np.isnan(out[[1, 3]]).all()
    assert np.isnan(out[:, :3]).all()
    assert np.isnan(out[:, 13:]).all()


def random_cells(rng, count, height, width):
    low = np.stack([rng.integers(0, width, count), rng.integers(0, height, count)], 1)
    high = low + 1 + rng.integers(0, 100, (count, 2)) % (np.array([width, height]) - low)
    return np.hstack([low, high])


@pytest.mark.parametrize("levels", [(6, 3, 2, 1), (3, 2, 1), (1, 5, 7)])
@pytest.mark.parametrize("past_caches", [True, False])
def test_repeated_regions_in_any_rows(levels, past_caches, monkeypatch):
    monkeypatch.setattr(spp, "_PAST_CACHES_BYTES", 0 if past_caches else 2**40)
    kernel, seen = spp.pool_regions, []
    monkeypatch.setattr(spp, "pool_regions", lambda *arguments: (seen.append(arguments[-1]), kernel(*arguments)))
    rng = np.random.default_rng(4)
    feature_map = rng.standard_normal((3 * LANES, 13, 19)).astype(np.float32)
    cells = random_cells(rng, 60, 13, 19)
    cells = np.concatenate([cells, cells[::3], cells[:1]])
    rows = rng.permutation(len(cells) + 2)[: len(cells)]
    expected = np.zeros((len(cells) + 2, pooled_length(len(feature_map), levels)), np.float32)
    expected[rows] = nested_loops(feature_map, cells, levels)
    out = empty_vectors(*expected.shape)
    out.fill(0)
    pool_into(feature_map, cells, levels, rows, out, 0)
    assert out.tobytes() == expected.tobytes()
    assert seen == [past_caches]


def test_memory_that_begins_within_a_line(monkeypatch):
    monkeypatch.setattr(spp, "_PAST_CACHES_BYTES", 0)
    rng = np.random.default_rng(5)
    feature_map, cells = rng.standard_normal((LANES, 6, 7)).astype(np.float32), random_cells(rng, 9, 6, 7)
    length = pooled_length(LANES, (2, 1))
    expected = nested_loops(feature_map, cells, (2, 1))
    for skipped in (1, 4, 15):
        out = np.empty(len(cells) * length + LANES, np.float32)[skipped : skipped + len(cells) * length]
        out = out.reshape(len(cells), length)
        pool_into(feature_map, cells, (2, 1), np.arange(len(cells)), out, 0)
        assert np.array_equal(out, expected)


def test_wrong_outputs_are_refused():
    feature_map, cells = np.zeros((2, 3, 3), np.float32), np.array([[0, 0, 2, 2]])
    wrong = (
        (np.zeros((1, 10), np.float64), [0], 0, "out: expected writable"),
        (np.zeros((1, 20), np.float32)[:, ::2], [0], 0, "out: expected writable"),
        (np.zeros((1, 10), np.float32), [0], 1, "out: expected columns"),
        (np.zeros((1, 10), np.float32), [0], -1, "out: expected columns"),
        (np.zeros((1, 10), np.float32), [1], 0, "rows: expected"),
        (np.zeros((1, 10), np.float32), [0, 0], 0, "rows: expected"),
    )
    for out, rows, start, message in wrong:
        with pytest.raises(ValueError, match=message):
            pool_into(feature_map, cells, (2, 1), np.array(rows), out, start)


def test_every_half_is_widened_exactly():
    halves = np.arange(2**16, dtype=np.uint16)
    got = np.empty(len(halves), np.float32)
    widen(halves, got)
    expected = halves.view(np.float16).astype(np.float32)
    assert np.array_equal(got, expected, equal_nan=True)
    assert np.array_equal(np.signbit(got), np.signbit(expected))


def test_several_threads_at_once():
    rng = np.random.default_rng(6)
    maps = [rng.standard_normal((2 * LANES, 12, 12)).astype(np.float32) for _ in range(8)]
    cells = random_cells(rng, 50, 12, 12)
    expected = [spatial_pyramid_pool(one, cells, (3, 2, 1)).tobytes() for one in maps]
    with ThreadPoolExecutor(4) as threads:
        got = threads.map(lambda one: spatial_pyramid_pool(one, cells, (3, 2, 1)).tobytes(), maps * 5)
        assert list(got) == expected * 5


def test_unique_cells_name_the_first_equal_row():
    cells = np.random.default_rng(2).integers(0, 4, (500, 4)).astype(np.int32)
    _, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    assert np.array_equal(unique_cells(cells), first[inverse.ravel()])


def test_gradient_reaches_the_maximum():
    import torch

    feature_map = torch.tensor([[[1.0, 5.0], [2.0, 3.0]]], requires_grad=True)
    spatial_pyramid_pool(feature_map, np.array([[0, 0, 2, 2]]), (1,)).sum().backward()
    assert feature_map.grad.tolist() == [[[0, 1], [0, 0]]]


@settings(max_examples=25)
@given(problems())
def test_whole_array_operations_give_the_same_bits(problem):
    import torch

    from detection.pooling.torch_pooling import _pool_vectorised

    feature_map, cells, levels = problem
    expected = spatial_pyramid_pool(feature_map, cells, levels)
    # As on other devices, without a gradient; and with one.
    if len(cells):
        got = _pool_vectorised(torch.from_numpy(feature_map) + 0.0, cells, levels, False)
        assert got.numpy().tobytes() == expected.tobytes()
    wanting = torch.from_numpy(feature_map).requires_grad_()
    got = spatial_pyramid_pool(wanting, cells, levels)
    assert got.detach().numpy().tobytes() == expected.tobytes()
    if len(cells):
        got.sum().backward()
        # Ties are common here: each bin's gradient goes to one cell, whole.
        assert (wanting.grad == wanting.grad.round()).all()
        assert wanting.grad.sum() == got.numel()


def test_regions_in_chunks_give_the_same(monkeypatch):
    import torch

    from detection.pooling import torch_pooling as spp_torch

    rng = np.random.default_rng(7)
    values, cells = torch.from_numpy(rng.standard_normal((3, 9, 8))), random_cells(rng, 20, 9, 8)
    expected = spatial_pyramid_pool(values, cells, (4, 2, 3))
    monkeypatch.setattr(spp_torch, "_CHUNK_VALUES", 1)
    assert torch.equal(spatial_pyramid_pool(values, cells, (4, 2, 3)), expected)


def test_gradients_are_right():
    import torch

    torch.manual_seed(0)
    feature_map = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    cells = np.array([[0, 0, 5, 4], [1, 1, 4, 3], [0, 0, 5, 4], [2, 2, 3, 3]])
    assert torch.autograd.gradcheck(lambda one: spatial_pyramid_pool(one, cells, (4, 2, 3)), feature_map)
    assert torch.autograd.gradgradcheck(lambda one: spatial_pyramid_pool(one, cells, (2, 1)), feature_map)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_tensors_of_other_kinds_keep_theirs(dtype):
    import torch

    kind = getattr(torch, dtype)
    feature_map = torch.randn(5, 6, 7, generator=torch.manual_seed(0)).to(kind)
    cells = np.array([[0, 0, 7, 6], [2, 1, 3, 5]])
    got = spatial_pyramid_pool(feature_map, cells, (3, 1))
    assert got.dtype == kind
    expected = nested_loops(feature_map.double().numpy(), cells, (3, 1))
    assert np.array_equal(got.double().numpy().astype(np.float32), expected)


def test_needs_no_torch():
    code = (
        "import sys, numpy; from detection.pooling import spatial_pyramid_pool; "
        "spatial_pyramid_pool(numpy.zeros((16, 3, 3), numpy.float32), numpy.array([[0, 0, 2, 2]]), (1,)); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("corner", range(4))
def test_rows_that_differ_in_one_number_are_two(corner):
    """Of 200 pairs some fall on one slot of the table, where the numbers themselves are compared."""
    for other in range(1, 201):
        cells = np.array([[3, 5, 900, 901], [3, 5, 900, 901], [3, 5, 900, 901]], np.int32)
        cells[1, corner] += other
        assert unique_cells(cells).tolist() == [0, 1, 0]
