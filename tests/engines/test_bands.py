"""Convolutions in bands of rows give what they give in one piece, bit for bit."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import fx, nn

from detection.backbones import Backbone
from detection.engines import bands
from detection.engines.bands import ConvolutionChain, in_bands
from detection.engines.fusion import fuse


@pytest.fixture
def narrow_bands(monkeypatch):
    """Every chain goes in bands, of a few rows each."""
    monkeypatch.setattr(bands, "_LARGE", 1)
    monkeypatch.setattr(bands, "_BAND", 4096)


class _Inverted(nn.Module):
    def __init__(self, kernel: int, stride: int, dilation: int, padding: int, adds: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.wide = nn.Conv2d(8, 48, 1)
        self.depthwise = nn.Conv2d(48, 48, kernel, stride, padding, dilation, groups=48)
        self.narrow, self.act, self.adds = nn.Conv2d(48, 8, 1), nn.ReLU6(), adds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.narrow(self.act(self.depthwise(self.act(self.wide(x)))))
        return y + x if self.adds else y


def _chains(network: nn.Module) -> list[ConvolutionChain]:
    return [one for one in network.modules() if isinstance(one, ConvolutionChain)]


SHAPES = [(3, 1, 1, 1, True), (5, 1, 1, 2, True), (3, 2, 1, 1, False), (6, 2, 1, 2, False), (4, 3, 1, 0, False)]


@pytest.mark.parametrize(("kernel", "stride", "dilation", "padding", "adds"), [*SHAPES, (3, 1, 3, 3, True)])
@pytest.mark.parametrize("size", [(65, 40), (38, 64)])
def test_bands_have_the_values_of_one_piece(kernel, stride, dilation, padding, adds, size, narrow_bands, monkeypatch):
    torch.manual_seed(0)
    network = fuse(fx.symbolic_trace(_Inverted(kernel, stride, dilation, padding, adds).eval()))
    images = torch.randn(1, 3, *size).contiguous(memory_format=torch.channels_last)
    counts = []
    original = ConvolutionChain._in_bands
    monkeypatch.setattr(
        ConvolutionChain, "_in_bands", lambda self, x, other, sizes, rows: (
            counts.append(-(-sizes[-1][0] // rows)), original(self, x, other, sizes, rows)
        )[1],
    )  # fmt: skip
    with torch.inference_mode():
        expected, got = network(images), in_bands(network)(images)
    assert min(counts, default=0) > 1
    assert torch.equal(got, expected)
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_and_a_small_map_go_in_one_piece(monkeypatch):
    network = fuse(fx.symbolic_trace(_Inverted(3, 1, 1, 1, True).eval()))
    view = in_bands(network)
    monkeypatch.setattr(ConvolutionChain, "_in_bands", None)
    with torch.inference_mode():
        small = torch.randn(1, 3, 32, 32)
        torch.testing.assert_close(view(small), network(small))
        monkeypatch.setattr(bands, "_LARGE", 1)
        monkeypatch.setattr(bands, "_BAND", 4096)
        batch = torch.randn(2, 3, 40, 40)
        torch.testing.assert_close(view(batch), network(batch))
        # One image of that size would go in bands.
        with pytest.raises(TypeError):
            view(batch[:1])


def test_a_map_that_others_read_ends_a_chain():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return torch.cat([self.third(self.second(x)), x], 1)

    network = fuse(fx.symbolic_trace(Shared().eval()))
    view = in_bands(network)
    assert [len(one._layers) for one in _chains(view)] == [2]
    images = torch.randn(1, 3, 20, 20)
    with torch.inference_mode():
        assert torch.equal(view(images), network(images))


def test_backbones_keep_their_weights_names_and_can_be_copied(narrow_bands):
    backbone = Backbone.from_weights("efficientnet_lite0", (16, 32), "random")
    names = list(backbone.state_dict())
    images = torch.randn(1, 3, 96, 128)
    expected = backbone(images)
    assert len(_chains(backbone._by_bands())) == 16
    assert list(backbone.state_dict()) == names
    for one in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        # A copy's bands are of its own weights.
        with torch.no_grad():
            for weight in one.network.parameters():
                weight.zero_()
        assert all(float(map_.abs().max()) == 0 for map_ in one(images))
    assert all(torch.equal(map_, other) for map_, other in zip(backbone(images), expected, strict=True))
    with torch.inference_mode():
        plain = backbone.network(images.contiguous(memory_format=torch.channels_last))
    assert all(torch.equal(map_, other) for map_, other in zip(plain, expected, strict=True))


def test_a_network_that_is_exported_has_the_layers_of_its_file(monkeypatch):
    backbone = Backbone.from_weights("efficientnet_lite0", (16,), "random")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    backbone(torch.randn(1, 3, 32, 64))
    assert backbone._in_bands is None
    monkeypatch.undo()
    backbone(torch.randn(1, 3, 32, 64))
    assert _chains(backbone._in_bands)
