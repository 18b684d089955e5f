import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.pooling import spatial_pyramid_pool
from detection.pooling.torch_means import mean_of_regions
from detection.pooling.torch_pooling import SpatialPyramidPooling, _masked_bins, _pool_vectorised, export_onnx

LEVELS = (6, 3, 2, 1)
SIZES = [(1, 3, 1, 1), (3, 3, 2, 9), (1, 3, 13, 1), (2, 3, 6, 6), (4, 3, 7, 23)]


def random_maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_regions(maps, levels):
    """The region that covers the map, pooled by the compiled kernel."""
    cells = np.array([[0, 0, maps.shape[3], maps.shape[2]]])
    return np.concatenate([spatial_pyramid_pool(one, cells, levels) for one in maps.numpy()])


def test_by_hand():
    maps = torch.tensor([[[[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]]]])
    # 2 x 2 bins of three columns share the middle one.
    assert SpatialPyramidPooling((2, 1))(maps).tolist() == [[2.0, 3.0, 6.0, 5.0, 6.0]]
    assert SpatialPyramidPooling([1])(maps[:0]).shape == (0, 1)


@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 17), st.integers(1, 17),
    st.lists(st.integers(1, 7), min_size=1, max_size=4, unique=True), st.integers(0, 99),
)  # fmt: skip
def test_equals_the_region_that_covers_the_map(count, channels, height, width, levels, seed):
    maps = random_maps(count, channels, height, width, seed=seed)
    maps[maps.abs() < 0.2] = -0.0
    pooled = SpatialPyramidPooling(levels)(maps).numpy()
    assert pooled.tobytes() == by_regions(maps, tuple(levels)).tobytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
def test_masks_give_the_same_bins(size, n):
    maps = random_maps(*size)
    assert torch.equal(_masked_bins(maps, n), torch.nn.functional.adaptive_max_pool2d(maps, n))


@pytest.mark.parametrize("pool", [SpatialPyramidPooling((3, 1)), lambda maps: _masked_bins(maps, 2)])
@pytest.mark.parametrize("size", [(2, 2, 4, 5), (1, 1, 1, 2)])
def test_gradients(pool, size):
    maps = random_maps(*size).double().requires_grad_()
    assert torch.autograd.gradcheck(pool, (maps,))


def test_export_with_dynamic_height_and_width():
    module = SpatialPyramidPooling(LEVELS)
    sides = {axis: torch.export.Dim(f"side{axis}", max=2**20) for axis in (0, 2, 3)}
    exported = torch.export.export(module, (random_maps(2, 3, 7, 5),), dynamic_shapes=(sides,)).module()
    for size in SIZES:
        assert torch.equal(exported(random_maps(*size)), module(random_maps(*size)))


def test_onnx_runtime_gives_the_same(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    module = SpatialPyramidPooling(LEVELS)
    export_onnx(module, tmp_path / "spp.onnx", 7, 5, channels=3)
    session = runtime.InferenceSession(tmp_path / "spp.onnx")
    for size in SIZES:
        maps = random_maps(*size)
        (pooled,) = session.run(None, {"images": maps.numpy()})
        assert np.array_equal(pooled, module(maps).numpy())


def test_onnx_without_its_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"sppnet\[onnx\]"):
        export_onnx(SpatialPyramidPooling((1,)), tmp_path / "spp.onnx", 7, 5, channels=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("levels", [LEVELS, (7, 3), (1,)])
def test_whole_array_operations_equal_the_kernel(pooling, dtype, levels):
    """What another device computes; here on tensors of the CPU, which the kernel takes elsewhere."""
    rng = np.random.default_rng(0)
    maps = random_maps(5, 19, 27).to(dtype)
    maps[maps.abs() < 0.2] = -0.0
    corners = np.sort(rng.integers(0, (27, 19), (300, 2, 2)), axis=1).reshape(300, 4)
    regions = np.unique(np.add(corners, [0, 0, 1, 1]), axis=0)
    whole = mean_of_regions(maps.float(), regions, levels) if pooling == "mean" else None
    whole = _pool_vectorised(maps.float() + 0.0, regions, levels, False) if whole is None else whole
    expected = spatial_pyramid_pool(maps.float().numpy(), regions, levels, pooling)
    if pooling == "max":
        assert whole.numpy().tobytes() == expected.tobytes()
    np.testing.assert_allclose(whole.numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("levels", [(), (0,), (2, -1)])
def test_wrong_levels(levels):
    with pytest.raises(ValueError, match="levels"):
        SpatialPyramidPooling(levels)
    for cells in ([[0, 0, 2, 2]], np.zeros((0, 4), int)):
        with pytest.raises(ValueError, match="levels"):
            spatial_pyramid_pool(random_maps(1, 3, 4), np.array(cells), levels)


@pytest.mark.parametrize("maps", [torch.zeros(3, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.int64)])
def test_wrong_maps(maps):
    with pytest.raises(ValueError, match=r"expected \(N, C, h, w\) floating maps"):
        SpatialPyramidPooling((1,))(maps)
