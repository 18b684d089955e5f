"""Where the cells of a network's maps look, measured on the network itself: the centre of cell 0, and the px that
weigh most. ``receptive_layers`` computes all that a cell can see.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import fx, nn

from detection.backbones.receptive_layers import ReceptiveField

# Small enough for every activation and gate to be linear there.
_AMPLITUDE = 1e-6
# What oneDNN and torch say where memory is short.
_SHORT_MEMORY = ("create a primitive", "allocate memory", "out of memory")
_FIRST_LENGTH = 512
_LAST_LENGTH = 8192
# Cells compared around the strip's middle.
_CELLS = 4
# Where all paths through a network have one centre it is a multiple of half a px, and the measured one is so up
# to rounding; parallel paths with several centres give something in between.
_TOLERANCE = 1e-2
_DECIMALS = 2
# Largest side in px of the images on which gradients are taken; cells may see more, but hardly weigh it.
_EFFECTIVE_SIDE = 768


def measure_offsets(cut: fx.GraphModule, strides: tuple[int, ...]) -> np.ndarray:
    """Centre (y, x) of cell 0 of every stage, (T, 2) float64, in continuous px of the network's input.

    Every convolution of a copy becomes an average, so that a cell of the response to a ramp of grey levels
    holds the coordinate of its own centre. Inputs' sides must be multiples of the largest stride. Raises
    ValueError where the network has no such centres.
    """
    probe = _averaging_copy(cut)
    rows = [_axis_offsets(probe, strides, axis) for axis in (0, 1)]
    return np.stack(rows, axis=1)


def _averaging_copy(cut: fx.GraphModule) -> nn.Module:
    probe = copy.deepcopy(cut)
    for path, module in list(probe.named_modules()):
        if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            module.weight.data.fill_(1 / module.weight[0].numel())
            if module.bias is not None:
                module.bias.data.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.fill_(1)
            module.bias.data.zero_()
            module.running_mean.zero_()
            module.running_var.fill_(1)
        elif "Norm" in type(module).__name__ and not any(True for _ in module.children()):
            parent, _, name = path.rpartition(".")
            setattr(probe.get_submodule(parent), name, nn.Identity())
    return probe


@torch.inference_mode()
def _axis_offsets(probe: nn.Module, strides: tuple[int, ...], axis: int) -> np.ndarray:
    length = _FIRST_LENGTH
    while length <= _LAST_LENGTH:
        ramp = (torch.arange(length, dtype=torch.float32) + 0.5) / length
        # A maximum over a rising ramp errs to one side, over a falling one as far to the other.
        lines = _AMPLITUDE * torch.stack([torch.ones_like(ramp), ramp, ramp.flip(0)])
        strip = lines[:, None, None, :].expand(3, 3, 2 * max(strides), length)
        if axis == 0:
            strip = strip.transpose(2, 3)
        try:
            maps = probe(strip.contiguous())
        except (RuntimeError, AssertionError) as error:
            if any(words in str(error) for words in _SHORT_MEMORY):
                raise MemoryError(str(error)) from error
            raise ValueError(f"backbone: the network does not run on images of any size: {error}") from error
        offsets = [_offset(one, stride, axis, length) for one, stride in zip(maps, strides, strict=True)]
        if all(offset is not None for offset in offsets):
            return np.array(offsets)
        length *= 2
    raise ValueError(f"backbone: no constant centre of its cells was found with strides {strides}")


def _offset(response: torch.Tensor, stride: int, axis: int, length: int) -> float | None:
    """Offset of cell 0, or None where cells around the middle do not lie `stride` px apart."""
    values = response.mean(1).movedim(axis + 1, -1)
    values = values[:, values.shape[1] // 2].double()
    middle = values.shape[1] // 2
    if middle < _CELLS:
        return None
    cells = torch.arange(middle - _CELLS // 2, middle + _CELLS // 2)
    constant, rising, falling = values[:, cells]
    offsets = (0.5 * ((rising - falling) / constant + 1) * length - stride * cells).numpy()
    # Not so where the receptive field reaches beyond the strip.
    if not offsets.max() - offsets.min() < _TOLERANCE:
        return None
    snapped = round(2 * float(offsets.mean())) / 2
    return snapped if abs(offsets.mean() - snapped) < _TOLERANCE else round(float(offsets.mean()), _DECIMALS)


def effective_field(
    network: nn.Module,
    fields: Sequence[ReceptiveField],
    stage: int,
    offset: np.ndarray,
    share: float = 0.95,
    images: int = 4,
    seed: int = 0,
) -> ReceptiveField:
    """The square around a cell's centre in which `share` of its gradient's energy lies.

    network: images -> maps of its stages. fields: of ``receptive_layers.receptive_fields``, one a stage. offset:
    (2,) centre (y, x) of the stage's cell (0, 0). Energy of a px: the square of the derivative of the cell's values,
    of which one random mixture an image is taken, summed over colours and over `images` Gaussian random images of
    `seed`. (W. Luo et al., Understanding the effective receptive field, NIPS 2016, use the same gradient.) Raises
    ValueError for a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"effective receptive field: expected a share above 0 and below 1, got {share}")
    stride, largest = fields[stage].stride, max(field.stride for field in fields)
    wanted = min(max(fields[stage].size) + 2 * largest, _EFFECTIVE_SIDE)
    side = int(np.ceil(wanted / largest)) * largest
    cell = round((side / 2 - float(offset.max())) / stride)
    energy, generator = np.zeros((side, side)), torch.Generator().manual_seed(seed)
    for _ in range(images):
        pixels = torch.randn(1, 3, side, side, generator=generator).requires_grad_()
        values = network(pixels)[stage][0, :, cell, cell]
        (values * torch.randn(len(values), generator=generator)).sum().backward()
        energy += pixels.grad[0].double().square().sum(0).numpy()
    return _square_of_share(energy, np.asarray(offset) + stride * cell, share, stride, cell)


def _square_of_share(energy: np.ndarray, centre: np.ndarray, share: float, stride: int, cell: int) -> ReceptiveField:
    rows, columns = (np.abs(np.arange(len(energy)) + 0.5 - at) for at in centre)
    # From the centre to the far edge of a px.
    reach = np.maximum(rows[:, None], columns[None, :]).ravel() + 0.5
    order = np.argsort(reach, kind="stable")
    held = np.cumsum(energy.ravel()[order])
    radius = float(reach[order][np.searchsorted(held, share * held[-1])])
    low, high = centre - stride * cell - radius, centre - stride * cell + radius
    return ReceptiveField((float(low[0]), float(low[1])), (float(high[0]), float(high[1])), stride)
