import numpy as np
import pytest
import torch
from finetune_problem import CLASSES, LENGTH, SETTINGS

from detection.learning.finetune.network import Scaling, TrainedHead, initial_layers


def test_given_layers_take_the_place_of_gaussian_ones():
    rng = np.random.default_rng(0)
    given = {"fc6.weight": rng.normal(size=(12, 5)).astype(np.float32), "fc7.bias": np.ones(10, np.float32)}
    plain, layers = (initial_layers(LENGTH, CLASSES, SETTINGS, one, start=4) for one in (None, given))
    assert (layers["fc6.weight"][:, 4:9] == given["fc6.weight"]).all()
    assert (layers["fc6.weight"][:, :4] == plain["fc6.weight"][:, :4]).all()
    assert (layers["fc7.bias"] == 1).all()
    with pytest.raises(ValueError, match=r"fc7.bias: expected shape \(10,\), got \(9,\)"):
        initial_layers(LENGTH, CLASSES, SETTINGS, {"fc7.bias": np.ones(9, np.float32)})


def test_folding_keeps_the_function():
    rng = np.random.default_rng(0)
    layers = initial_layers(LENGTH, CLASSES, SETTINGS)
    scaling = Scaling(rng.normal(size=LENGTH), rng.uniform(0.5, 2, LENGTH))
    identity = Scaling(np.zeros(LENGTH), np.ones(LENGTH))
    values = torch.from_numpy(rng.normal(size=(7, LENGTH)).astype(np.float32))
    plain = TrainedHead(layers, identity, 0.0)(values)
    unfolded = scaling.unfolded(layers)
    assert torch.allclose(TrainedHead(unfolded, scaling, 0.0)(values), plain, atol=1e-5)
    assert torch.allclose(TrainedHead(scaling.folded(unfolded), identity, 0.0)(values), plain, atol=1e-5)


def test_dropout_keeps_the_mean():
    network = TrainedHead(initial_layers(LENGTH, CLASSES, SETTINGS), Scaling(np.zeros(LENGTH), np.ones(LENGTH)), 0.5)
    values = network._drop(torch.ones(100, 100), torch.Generator().manual_seed(0))
    assert set(values.unique().tolist()) == {0.0, 2.0}
    assert abs(float(values.mean()) - 1) < 0.05
    # Drawn where the values are, whatever the device.
    assert network._drop(torch.ones(2, 3, device="meta"), torch.Generator()).device.type == "meta"
