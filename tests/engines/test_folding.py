"""Networks with fewer layers give the outputs of those they were made from."""

import pytest
import torch
from torch import fx, nn

from detection.backbones.lite import Conv2dSame
from detection.engines.folding import fold


class Block(nn.Module):
    """A normed convolution, a norm of its own, an identity and TensorFlow's padding."""

    def __init__(self, stride=2):
        super().__init__()
        self.alone, self.first, self.norm = nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.again, self.same = nn.BatchNorm2d(8), Conv2dSame(8, 8, 3, stride, groups=8, bias=False)
        self.nothing, self.activation = nn.Identity(), nn.ReLU6()

    def forward(self, x):
        x = self.again(self.norm(self.first(self.alone(x))))
        return self.same(self.activation(self.nothing(x)))


class Tracer(fx.Tracer):
    def is_leaf_module(self, module, name):
        return isinstance(module, Conv2dSame) or super().is_leaf_module(module, name)


def traced(module):
    torch.manual_seed(0)
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.running_mean.normal_()
            one.running_var.uniform_(0.5, 2)
            nn.init.normal_(one.bias)
    module.eval()
    return fx.GraphModule(module, Tracer().trace(module))


def kinds(network):
    return [type(one).__name__ for one in network.modules()]


@pytest.mark.parametrize("stride", [1, 2])
def test_outputs_stay(stride):
    network = traced(Block(stride))
    images = torch.randn(2, 3, 12, 20)
    folded = fold(network)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-5, atol=1e-5)
    # The norm before any convolution stays, those after one and the identity go.
    assert kinds(folded).count("BatchNorm2d") == 1
    assert not {"Identity", "Conv2dSame"} & set(kinds(folded))


def test_the_network_given_stays_as_it_was():
    network = traced(Block())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold(network)
    assert kinds(network).count("BatchNorm2d") == 3
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_convolution_with_two_readers_or_two_calls_keeps_its_norm():
    class Shared(nn.Module):
        def __init__(self, twice):
            super().__init__()
            self.twice, self.conv, self.norm = twice, nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            x = self.conv(x) if self.twice else x
            y = self.conv(x)
            return self.norm(y) if self.twice else self.norm(y) - y

    images = torch.randn(1, 3, 9, 9)
    for twice in (False, True):
        network = traced(Shared(twice))
        folded = fold(network)
        assert "BatchNorm2d" in kinds(folded)
        torch.testing.assert_close(folded(images), network(images))


def test_gradients_are_those_of_the_network_given():
    network = traced(Block()).requires_grad_(False)
    gradients = []
    for one in (network, fold(network)):
        leaf = torch.ones(1, 3, 12, 12).requires_grad_()
        one(leaf).square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
