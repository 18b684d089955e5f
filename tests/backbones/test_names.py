"""Families of backbones, and one from outside: nothing of the package is touched to add it."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from detection.backbones import Backbone, names
from detection.backbones.spec import NetworkSpec
from detection.features import FeatureExtractor, FeatureSettings


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("efficientnet_lite0", "lite"),
        ("resnet18", "torchvision_networks"),
        ("zf5_released", "zf5"),
        ("timm/regnetx_002", "timm_networks"),
    ],
)
def test_family_of(name, module):
    assert names.family_of(name).module == f"detection.backbones.{module}"


@pytest.mark.parametrize("name", ["resnet19", "timm/", "timm", ""])
def test_an_unknown_name_tells_the_known_ones(name):
    with pytest.raises(ValueError, match=r"backbone: expected one of efficientnet_lite0, .*alexnet, .*timm/NAME, got"):
        names.family_of(name)


class Toy(nn.Module):
    """Two convolutions, of stride 4 and 8 px."""

    def __init__(self):
        super().__init__()
        self.first, self.act = nn.Conv2d(3, 5, 4, stride=4), nn.ReLU()
        self.second = nn.Conv2d(5, 7, 2, stride=2)

    def forward(self, images):
        return self.second(self.act(self.first(images)))


def toy_spec(name):
    with torch.device("meta"):
        network = Toy()
    return NetworkSpec(name, network.eval(), {"act": 4, "second": 8}, (100.0,) * 3, (50.0,) * 3)


@pytest.fixture
def toy(monkeypatch):
    torch.manual_seed(0)
    state = Toy().state_dict()
    module = ModuleType("toy_networks")
    module.network_spec, module.published_weights = toy_spec, lambda _: state
    monkeypatch.setitem(sys.modules, "toy_networks", module)
    monkeypatch.setattr(names, "FAMILIES", [*names.FAMILIES, names.BackboneFamily(("toy",), "toy_networks")])
    network = Toy()
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_a_backbone_from_outside(toy, engine):
    settings = FeatureSettings(backbone="toy", stages=(4, 8), short_sides=(32,), levels=(1,), engine=engine)
    extractor = FeatureExtractor.from_settings(settings)
    assert isinstance(extractor.backbone, Backbone)
    assert (extractor.backbone.strides, extractor.backbone.channels) == ((4, 8), (5, 7))
    assert extractor.backbone.offsets.tolist() == [[2.0, 2.0], [4.0, 4.0]]
    rgb = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    (maps,) = extractor.pyramid("a", rgb).maps
    inputs = (torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] - 100) / 50
    with torch.no_grad():
        expected = [toy.act(toy.first(inputs)), toy(inputs)]
    for found, wanted in zip(maps, expected, strict=True):
        np.testing.assert_allclose(found, wanted[0].numpy().astype(np.float16), rtol=2e-3, atol=2e-3)
    vector = extractor.regions(extractor.pyramid("a", rgb), np.array([[0, 0, 40, 32]], np.float32)).values[0]
    np.testing.assert_array_equal(vector, [one.max() for stage in maps for one in stage.astype(np.float32)])
