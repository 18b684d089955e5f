"""Products of float32 matrices on a CPU, by the faster of the two libraries that PyTorch brings.

`torch.mm` and its kin go to a BLAS that leaves AVX-512 unused on AMD's processors: there oneDNN was 2.3 times as fast
(243 against 103 GFLOP/s), and 1.1 to 1.2 times when held to AVX2. Elsewhere nothing was measured, and the BLAS is kept.
"""

from __future__ import annotations

import torch


def linear(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Values @ weight.T + bias: (n, inputs), (outputs, inputs), (outputs,) -> (n, outputs), without gradients."""
    plain = values.device.type != "cpu" or values.dtype != torch.float32 or torch.compiler.is_compiling()
    if plain or not onednn_multiplies_faster():
        return torch.nn.functional.linear(values, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")


class FixedMatrices:
    """Matrices (B, outputs, inputs) that are multiplied often, by about `rows` rows at a time. Cannot be copied."""

    def __init__(self, weights: torch.Tensor, rows: int) -> None:
        self.outputs, self.inputs = weights.shape[1:]
        self._transposed, self._packed = None, []
        if onednn_multiplies_faster():
            # In the order in which it reads them: a tenth of the time of small products.
            self._packed = [torch.ops.mkldnn._reorder_linear_weight(one, rows) for one in weights]
        else:
            self._transposed = weights.transpose(1, 2).contiguous()

    def linear(self, values: torch.Tensor) -> torch.Tensor:
        """`linear` of each: (B, n, inputs) float32 on the CPU -> (B, n, outputs)."""
        if self._transposed is not None:
            return torch.bmm(values, self._transposed)
        products = torch.empty(*values.shape[:2], self.outputs)
        for one, weight, product in zip(values, self._packed, products, strict=True):
            product.copy_(torch.ops.mkldnn._linear_pointwise(one, weight, None, "none", [], ""))
        return products


def onednn_multiplies_faster() -> bool:
    """Whether it does on this processor."""
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
