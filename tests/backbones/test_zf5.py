import numpy as np
import pytest
import torch

from detection.backbones import Backbone
from detection.backbones.zf5 import ZF5, WithinChannelResponseNorm
from detection.features import FeatureExtractor, FeatureSettings
from detection.storage import write_arrays


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights that fc6 and fc7 lie in too."""
    torch.manual_seed(0)
    arrays = {name: value.numpy() for name, value in ZF5().state_dict().items()}
    rng = np.random.default_rng(0)
    shapes = {"fc6.weight": (6, 256 * 5), "fc6.bias": (6,), "fc7.weight": (4, 6), "fc7.bias": (4,)}
    arrays |= {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    path = tmp_path_factory.mktemp("zf5") / "zf5.safetensors"
    write_arrays(path, arrays, {})
    return path


def test_layers_are_those_of_the_paper():
    shapes = {name: tuple(value.shape) for name, value in ZF5().state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "conv1.weight": (96, 3, 7, 7), "conv2.weight": (256, 96, 5, 5), "conv3.weight": (384, 256, 3, 3),
        "conv4.weight": (384, 384, 3, 3), "conv5.weight": (256, 384, 3, 3),
    }  # fmt: skip
    # 224 px give the released code's 13 x 13 cells (sz_conv_standard), and 14 x 14 with the paper's padding.
    images = torch.zeros(1, 3, 224, 224)
    assert [tuple(ZF5(released)(images).shape[2:]) for released in (True, False)] == [(13, 13), (14, 14)]


@pytest.mark.parametrize("name", ["zf5", "zf5_released"])
def test_weights_of_a_file(weights, name):
    settings = FeatureSettings(
        backbone=name, weights=str(weights), stages=(16,), short_sides=(96,), levels=(1, 2), layer="fc7",
        head=str(weights), engine="torch",
    )  # fmt: skip
    extractor = FeatureExtractor.from_settings(settings)
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    regions = extractor.regions(extractor.pyramid("a", rgb), np.array([[4, 5, 70, 55]], np.float32))
    assert regions.values.shape == (1, 4)
    assert extractor.backbone.mean == (128.0, 128.0, 128.0)
    again = FeatureExtractor.from_state(settings, extractor.state())
    other = again.regions(again.pyramid("a", rgb), np.array([[4, 5, 70, 55]], np.float32))
    assert other.values.tobytes() == regions.values.tobytes()


def test_without_a_file_it_says_what_the_file_must_hold():
    with pytest.raises(ValueError, match=r"nobody publishes zf5's; .* conv1.weight \(96, 3, 7, 7\), conv1.bias"):
        Backbone.from_weights("zf5", (16,), "default")


def test_norm_within_channels_by_loops():
    values = torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    got = WithinChannelResponseNorm(3, 0.5, 0.75)(values)
    for channel in range(2):
        for y in range(4):
            for x in range(5):
                near = values[0, channel, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                expected = values[0, channel, y, x] * (1 + 0.5 * float((near**2).sum()) / 9) ** -0.75
                assert abs(float(got[0, channel, y, x]) - float(expected)) < 1e-5
