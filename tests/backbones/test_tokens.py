"""Plain vision transformers: timm's own outputs as maps, on weights under which every part counts."""

import pickle

import numpy as np
import pytest
import timm
import torch

from detection.backbones import Backbone
from detection.backbones.networks import cut_network, network_spec, random_state, stage_shapes
from detection.backbones.tokens import token_stages

TINY = "timm/vit_tiny_patch16_224"
# A class token; registers, another patch; rotary positions, registers; distilled; pre-norm; no prefix; no last norm.
KINDS = [
    "vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3",
    "deit_tiny_distilled_patch16_224", "vit_base_patch32_clip_224", "vit_base_patch16_siglip_224",
    "eva02_tiny_patch14_224",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def shallow():
    """Transformers of three blocks: timm's own functions make them."""
    made, patch = timm.create_model, pytest.MonkeyPatch()

    def create(name, *arguments, **options):
        depth = {"depth": 3} if "vit" in name or "deit" in name or "eva" in name else {}
        return made(name, *arguments, **depth, **options)

    patch.setattr(timm, "create_model", create)
    yield
    patch.undo()


def lively_state(name, stages):
    """Weights of any sign around what random ones are: positions, registers, norms and layer scales count."""
    state = random_state(cut_network(network_spec(name), stages), 0)
    rng = np.random.default_rng(1)
    return {key: value + rng.normal(0, 0.2, value.shape).astype(np.float32) for key, value in state.items()}


def images_of(*size, seed=0):
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_timms_own(kind):
    name = f"timm/{kind}"
    spec = network_spec(name)
    side = next(iter(spec.stages.values()))
    has_norm = "blocks.2.norm" in spec.stages
    stages = ("blocks.0", "blocks.2", side)
    state = lively_state(name, stages)
    backbone = Backbone(name, stages, state)
    assert backbone.strides == (side,) * 3
    assert backbone.offsets.tolist() == [[side / 2] * 2] * 3
    network = timm.create_model(kind, pretrained=False, dynamic_img_size=True).eval()
    left = network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=False)
    assert not left.unexpected_keys
    assert all(key.startswith(("head", "fc_norm", "attn_pool")) for key in left.missing_keys)
    for size in ((5 * side, 7 * side), (9 * side, 4 * side)):
        images = images_of(*size)
        with torch.inference_mode():
            raw = network.forward_intermediates(images, indices=[0, 2], intermediates_only=True, output_fmt="NCHW")
            last = network.forward_intermediates(
                images, indices=[2], norm=has_norm, intermediates_only=True, output_fmt="NCHW"
            )
        for one, other in zip(backbone(images), [*raw, *last], strict=True):
            assert one.shape == (1, backbone.channels[0], size[0] // side, size[1] // side)
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", [TINY, "timm/vit_small_patch14_reg4_dinov2", "timm/vit_small_patch16_dinov3"])
def test_attention_is_seen(name):
    """A cell far from a changed patch changes: with random weights too, whose layer scales are not zero."""
    backbone = Backbone.from_weights(name, ("blocks.0",), "random")
    side = backbone.strides[0]
    images = images_of(6 * side, 6 * side)
    changed = images.clone()
    changed[..., :side, :side] += 1
    assert (backbone(images)[0] - backbone(changed)[0])[0, :, 5, 5].abs().max() > 0


@pytest.mark.parametrize("name", ["timm/vit_small_patch14_reg4_dinov2", "timm/vit_small_patch16_dinov3"])
def test_openvino_gives_the_same_for_any_size(name):
    pytest.importorskip("openvino")
    stages = ("blocks.1", "blocks.2.norm")
    backbone = Backbone(name, stages, lively_state(name, stages), engine="openvino")
    side = backbone.strides[0]
    for size in ((5 * side, 7 * side), (16 * side, 16 * side), (9 * side, 4 * side)):
        images = images_of(*size)
        with torch.inference_mode():
            expected = backbone.network(images)
        for one, other in zip(backbone(images), expected, strict=True):
            assert (one - other).abs().max() <= 1e-4 * other.abs().max()


def test_a_cell_sees_the_whole_image():
    backbone = Backbone.from_weights(TINY, ("blocks.0", 16), "random")
    for field in backbone.receptive_fields():
        assert (field.low, field.high, field.stride) == ((-np.inf, -np.inf), (np.inf, np.inf), 16)
        assert field.boxes([[3, 4]]).tolist() == [[-np.inf, -np.inf, np.inf, np.inf]]
    assert max(backbone.effective_field(0).size) < np.inf


def test_blocks_behind_the_last_in_use_are_cut():
    whole, part = (Backbone.from_weights(TINY, (stage,), "random") for stage in (16, "blocks.1"))
    assert not any(key.startswith(("head", "norm", "blocks.2")) for key in part.state())
    assert {"norm.weight", "blocks.2.norm1.weight"} <= set(whole.state())
    again = Backbone(TINY, ("blocks.1",), part.state())
    assert torch.equal(again(images_of(32, 48))[0], part(images_of(32, 48))[0])
    copy = pickle.loads(pickle.dumps(part))
    assert torch.equal(copy(images_of(32, 48))[0], part(images_of(32, 48))[0])


def test_shapes_without_weights():
    assert stage_shapes(TINY, ("blocks.0", 16)) == ((16, 192, 0), (16, 192, 0))
    assert list(network_spec(TINY).stages)[::3] == ["blocks.0", "blocks.0.norm"]


def test_one_without_a_last_norm_has_its_blocks_alone():
    network = timm.create_model("eva02_tiny_patch14_224", dynamic_img_size=True)
    assert token_stages(network) == {"blocks.0": 14, "blocks.1": 14, "blocks.2": 14}


def test_wrong_stages_tell_the_right_ones():
    with pytest.raises(ValueError, match=r"has strides 16, got 32; stages by name: blocks\.0, .*blocks\.2\.norm$"):
        Backbone.from_weights(TINY, (32,), "random")
    with pytest.raises(ValueError, match=r"got blocks\.9"):
        Backbone.from_weights(TINY, ("blocks.9",), "random")
    with pytest.raises(ValueError, match="multiples of 16"):
        Backbone.from_weights(TINY, (16,), "random")(torch.zeros(1, 3, 32, 40))


def test_code_tells_what_layers_do_not():
    """What an engine keeps is named by it: equal layers and weights may compute something else."""
    one, other = (cut_network(network_spec(TINY), (stage,)).code for stage in ("blocks.2", "blocks.2.norm"))
    assert one != other
    assert timm.__version__ in one


@pytest.mark.parametrize("kind", ["vit_base_resnet26d_224", "beit_base_patch16_224", "vit_relpos_small_patch16_224"])
def test_others_with_attention_are_refused(kind):
    with pytest.raises(ValueError, match=r"^(backbone|stages): "):
        Backbone.from_weights(f"timm/{kind}", (16,), "random")
