import logging
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import fx, nn
from torch.nn import functional

from detection.backbones import Backbone
from detection.engines import limit_threads, openvino_engine, single_threaded_pool
from detection.engines.openvino_engine import OpenVINOEngine, _convert
from detection.features import FeatureExtractor, FeatureSettings

pytest.importorskip("openvino")


class Attention(nn.Module):
    """GELU, a layer norm over channels, and attention over all cells."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm, self.all = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 24)
        self.last, self.gelu = nn.Conv2d(8, 6, 3, padding=1), nn.GELU()

    def forward(self, x):
        x = self.patches(x)
        query, key, value = self.all(self.norm(x.flatten(2).transpose(1, 2))).chunk(3, -1)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = x + mixed.transpose(1, 2).reshape(x.shape)
        return x, self.gelu(self.last(x))


class Layers(nn.Module):
    """A norm before its convolution, dilation, groups, a sum of two sums, activations."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, 2, 2, 2, bias=False)
        self.swish, self.hard, self.wide = nn.SiLU(), nn.Hardswish(), nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.six, self.pool = nn.ReLU6(inplace=True), nn.MaxPool2d(3, 2, 1, ceil_mode=True)

    def forward(self, x):
        x = self.conv(self.norm(x))
        y = self.swish(x) + self.hard(x)
        return x, self.pool(self.six(self.wide(y + x)))


def images_of(*size, count=1, seed=0):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def traced(module):
    torch.manual_seed(0)
    return fx.symbolic_trace(module().eval())


@pytest.fixture(scope="module")
def engine():
    return OpenVINOEngine(traced(Attention), 4)


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


@pytest.mark.parametrize("module", [Attention, Layers])
def test_maps_are_torchs_for_any_size_and_batch(module):
    network = traced(module)
    engine = OpenVINOEngine(network, 4)
    with torch.inference_mode():
        for size, count in (((32, 48), 1), ((48, 32), 2), ((16, 16), 3)):
            images = images_of(*size, count=count)
            assert_close(engine(images), network(images))
            last = images.contiguous(memory_format=torch.channels_last)
            assert all(torch.equal(one, other) for one, other in zip(engine(last), engine(images), strict=True))


@pytest.mark.parametrize("name", ["zf5_released", "timm/mobilenetv3_small_050"])
def test_backbones(name):
    backbone = Backbone.from_weights(name, (16,), "random", engine="openvino")
    with torch.inference_mode():
        for size in ((96, 160), (128, 96)):
            assert_close(backbone(images_of(*size)), backbone.network(images_of(*size)))


def test_convnext_with_gelu_layer_norm_and_layer_scale():
    """As DINOv3's, with factors of its branches that are not zero."""
    name, stages = "timm/convnext_atto", (16, "stages.3")
    state = Backbone.from_weights(name, stages, "random").state()
    assert any(key.endswith("gamma") and (value == 1).all() for key, value in state.items())
    rng = np.random.default_rng(0)
    state = {key: value + rng.normal(0, 0.1, value.shape).astype(np.float32) for key, value in state.items()}
    torch_engine, openvino = (Backbone(name, stages, state, engine=engine) for engine in ("torch", "openvino"))
    assert torch_engine.strides == (16, 32)
    plain = timm.create_model("convnext_atto").eval()
    assert not plain.load_state_dict({key: torch.from_numpy(one) for key, one in state.items()}, False).unexpected_keys
    for size in ((96, 160), (128, 96)):
        images = images_of(*size)
        with torch.inference_mode():
            expected = plain.forward_intermediates(images, indices=[2, 3], intermediates_only=True)
        assert_close(torch_engine(images), expected)
        assert_close(openvino(images), expected)


def test_one_compilation_serves_every_size(engine, monkeypatch):
    again = pickle.loads(pickle.dumps(engine))
    compiled, core = [], openvino_engine._core

    class Counting:
        def compile_model(self, *arguments):
            compiled.append(arguments)
            return core().compile_model(*arguments)

    monkeypatch.setattr(openvino_engine, "_core", Counting)
    for height, width in ((16, 32), (32, 16), (64, 48), (16, 32)):
        assert again(images_of(height, width))[0].shape == (1, 8, height // 4, width // 4)
    assert len(compiled) == 1


def test_bits_do_not_depend_on_callers_order_or_threads(engine):
    images = [images_of(64, 96), images_of(96, 64, seed=1), images_of(32, 32, seed=2)]
    with limit_threads(1):
        expected = [engine(one)[1] for one in images]
    order = random.Random(0).choices(range(len(images)), k=24)
    for callers in (1, 2, 4):
        with single_threaded_pool(callers) as pool:
            found = list(pool.map(lambda number: engine(images[number])[1], order))
        assert all(torch.equal(one, expected[number]) for number, one in zip(order, found, strict=True))
    with limit_threads(2):
        assert all(torch.equal(engine(one)[1], other) for one, other in zip(images, expected, strict=True))


def test_maps_are_not_written_over(engine):
    kept = engine(images_of(16, 24))[0]
    copy = kept.clone()
    engine(torch.zeros(1, 3, 16, 24))
    assert torch.equal(kept, copy)


def test_the_extractor_uses_it_and_can_be_pickled(monkeypatch):
    settings = FeatureSettings(weights="random", stages=(16,), short_sides=(64, 96), levels=(1,), engine="openvino")
    extractor = FeatureExtractor.from_settings(settings)
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    found = extractor.pyramid("a", rgb)
    again = pickle.loads(pickle.dumps(extractor))
    monkeypatch.setattr(again.backbone, "network", None)
    maps_again = again.pyramid("a", rgb).maps
    assert all(one[0].tobytes() == other[0].tobytes() for one, other in zip(maps_again, found.maps, strict=True))
    # What is asked for gradients is torch's.
    images = images_of(32, 32).requires_grad_()
    extractor.backbone.network(images)[0].sum().backward()
    assert images.grad.abs().max() > 0


class OneSize(nn.Module):
    def forward(self, x):
        return (x + torch.ones(1, 3, 20, 28),)


class Unknown(nn.Module):
    def forward(self, x):
        return (torch.special.bessel_j0(x),)


@pytest.mark.parametrize(("module", "fault"), [(OneSize, "fixed the input's shape"), (Unknown, "bessel")])
def test_networks_that_it_cannot_take(module, fault):
    with pytest.raises(ValueError, match=rf"^features\.engine: OpenVINO cannot convert .*{fault}.*set engine torch"):
        OpenVINOEngine(traced(module), 4)
    assert logging.getLogger().level == logging.WARNING


_LITTLE_MEMORY = """
import resource, sys
import torch
from detection.backbones import Backbone
from tests.engines.test_openvino_engine import images_of

torch.set_num_threads(1)
engine = Backbone.from_weights("timm/mobilenetv3_small_050", (16, 32), "random", engine="openvino")
sizes = [(32 * height, 32 * width) for height in (2, 9, 14) for width in (3, 8, 17)]
engine(images_of(*sizes[0]))
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for size in sizes:
    maps = engine(images_of(*size))
    assert [one.shape[2:] for one in maps] == [(size[0] // stride, size[1] // stride) for stride in (16, 32)], "stale"
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="asks Linux for the memory in use")
@pytest.mark.parametrize(("mib", "fails"), [(0, True), (4000, False)])
def test_maps_that_it_had_no_memory_for_are_not_the_last_images(mib, fails):
    done = subprocess.run([sys.executable, "-c", _LITTLE_MEMORY, str(mib)], capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == fails, done.stderr
    # The words of OpenVINO 2025.1, which commands know too.
    assert not fails or "MemoryError" in done.stderr or "can't alloc" in done.stderr, done.stderr


class Constant(nn.Module):
    """A number of the image's sides that the exporter takes for a constant; no graph."""

    code = "constant"

    def forward(self, x):
        return (x * float(x.shape[2] // 4),)


def test_a_constant_that_came_from_the_sides_is_noticed():
    with pytest.raises(ValueError, match=r"OpenVINO cannot convert .*(for constants|fixed the input's shape)"):
        OpenVINOEngine(Constant(), 4)


class Resized(nn.Module):
    def forward(self, x):
        sides = x.shape[2] // 2, x.shape[3] * 3 // 2
        return (functional.interpolate(x, sides, mode="bicubic", antialias=True),)


def test_resizing_is_described_as_it_is():
    """OpenVINO's own reference asks the description for the cubic, which its CPU device does not."""
    import openvino

    network, images = traced(Resized), images_of(24, 36)
    outputs = [openvino.Tensor(np.zeros((1, 3, 12, 54), np.float32))]
    assert _convert(network, 4).evaluate(outputs, [openvino.Tensor(images.numpy())])
    assert_close([torch.from_numpy(outputs[0].data)], network(images))
