import dataclasses
import importlib.util
import pickle

import numpy as np
import pytest
import torch
import yaml

from detection.backbones.backbone import Backbone
from detection.detector import Detector
from detection.engines import limit_threads, openvino_engine, single_threaded_pool
from detection.engines.fusion import fuse
from detection.features import FeatureExtractor, FeatureSettings, settings_key
from detection.features.cache import map_settings
from detection.learning import LinearSVMs
from detection.proposals import ProposalSettings
from detection.storage import fingerprint

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason='the extra openvino is not installed: pip install ".[openvino]"',
)
SETTINGS = FeatureSettings(weights="random", stages=(16,), short_sides=(64, 96), levels=(1,), engine="openvino")
PLAIN = dataclasses.replace(SETTINGS, engine="torch")


def random_images(height, width, count=1):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def largest_error(found, expected):
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(found, expected, strict=True))


@pytest.fixture(scope="module")
def extractor():
    return FeatureExtractor.from_settings(SETTINGS)


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@needs_openvino
@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("efficientnet_lite0", (16, 32)), ("alexnet", (16,)), ("resnet18", (8, 16)), ("vgg16", (4,)), ("zf5", (16,)),
        ("zf5_released", (16,)),
    ],
)  # fmt: skip
def test_values_are_torchs_up_to_rounding(name, strides):
    backbone = Backbone.from_weights(name, strides, "random", engine="openvino")
    for images in (random_images(96, 160, count=2), random_images(160, 96)):
        found = backbone(images)
        expected = backbone.network(images)
        assert [one.shape for one in found] == [one.shape for one in expected]
        assert largest_error(found, expected) <= 1e-4
    # Channels last is what images come in.
    again = backbone(images.contiguous(memory_format=torch.channels_last))
    assert all(torch.equal(one, other) for one, other in zip(again, found, strict=True))


@needs_openvino
def test_layers_that_torch_does_not_join():
    """A norm before its convolution, a sum of two sums, the remaining activations."""
    from torch import fx, nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, 2, 2, 2, bias=False)
            self.swish, self.hard, self.wide = nn.SiLU(), nn.Hardswish(), nn.Conv2d(4, 8, 3, padding=1, groups=2)

        def forward(self, x):
            x = self.conv(self.norm(x))
            y = self.swish(x) + self.hard(x)
            return x, self.wide(y + x)

    torch.manual_seed(0)
    network = Network().eval()
    torch.nn.init.uniform_(network.norm.running_var, 0.5, 2)
    torch.nn.init.uniform_(network.norm.weight, 0.5, 2)
    torch.nn.init.uniform_(network.norm.bias)
    torch.nn.init.uniform_(network.norm.running_mean)
    fused = fuse(fx.symbolic_trace(network))
    with torch.inference_mode():
        images = random_images(20, 31)
        assert largest_error(openvino_engine.OpenVINONetwork(fused)(images), network(images)) <= 1e-5


@needs_openvino
def test_same_bits_again_and_in_any_thread(extractor):
    backbone = extractor.backbone
    images = [random_images(64, 96), random_images(96, 64), random_images(64, 96)]
    kept = backbone(images[0])[0]
    copy = kept.clone()
    # Another call writes nothing over it, and does the same.
    backbone(torch.zeros(1, 3, 64, 96))
    assert torch.equal(kept, copy)
    assert torch.equal(backbone(images[0])[0], copy)
    with limit_threads(1):
        expected = [backbone(one)[0] for one in images]
    with single_threaded_pool(2) as pool:
        found = list(pool.map(lambda one: backbone(one)[0], images * 4))
    assert all(torch.equal(one, expected[number % len(images)]) for number, one in enumerate(found))


@needs_openvino
def test_the_extractor_uses_it_and_can_be_pickled(extractor, rgb, monkeypatch):
    plain = FeatureExtractor.from_settings(PLAIN).pyramid("a", rgb)
    found = extractor.pyramid("a", rgb)
    for maps, others in zip(found.maps, plain.maps, strict=True):
        # Rounding to float16 may go up here and down there.
        assert np.allclose(maps[0], others[0], rtol=1e-3, atol=1e-4 * np.abs(others[0]).max())
    again = pickle.loads(pickle.dumps(extractor))
    monkeypatch.setattr(again.backbone, "network", None)
    maps_again = again.pyramid("a", rgb).maps
    assert all(one[0].tobytes() == other[0].tobytes() for one, other in zip(maps_again, found.maps, strict=True))


@needs_openvino
def test_other_parts_of_the_network_stay_torchs(extractor):
    assert extractor.backbone.receptive_fields() == FeatureExtractor.from_settings(PLAIN).backbone.receptive_fields()
    images = random_images(32, 32).requires_grad_()
    extractor.backbone.network(images)[0].sum().backward()
    assert images.grad.abs().max() > 0


@needs_openvino
def test_networks_that_it_does_not_know():
    with pytest.raises(ValueError, match=r"^features\.engine: openvino knows .* the backbone has .*: set engine torch"):
        Backbone.from_weights("timm/mobilenetv3_small_050", (16,), "random", engine="openvino")


def test_keys():
    assert map_settings(SETTINGS)["engine"] == "openvino"
    assert "engine" not in map_settings(PLAIN)
    assert settings_key(SETTINGS, "w") != settings_key(PLAIN, "w")
    # What was made before there was a choice keeps its key.
    fields = {one.name: getattr(PLAIN, one.name) for one in dataclasses.fields(PLAIN) if one.name != "engine"}
    assert fingerprint(PLAIN) == fingerprint({"": "FeatureSettings", **fields})
    assert fingerprint(SETTINGS) != fingerprint(PLAIN)


@needs_openvino
def test_a_saved_detector_keeps_its_engine(extractor, rgb, tmp_path):
    weights = np.random.default_rng(0).normal(0, 1, (1, extractor.length())).astype(np.float32)
    svms = LinearSVMs(weights, np.zeros(1, np.float32), np.ones(1, bool), "pool5")
    detector = Detector(("cat",), ProposalSettings(), extractor, svms)
    detector.save(tmp_path)
    loaded = Detector.load(tmp_path)
    assert loaded.extractor.settings == SETTINGS
    assert loaded.extractor.backbone.engine == "openvino"
    maps, expected = (one.extractor.pyramid("a", rgb).maps for one in (loaded, detector))
    assert all(one[0].tobytes() == other[0].tobytes() for one, other in zip(maps, expected, strict=True))
    # Detectors of before there was a choice say nothing of it.
    description = yaml.safe_load((tmp_path / "detector.yaml").read_text())
    del description["features"]["engine"]
    (tmp_path / "detector.yaml").write_text(yaml.safe_dump(description))
    assert Detector.load(tmp_path).extractor.settings == PLAIN


def test_absent_package(monkeypatch):
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: None)
    monkeypatch.setattr("detection.features.extractor.load_weights", lambda *_: pytest.fail("weights were read"))
    monkeypatch.setattr("detection.backbones.backbone.cut_network", lambda *_: pytest.fail("a network was made"))
    message = r'^features\.engine: .*pip install "sppnet\[openvino\]"'
    with pytest.raises(ValueError, match=message):
        FeatureExtractor.from_settings(dataclasses.replace(SETTINGS, weights="default"))
    with pytest.raises(ValueError, match=message):
        FeatureExtractor.from_state(SETTINGS, {"backbone_offsets": np.zeros((1, 2))})


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_other_devices(device):
    with pytest.raises(
        ValueError, match=rf"^features\.engine: openvino computes on the device cpu alone, got .*{device}"
    ):
        FeatureExtractor.from_settings(SETTINGS, device)


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"^engine: expected torch or openvino, got 'tensorrt'"):
        FeatureSettings(engine="tensorrt")


def test_settings_and_backbone_must_agree():
    backbone = Backbone.from_weights("alexnet", (16,), "random")
    settings = FeatureSettings(backbone="alexnet", stages=(16,), engine="openvino")
    with pytest.raises(ValueError, match=r"^features\.engine: "):
        FeatureExtractor(settings, backbone)
