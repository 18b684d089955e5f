import pickle

import torch
from torch import fx, nn

from detection.engines.torch_engine import TorchEngine


class Stages(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)

    def forward(self, x):
        x = self.first(x)
        return x, self.second(x)


def test_the_maps_are_the_networks_without_gradients():
    network = fx.symbolic_trace(Stages())
    engine, images = TorchEngine(network, 4), torch.randn(2, 3, 16, 24)
    found = engine(images)
    for one, other in zip(found, network(images), strict=True):
        torch.testing.assert_close(one, other.detach())
        assert not one.requires_grad
    again = pickle.loads(pickle.dumps(engine))
    assert all(torch.equal(one, other) for one, other in zip(again(images), found, strict=True))


def test_weights_loaded_later_count():
    network = fx.symbolic_trace(Stages())
    engine, images = TorchEngine(network, 4), torch.randn(1, 3, 16, 24)
    network.load_state_dict({name: torch.zeros_like(value) for name, value in network.state_dict().items()})
    assert all(not one.any() for one in engine(images))
