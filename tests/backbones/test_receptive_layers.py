import math

import numpy as np
import pytest
import torch
from torch import fx, nn

from detection.backbones import Backbone
from detection.backbones.networks import cut_network, network_spec
from detection.backbones.receptive_layers import ReceptiveField, receptive_fields

# Name, strides, length of the strip in px that holds the largest field of them with room to spare.
BACKBONES = [
    ("alexnet", (16,), 320),
    ("vgg16", (4, 16), 352),
    ("resnet18", (8, 16, 32), 704),
    ("resnet50", (16, 32), 704),
    ("efficientnet_lite0", (8, 16, 32), 1088),
    ("timm/densenet121", (8,), 448),
]
SQUEEZING = "timm/mobilenetv3_small_050"


def fields_of(network, strides):
    return receptive_fields(fx.symbolic_trace(network), strides)


class Stages(nn.Module):
    """A network as `cut_network` gives it: a tuple of maps."""

    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, images):
        return (self.body(images),)


def test_alexnet_by_hand():
    # 11/4 pad 2, pool 3/2, 5 pad 2, pool 3/2, three times 3 pad 1: 11 + 2*4 + 4*8 + 2*8 + 3*2*16 = 163 px from -66 on.
    (field,) = receptive_fields(cut_network(network_spec("alexnet"), (16,)), (16,))
    assert field == ReceptiveField((-66.0, -66.0), (97.0, 97.0), 16)
    assert field.size == (163.0, 163.0)
    assert field.first_centre == (15.5, 15.5)
    assert field.boxes(np.array([[1, 3]])).tolist() == [[-18.0, -50.0, 145.0, 113.0]]
    assert field.boxes(np.zeros((0, 2))).shape == (0, 4)


class Padded(nn.Module):
    def forward(self, images):
        return nn.functional.pad(images, (1, 0, 2, 0))


class PaddedByName(nn.Module):
    def forward(self, images):
        return nn.functional.pad(images, pad=(1, 0, 2, 0))


def test_axes_dilation_and_names_of_padding():
    (field,) = fields_of(Stages(nn.Conv2d(3, 4, (3, 5), padding=(1, 0), dilation=(2, 1))), (1,))
    assert field == ReceptiveField((-1.0, 0.0), (4.0, 5.0), 1)
    (same,) = fields_of(Stages(nn.Conv2d(3, 4, 3, padding="same", dilation=3)), (1,))
    assert same == ReceptiveField((-3.0, -3.0), (4.0, 4.0), 1)
    for padded in (Padded(), PaddedByName()):
        (pooled,) = fields_of(Stages(nn.AvgPool2d(2), nn.ReLU(), padded), (2,))
        assert pooled == ReceptiveField((-4.0, -2.0), (-2.0, 0.0), 2)


class Parallel(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(3, 3, 5, padding=1)
        self.left = nn.Conv2d(3, 3, 1)

    def forward(self, images):
        return (torch.cat([self.wide(images), nn.functional.relu(self.left(images)) + images], 1),)


def test_paths_join_by_their_largest():
    assert fields_of(Parallel(), (1,)) == (ReceptiveField((-1.0, -1.0), (4.0, 4.0), 1),)


class Scaled(nn.Module):
    def forward(self, images):
        return (images * images.mean((2, 3), keepdim=True),)


def test_a_mean_over_the_image_sees_all_of_it():
    (field,) = fields_of(Scaled(), (1,))
    assert field.size == (math.inf, math.inf)
    (of_a_timm_network,) = receptive_fields(cut_network(network_spec(SQUEEZING), (16,)), (16,))
    assert of_a_timm_network.size == (math.inf, math.inf)
    assert of_a_timm_network.stride == 16


class Rolled(nn.Module):
    def forward(self, images):
        return (torch.roll(images, 1, 2),)


class Mixed(nn.Module):
    def forward(self, images):
        return (images + nn.functional.max_pool2d(images, 2),)


class Cropped(nn.Module):
    def forward(self, images):
        return (images[:, :, 1:],)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Rolled(), "got roll"),
        (Cropped(), "an index of rows or columns"),
        (Mixed(), r"one stride where they meet, got \[1, 2\]"),
        (Stages(nn.ConvTranspose2d(3, 3, 2)), "got ConvTranspose2d"),
        (Stages(nn.PixelShuffle(1)), "got PixelShuffle"),
        (Stages(nn.MaxPool2d(3, 2)), "expected a map of stride 1, got one of 2"),
    ],
)
def test_what_is_not_known_is_refused(network, message):
    with pytest.raises(ValueError, match=message):
        fields_of(network, (1,))


def touched(network, cells, axis, length, width):
    """First and last px + 1 along `axis` on which one cell of each stage depends, by gradients on a random image."""
    size = (length, width) if axis == 0 else (width, length)
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for one, cell in zip(network(images), cells, strict=True):
        values = one[0, :, cell, 0] if axis == 0 else one[0, :, 0, cell]
        (gradient,) = torch.autograd.grad(values.square().sum(), images, retain_graph=True)
        hit = torch.nonzero((gradient[0] != 0).any(0).any(1 - axis)).ravel()
        yield int(hit[0]), int(hit[-1]) + 1


@pytest.mark.parametrize(("name", "strides", "length"), BACKBONES, ids=lambda value: str(value))
def test_gradients_are_exactly_zero_outside_and_reach_the_edges(name, strides, length):
    backbone = Backbone.from_weights(name, strides, "random")
    fields = backbone.receptive_fields()
    # The strip's middle, so that nothing is cut off by the border.
    cells = [round((length / 2 - field.first_centre[0]) / field.stride) for field in fields]
    expected = [
        (f.low[0] + f.stride * cell, f.high[0] + f.stride * cell) for f, cell in zip(fields, cells, strict=True)
    ]
    assert min(low for low, _ in expected) > 0, "the strip is too short to prove anything"
    assert max(high for _, high in expected) < length
    for axis in (0, 1):
        # A strip: what a cell sees of rows does not depend on columns.
        assert list(touched(backbone.network, cells, axis, length, max(32, *strides))) == expected


def test_the_effective_field_of_a_known_network():
    from detection.backbones.receptive import effective_field

    # A 9 x 9 kernel with weight 1 in the middle, 1 in its neighbours and little beyond: energies 1 and 8 x 1.
    conv = nn.Conv2d(3, 1, 9, padding=4, bias=False)
    weights = torch.full((9, 9), 1e-3)
    weights[3:6, 3:6] = 1.0
    conv.weight.data[:] = weights
    network = Stages(conv)
    (field,) = fields_of(network, (1,))
    offset = np.array([0.5, 0.5])
    found = effective_field(network, [field], 0, offset, share=0.95)
    assert found == ReceptiveField((-1.0, -1.0), (2.0, 2.0), 1)
    assert effective_field(network, [field], 0, offset, share=0.1).size == (1.0, 1.0)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"expected a share above 0 and below 1, got {share}"):
            effective_field(network, [field], 0, offset, share=share)


def test_the_effective_field_lies_inside():
    backbone = Backbone.from_weights("resnet18", (8,), "random")
    (whole,), part = backbone.receptive_fields(), backbone.effective_field(0)
    assert whole.first_centre == tuple(backbone.offsets[0])
    assert 8 < part.size[0] < whole.size[0]
    assert part.first_centre == whole.first_centre
    assert backbone.effective_field(0, 0.5).size[0] < part.size[0]
