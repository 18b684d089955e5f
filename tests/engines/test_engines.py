import dataclasses

import numpy as np
import pytest
import torch
import yaml
from torch import fx, nn

import detection.engines
from detection.detector import Detector
from detection.engines import ENGINES, make_engine, resolve_engine, unavailable
from detection.features import FeatureExtractor, FeatureSettings
from detection.features.cache import map_settings
from detection.learning import LinearSVMs
from detection.proposals import ProposalSettings

SETTINGS = FeatureSettings(weights="random", stages=(16,), short_sides=(64,), levels=(1,))


@pytest.fixture
def without_openvino(monkeypatch):
    monkeypatch.setattr(detection.engines, "find_spec", lambda name: None)


@pytest.fixture
def with_openvino(monkeypatch):
    monkeypatch.setattr(detection.engines, "find_spec", lambda name: object())


def test_auto_is_openvino_on_a_cpu_alone(with_openvino):
    assert resolve_engine("auto", "cpu") == "openvino"
    assert {resolve_engine("auto", device) for device in ("cuda", "cuda:1", "mps")} == {"torch"}
    assert resolve_engine("torch", "cpu") == "torch"
    assert unavailable("openvino", "cpu") == unavailable("torch", "cuda") == ""


def test_auto_is_torch_without_openvino(without_openvino):
    assert resolve_engine("auto", "cpu") == "torch"
    assert SETTINGS.for_device("cpu").engine == "torch"
    assert FeatureExtractor.from_settings(SETTINGS).settings.engine == "torch"


def test_an_absent_package_is_named(without_openvino, monkeypatch):
    monkeypatch.setattr("detection.features.extractor.load_weights", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(ValueError, match=r"^features\.engine: openvino needs the package openvino.*set engine auto"):
        FeatureExtractor.from_settings(dataclasses.replace(SETTINGS, weights="default", engine="openvino"))


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_other_devices_are_refused(device):
    with pytest.raises(ValueError, match=rf"^features\.engine: openvino computes on the device cpu alone.*{device}"):
        resolve_engine("openvino", device)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match=r"^features\.engine: expected auto or one of torch, openvino, got 'x'"):
        resolve_engine("x", "cpu")
    with pytest.raises(ValueError, match=r"^engine: expected auto, torch or openvino, got 'x'"):
        FeatureSettings(engine="x")


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_computes_the_network(name):
    if unavailable(name, "cpu"):
        pytest.skip(f"{name} is not installed")
    torch.manual_seed(0)
    network = fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(inplace=True)).eval())
    network.graph.output((next(iter(reversed(network.graph.nodes))).args[0],))
    network.graph.erase_node(next(iter(reversed(network.graph.nodes))).prev)
    network.recompile()
    engine = make_engine(name, network, 2)
    images = torch.randn(2, 3, 8, 10)
    (found,) = engine(images)
    assert engine.name == name
    torch.testing.assert_close(found, network(images)[0].detach(), rtol=1e-5, atol=1e-5)


def test_keys_name_the_engine():
    with pytest.raises(ValueError, match=r"features\.engine: expected the name of an engine in a key, got auto"):
        map_settings(SETTINGS)
    assert map_settings(dataclasses.replace(SETTINGS, engine="torch"))["engine"] == "torch"


def detector_of(settings):
    extractor = FeatureExtractor.from_settings(settings)
    weights = np.random.default_rng(0).normal(0, 1, (1, extractor.length())).astype(np.float32)
    svms = LinearSVMs(weights, np.zeros(1, np.float32), np.ones(1, bool), "pool5")
    return Detector(("cat",), ProposalSettings(), extractor, svms)


def test_a_saved_detector_runs_with_another_engine(tmp_path, monkeypatch, caplog):
    pytest.importorskip("openvino")
    detector, rgb = detector_of(SETTINGS), np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    detector.save(tmp_path)
    description = yaml.safe_load((tmp_path / "detector.yaml").read_text())
    assert description["features"]["engine"] == "openvino"
    assert Detector.load(tmp_path).extractor.backbone.engine == "openvino"

    def told():
        return [one.getMessage() for one in caplog.records if one.name.startswith("detection.")]

    assert told() == []
    monkeypatch.setattr(detection.engines, "find_spec", lambda name: None)
    monkeypatch.setattr("detection.detector_files._last", {})  # as in another process
    loaded = Detector.load(tmp_path)
    assert len(told()) == 1
    assert "torch computes the maps, which then differ by rounding" in told()[0]
    assert loaded.extractor.settings.engine == loaded.extractor.backbone.engine == "torch"
    found, expected = (one.extractor.pyramid("a", rgb).maps[0][0] for one in (loaded, detector))
    # Rounding to float16 may go up here and down there.
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4 * float(np.abs(expected).max()))


def test_a_detector_that_names_no_engine_is_torchs(tmp_path):
    detector_of(SETTINGS).save(tmp_path)
    description = yaml.safe_load((tmp_path / "detector.yaml").read_text())
    del description["features"]["engine"], description["content_fingerprint"]
    (tmp_path / "detector.yaml").write_text(yaml.safe_dump(description))
    assert Detector.load(tmp_path).extractor.settings.engine == "torch"


def test_settings_and_backbone_must_agree():
    extractor = FeatureExtractor.from_settings(dataclasses.replace(SETTINGS, engine="torch"))
    assert FeatureExtractor(SETTINGS, extractor.backbone).settings.engine == "torch"
    with pytest.raises(ValueError, match=r"^features\.engine: settings say openvino, the backbone has torch"):
        FeatureExtractor(dataclasses.replace(SETTINGS, engine="openvino"), extractor.backbone)
