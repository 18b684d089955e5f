"""Mean pooling: the kernel, the torch forms and the layer have the bits of the order that ``spp`` states."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.pooling import pool_map, spatial_pyramid_pool
from detection.pooling.spp import pool_into
from detection.pooling.torch_means import mean_bins, mean_of_regions, sums_of
from detection.pooling.torch_pooling import SpatialPyramidPooling, export_onnx

LEVELS = (6, 3, 2, 1)


def bins_of(region, n):
    x1, y1, x2, y2 = map(int, region)
    for i in range(n):
        for j in range(n):
            yield (
                slice(y1 + i * (y2 - y1) // n, y1 - (-(i + 1) * (y2 - y1) // n)),
                slice(x1 + j * (x2 - x1) // n, x1 - (-(j + 1) * (x2 - x1) // n)),
            )


def by_sums(feature_map, cells, levels):
    """In the stated order: sums along rows, then down the columns, in float64."""
    sums = np.zeros((len(feature_map), *(side + 1 for side in feature_map.shape[1:])))
    sums[:, 1:, 1:] = feature_map.astype(np.float64).cumsum(2).cumsum(1)
    rows = []
    for region in cells:
        parts = []
        for n in levels:
            for channel in sums:
                for y, x in bins_of(region, n):
                    right = channel[y.stop, x.stop] - channel[y.start, x.stop]
                    total = right - (channel[y.stop, x.start] - channel[y.start, x.start])
                    parts.append(np.float32(total / ((y.stop - y.start) * (x.stop - x.start))) + np.float32(0))
        rows.append(parts)
    return np.array(rows, np.float32).reshape(len(cells), -1)


def random_cells(rng, count, height, width):
    low = np.stack([rng.integers(0, width, count), rng.integers(0, height, count)], 1)
    high = low + 1 + rng.integers(0, 100, (count, 2)) % (np.array([width, height]) - low)
    return np.hstack([low, high])


@settings(max_examples=40)
@given(
    st.integers(1, 50), st.integers(1, 13), st.integers(1, 17), st.integers(1, 6),
    st.lists(st.integers(1, 8), min_size=1, max_size=4, unique=True), st.integers(0, 999),
)  # fmt: skip
def test_kernel_and_torch_have_the_bits_of_the_stated_order(channels, height, width, count, levels, seed):
    rng = np.random.default_rng(seed)
    feature_map = rng.standard_normal((channels, height, width)).astype(np.float32)
    cells = random_cells(rng, count, height, width)
    cells, levels = np.concatenate([cells, cells[:1]]), tuple(levels)
    expected = by_sums(feature_map, cells, levels)
    assert spatial_pyramid_pool(feature_map, cells, levels, "mean").tobytes() == expected.tobytes()
    assert mean_of_regions(torch.from_numpy(feature_map), cells, levels).numpy().tobytes() == expected.tobytes()
    wanting = torch.from_numpy(feature_map).requires_grad_()
    assert spatial_pyramid_pool(wanting, cells, levels, "mean").detach().numpy().tobytes() == expected.tobytes()


def test_means_of_float16_maps_are_exact():
    """Any order of additions gives these bits, up to the largest values that a map can hold."""
    rng = np.random.default_rng(0)
    feature_map = (rng.standard_normal((3, 20, 24)) * np.array([1e-6, 1.0, 2e4])[:, None, None]).astype(np.float16)
    feature_map = np.clip(feature_map, -65504, 65504)
    cells = random_cells(rng, 20, 20, 24)
    out = np.empty((20, 3 * 5), np.float32)
    pool_into(feature_map, cells, (2, 1), np.arange(20), out, 0, "mean")
    for row, region in enumerate(cells):
        values = []
        for n in (2, 1):
            for channel in feature_map:
                for place in bins_of(region, n):
                    inside = sorted(channel[place].astype(np.float64).ravel(), key=abs)
                    values.append(np.float32(sum(inside) / len(inside)))
        assert out[row].tolist() == values


def test_by_hand():
    feature_map = np.array([[[1, 2, 3], [6, 5, -5]]], np.float32)
    # 2 x 2 bins of three columns share the middle one.
    assert pool_map(feature_map, (2, 1), "mean").tolist() == [1.5, 2.5, 5.5, 0.0, 2.0]
    zeros = pool_map(np.full((1, 1, 2), -0.0, np.float32), (1,), "mean")
    assert not np.signbit(zeros).any()


@pytest.mark.parametrize("size", [(1, 3, 1, 1), (3, 3, 2, 9), (1, 3, 13, 1), (4, 3, 7, 23)])
def test_the_layer_equals_the_region_that_covers_the_map(size):
    maps = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    whole = np.array([[0, 0, size[3], size[2]]])
    expected = np.concatenate([spatial_pyramid_pool(one, whole, LEVELS, "mean") for one in maps.numpy()])
    assert SpatialPyramidPooling(LEVELS, "mean")(maps).numpy().tobytes() == expected.tobytes()
    assert torch.allclose(mean_bins(sums_of(maps), 3), torch.nn.functional.adaptive_avg_pool2d(maps, 3), atol=1e-6)


def test_gradients():
    feature_map = torch.randn(2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cells = np.array([[0, 0, 5, 4], [1, 1, 4, 3], [2, 2, 3, 3]])
    wanting = feature_map.requires_grad_()

    def pooled(one):
        # Of sums alone: values are rounded to float32, which differences would show.
        return (sums_of(one)[:, cells[:, 3], cells[:, 2]] - sums_of(one)[:, cells[:, 1], cells[:, 2]]).sum()

    assert torch.autograd.gradcheck(pooled, wanting)
    spatial_pyramid_pool(wanting, cells[:1], (2,), "mean").sum().backward()
    # Of 2 x 2 bins over 4 rows and 5 columns each holds 2 x 3 cells, and the middle column counts twice.
    assert torch.allclose(wanting.grad, torch.tensor([1, 1, 2, 1, 1], dtype=torch.float64).expand(2, 4, 5) / 6)


def test_onnx_runtime_gives_the_same(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    module = SpatialPyramidPooling((3, 1), "mean")
    export_onnx(module, tmp_path / "spp.onnx", 7, 5, channels=3)
    session = runtime.InferenceSession(tmp_path / "spp.onnx")
    for size in ((1, 3, 1, 1), (2, 3, 6, 9)):
        maps = torch.randn(*size, generator=torch.Generator().manual_seed(1))
        (pooled,) = session.run(None, {"images": maps.numpy()})
        assert np.allclose(pooled, module(maps), atol=1e-6)
