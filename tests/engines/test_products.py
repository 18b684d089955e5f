"""Both libraries give the products of matrices, and rows do not depend on their neighbours."""

import pytest
import torch

from detection.engines import products
from detection.engines.products import FixedMatrices, linear


@pytest.fixture(params=[True, False], autouse=True)
def onednn(request, monkeypatch):
    monkeypatch.setattr(products, "onednn_multiplies_faster", lambda: request.param)


@pytest.mark.parametrize("shape", [(1, 5, 3), (40, 64, 48), (256, 600, 32)])
@pytest.mark.parametrize("biased", [True, False])
@torch.inference_mode()
def test_linear(shape, biased):
    torch.manual_seed(0)
    count, inputs, outputs = shape
    values, weight = torch.randn(count, inputs), torch.randn(outputs, inputs)
    bias = torch.randn(outputs) if biased else None
    expected = torch.nn.functional.linear(values.double(), weight.double(), bias.double() if biased else None)
    torch.testing.assert_close(linear(values, weight, bias), expected.float(), rtol=1e-4, atol=1e-4)
    assert linear(values.double(), weight.double()).dtype == torch.float64


@torch.inference_mode()
def test_rows_have_their_bits_wherever_they_stand():
    torch.manual_seed(1)
    values, weight = torch.randn(256, 600), torch.randn(64, 600)
    moved = torch.zeros(256, 600)
    moved[100:140] = values[3:43]
    assert torch.equal(linear(moved, weight)[100:140], linear(values, weight)[3:43])


@torch.inference_mode()
def test_fixed_matrices():
    torch.manual_seed(2)
    weights = torch.randn(5, 9, 12)
    fixed = FixedMatrices(weights, 8)
    assert (fixed.outputs, fixed.inputs) == (9, 12)
    for rows in (1, 8, 30):
        values = torch.randn(5, rows, 12)
        expected = torch.stack([one @ weight.T for one, weight in zip(values, weights, strict=True)])
        torch.testing.assert_close(fixed.linear(values), expected)
