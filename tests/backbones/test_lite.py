import numpy as np
import pytest
import torch

from detection.backbones import Backbone, networks
from detection.backbones import backbone as backbone_module
from detection.backbones.lite import EfficientNetLite
from detection.backbones.names import PACKAGED_BACKBONES
from detection.backbones.networks import load_weights, network_spec


def timm_network(name):
    import timm

    return timm.create_model(f"tf_{name}").eval()


@pytest.mark.parametrize("name", PACKAGED_BACKBONES)
def test_it_is_timms_network(name):
    theirs, ours = timm_network(name), EfficientNetLite(name).eval()
    state = theirs.state_dict()
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == [
        (key, value.shape) for key, value in state.items()
    ]
    ours.load_state_dict(state)
    # Odd sides, where SAME padding is uneven.
    images = torch.randn(1, 3, 65, 98, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))


def test_what_is_told_of_it_is_what_timm_tells():
    ours, theirs = network_spec("efficientnet_lite0"), network_spec("timm/tf_efficientnet_lite0")
    assert (dict(ours.stages), ours.mean, ours.std) == (dict(theirs.stages), theirs.mean, theirs.std)


def test_maps_are_the_same_bit_for_bit(monkeypatch):
    state = load_weights("efficientnet_lite0", "default")
    ours = Backbone("efficientnet_lite0", (16, 32), state)
    for module in (networks, backbone_module):
        monkeypatch.setattr(module, "network_spec", lambda name: network_spec(f"timm/tf_{name}"))
    theirs = Backbone("efficientnet_lite0", (16, 32), state)
    images = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(one, other) for one, other in zip(ours(images), theirs(images), strict=True))
    assert list(ours.state()) == list(theirs.state())
    assert ours.weights_fingerprint == theirs.weights_fingerprint
    assert np.array_equal(ours.offsets, theirs.offsets)
    assert ours.receptive_fields() == theirs.receptive_fields()
