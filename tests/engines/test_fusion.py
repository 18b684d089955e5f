"""Networks with less work give the outputs of those they were made from."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from detection.engines import convolution as convolutions
from detection.engines.convolution import FusedConvolution
from detection.engines.fusion import fuse


class _Block(nn.Module):
    """A normed convolution, an activation module used twice, and a sum that one of them follows."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.last = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 8, 1)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.norm(self.first(x)))
        return self.activation(x + self.last(self.activation(self.depthwise(x))))


def _block(activation: nn.Module) -> fx.GraphModule:
    torch.manual_seed(0)
    block = _Block(activation).eval()
    block.norm.running_mean.normal_()
    block.norm.running_var.uniform_(0.5, 2)
    return fx.symbolic_trace(block)


def _joined(network: nn.Module) -> int:
    """Convolutions with an activation."""
    return sum(isinstance(one, FusedConvolution) and one.activation is not None for one in network.modules())


def _sums(network: fx.GraphModule) -> int:
    return sum(node.op == "call_function" for node in network.graph.nodes)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.SiLU(), nn.ReLU(inplace=True)])
@pytest.mark.parametrize("one_pass", [True, False])
def test_joined_activations_give_the_same_outputs(activation, one_pass, monkeypatch):
    if not one_pass:
        monkeypatch.setattr(convolutions, "_onednn_is_on_offer", lambda: False)
    network = _block(activation)
    images = 4 * torch.randn(2, 3, 20, 28)
    with torch.inference_mode():
        expected = network(images.clone())
        fused = fuse(network)
        got = fused(images.contiguous(memory_format=torch.channels_last))
    assert _joined(fused) == 3
    assert _sums(fused) == 0
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_unknown_activations_and_shared_outputs_stay_apart():
    assert _joined(fuse(_block(nn.Tanh()))) == 0

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.relu(x) - x

    network = fx.symbolic_trace(Shared().eval())
    images = torch.randn(1, 3, 9, 9)
    fused = fuse(network)
    assert _joined(fused) == 0
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), network(images))


def test_the_network_given_stays_as_it_was():
    network = _block(nn.ReLU())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fuse(network)
    assert _joined(network) == 0
    assert not network.activation.inplace
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_gradients_are_those_of_the_network_given():
    network = _block(nn.ReLU6()).requires_grad_(False)
    images = torch.randn(1, 3, 12, 12)
    gradients = []
    for one in (network, fuse(network)):
        leaf = images.clone().requires_grad_()
        one(leaf).square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[1], gradients[0])


def test_joined_convolutions_can_be_trained():
    convolution, images = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 9, 9)
    joined = FusedConvolution(convolution)
    joined.activate(nn.ReLU6())
    gradients = []
    for one in (joined, nn.Sequential(convolution, nn.ReLU6())):
        convolution.zero_grad()
        one(images).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in convolution.parameters()])
    assert all(gradient.abs().sum() > 0 for gradient in gradients[0])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_exported_networks_hold_no_operator_of_this_machine():
    fused = fuse(_block(nn.ReLU6()))
    program = torch.export.export(fused, (torch.randn(1, 3, 16, 16),))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("conv2d" in target for target in targets)
    assert not any("mkldnn" in target for target in targets)
