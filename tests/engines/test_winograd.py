"""Winograd's algorithm gives the convolutions that loops over proposals give."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from detection.engines import products, winograd
from detection.engines.convolution import FusedConvolution

# Of the largest output; a direct convolution in float32 has 1e-6.
TOLERANCE = 3e-5


@pytest.fixture(params=[True, False], autouse=True)
def onednn(request, monkeypatch):
    """Products of matrices by oneDNN and by the BLAS, whichever is the faster one here."""
    monkeypatch.setattr(products, "onednn_multiplies_faster", lambda: request.param)


def exact(images, convolution):
    """In float64, by PyTorch."""
    bias = None if convolution.bias is None else convolution.bias.double()
    return nn.functional.conv2d(images.double(), convolution.weight.double(), bias, padding=convolution.padding)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(5, 5), (6, 7), (13, 5), (9, 150)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2), (4, 3)])
def test_any_size_and_padding(kernel, size, padding, monkeypatch):
    # Several rows of tiles at a time, and several times.
    monkeypatch.setattr(winograd, "_TILES", 6)
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, kernel, padding=padding).requires_grad_(False)
    images = torch.randn(2, 3, *size)
    kernels = winograd.transform_kernels(convolution.weight)
    got = winograd.convolve(images, kernels, kernel, convolution.bias, padding)
    expected = exact(images, convolution)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", [None, nn.ReLU(), nn.ReLU6(), nn.SiLU()])
def test_sum_and_activation_are_joined(activation, bias):
    torch.manual_seed(1)
    joined = FusedConvolution(nn.Conv2d(64, 64, 3, padding=1, bias=bias).requires_grad_(False))
    if activation is not None:
        joined.activate(activation)
    images, other = 4 * torch.randn(1, 64, 10, 11), torch.randn(1, 64, 10, 11)
    assert winograd.suits(joined.convolution)
    for added in (None, other):
        expected = exact(images, joined.convolution) + (0 if added is None else added)
        expected = expected if activation is None else activation(expected)
        with torch.inference_mode():
            got = joined(images, added)
        assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()
    assert other.abs().max() > 0


def test_products_by_hand():
    # One bright px under a kernel of distinct values: the kernel itself, turned round.
    kernel = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    got = winograd.convolve(image, winograd.transform_kernels(kernel), 3, None, (0, 0))
    assert np.allclose(got[0, 0], kernel[0, 0].flip(0, 1), atol=1e-5)


def test_new_weights_are_seen():
    torch.manual_seed(2)
    joined = FusedConvolution(nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False))
    images = torch.randn(1, 64, 6, 6)
    with torch.inference_mode():
        joined(images)
    other = nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False)
    joined.convolution.load_state_dict(other.state_dict())
    expected = exact(images, other)
    with torch.inference_mode():
        assert (joined(images) - expected).abs().max() <= TOLERANCE * expected.abs().max()


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding": "same"}, {"padding_mode": "circular"}]
)
def test_others_are_not_for_it(options):
    assert winograd.suits(nn.Conv2d(64, 64, 3))
    assert not winograd.suits(nn.Conv2d(64, 64, 3, **options))
    assert not winograd.suits(nn.Conv2d(32, 64, 3))
    assert not winograd.suits(nn.Conv2d(64, 64, 1))


def test_a_copy_makes_its_own_kernels():
    torch.manual_seed(3)
    joined = FusedConvolution(nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False))
    images = torch.randn(1, 64, 6, 6)
    with torch.inference_mode():
        expected = joined(images)
        for one in (copy.deepcopy(joined), pickle.loads(pickle.dumps(joined))):
            assert torch.equal(one(images), expected)
