"""What timm tells of its weights, and files of its publishers."""

import numpy as np
import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from detection.backbones import Backbone
from detection.backbones.networks import load_weights, network_spec, random_state
from detection.backbones.timm_networks import own_names, weights_source

DINOV2, DINOV3 = "timm/vit_small_patch14_reg4_dinov2", "timm/vit_small_patch16_dinov3"


def test_what_to_fetch():
    page = "https://huggingface.co/timm/vit_small_patch16_dinov3.lvd1689m"
    assert weights_source(DINOV3) == f"model.safetensors of {page} (licence: dinov3-license)"
    assert weights_source("timm/vit_base_resnet26d_224") == ""
    with pytest.raises(ValueError, match=r"timm knows none of 'timm/vit_base_resnet26d_224'; give the path"):
        load_weights("timm/vit_base_resnet26d_224", "default")


def test_without_a_network_the_file_is_named(monkeypatch):
    def refuse(*_, pretrained=False, **__):
        raise LocalEntryNotFoundError("no network\nhere")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ConnectionError) as raised:
        load_weights(DINOV2, "default")
    page = "https://huggingface.co/timm/vit_small_patch14_reg4_dinov2.lvd142m"
    assert str(raised.value) == (
        f"weights: those of {DINOV2!r} are not on this machine and cannot be fetched (no network here); fetch them "
        f"once with a network, or fetch model.safetensors of {page} (licence: apache-2.0) elsewhere, and give its path "
        "as weights: --features.weights FILE"
    )


@pytest.fixture(scope="module")
def state():
    return random_state(network_spec(DINOV2).network, 0)


def test_metas_own_file_fits(state, tmp_path):
    """DINOv2 as Meta publishes it: another name of the registers, a mask token, positions for the class token too."""
    theirs = {key: torch.from_numpy(value) for key, value in state.items()}
    theirs["register_tokens"], theirs["mask_token"] = theirs.pop("reg_token"), torch.zeros(1, 384)
    place = torch.full((1, 1, 384), 0.5)
    theirs["pos_embed"] = torch.cat([place, theirs["pos_embed"]], 1)
    torch.save(theirs, tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    found = load_weights(DINOV2, str(tmp_path / "dinov2_vits14_reg4_pretrain.pth"))
    assert found.keys() == state.keys()
    for key, value in found.items():
        np.testing.assert_array_equal(value, state[key] + (0.5 if key == "cls_token" else 0))
    assert Backbone(DINOV2, ("blocks.0",), found).weights_fingerprint


def test_a_file_with_the_networks_names_is_left_as_it_is(state):
    found = own_names(DINOV2, state)
    assert all(found[key] is value for key, value in state.items())


def test_a_file_that_timm_cannot_read_is_refused(state):
    with pytest.raises(ValueError, match=r"expected a state dict of .*dinov2', got one that timm cannot read"):
        own_names(DINOV2, {"mask_token": np.zeros(3, np.float32), "pos_embed": np.zeros(3, np.float32)})


def test_stages_by_name_of_a_convolutional_network():
    by_name, by_stride = (
        Backbone.from_weights("timm/mobilenetv3_small_050", stages, "random")
        for stages in (("blocks.3", "blocks.5"), (16, 32))
    )
    assert by_name.strides == by_stride.strides == (16, 32)
    assert by_name.weights_fingerprint == by_stride.weights_fingerprint
    assert by_name.offsets.tolist() == by_stride.offsets.tolist()
