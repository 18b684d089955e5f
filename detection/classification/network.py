"""The paper's figure 3: convolutions, a spatial pyramid, fc6, fc7 and a softmax, for images of any size."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from detection.backbones.backbone import Backbone
from detection.backbones.spec import Stages
from detection.classification.settings import ClassifierSettings
from detection.learning.finetune.network import Scaling, TrainedHead, initial_layers, optimiser_of, set_learning_rate
from detection.pooling.torch_pooling import SpatialPyramidPooling

# Draws of the order and of mirroring, and of dropout, have generators of their own.
_ORDER, _DROPOUT = 1, 2
# Share of the epochs after which the learning rate is a tenth.
_LATE, _LATE_FACTOR = 2 / 3, 0.1


class SPPNet(nn.Module):
    """Images of any size -> class scores. backbone: its stages are pooled and joined.

    head: fc6, fc7 and the last layer, with as many outputs as there are classes.
    """

    def __init__(self, backbone: Backbone, pooling: SpatialPyramidPooling, head: TrainedHead) -> None:
        super().__init__()
        self.backbone, self.pooling, self.head = backbone, pooling, head

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 normalised, any H and W -> (N, D) pooled vectors.

        Sides are padded with the mean colour to multiples of the largest stride; cells that see padding first of all
        are not pooled.
        """
        height, width = images.shape[2:]
        multiple = max(self.backbone.strides)
        padded = functional.pad(images, (0, -width % multiple, 0, -height % multiple))
        maps = self.backbone.network(padded.contiguous(memory_format=torch.channels_last))
        parts = []
        for one, stride, offset in zip(maps, self.backbone.strides, self.backbone.offsets, strict=True):
            rows = _valid_cells(height, stride, float(offset[0]), one.shape[2])
            columns = _valid_cells(width, stride, float(offset[1]), one.shape[3])
            parts.append(self.pooling(one[:, :, :rows, :columns]))
        return torch.cat(parts, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) normalised images -> (N, L) logits, without dropout."""
        return self.head(self.pooled(images))

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """(V, D) pooled vectors -> (V, L) float32 softmax."""
        with torch.inference_mode():
            rows = torch.from_numpy(vectors).to(self.head.fc6.weight.device)
            return self.head(rows).softmax(1).cpu().numpy()


def _valid_cells(length: int, stride: int, offset: float, cells: int) -> int:
    """`geometry.valid_cells` in integers, so that it can be traced."""
    seen = (2 * length - round(2 * offset) + 2 * stride - 1) // (2 * stride)
    return seen if torch.compiler.is_compiling() else min(max(seen, 1), cells)


def new_network(
    backbone: Backbone,
    pooling: SpatialPyramidPooling,
    num_classes: int,
    settings: ClassifierSettings,
    scaling: Scaling,
) -> SPPNet:
    """An untrained one for vectors of the `scaling`."""
    layers = initial_layers(len(scaling.shift), num_classes - 1, settings.layers())
    return SPPNet(backbone, pooling, TrainedHead(layers, scaling, settings.dropout))


def scaling_of(vectors: np.ndarray, settings: ClassifierSettings) -> Scaling:
    """Vectors (N, D) to mean 0 and deviation 1 of each value; hardly varying ones are not blown up."""
    deviation = vectors.std(axis=0, dtype=np.float64)
    spread = deviation + settings.layers().deviation_floor * deviation.mean()
    factor = np.divide(1.0, spread, out=np.ones_like(spread), where=spread > 0)
    return Scaling(vectors.mean(axis=0, dtype=np.float64), factor)


def soft_targets(presence: np.ndarray) -> np.ndarray:
    """(N, L) int8 presence -> (N, L) float32: 1 shared by the classes on an image; 0 where there is none."""
    there = (presence == 1).astype(np.float32)
    return there / np.maximum(there.sum(axis=1, keepdims=True), 1)


Batch = Callable[[np.ndarray, int, np.ndarray], torch.Tensor]


def train_network(network: SPPNet, batch: Batch, targets: np.ndarray, settings: ClassifierSettings) -> Iterator[float]:
    """Train on images; yields the mean loss of each epoch. Epoch e is at size ``settings.sizes[e % len(sizes)]``.

    batch(rows, size, mirrored): the pooled vectors (n, D) of images `rows` at `size`, those of `mirrored` mirrored;
    with gradients where the convolutions are trained. targets: (N, L) of `soft_targets`; images without any class are
    left out.
    """
    order = np.random.default_rng([settings.seed, _ORDER])
    dropout = torch.Generator(network.head.fc6.weight.device).manual_seed(settings.seed + _DROPOUT)
    usable = np.flatnonzero(targets.sum(axis=1) > 0)
    optimiser = _optimiser(network, settings)
    late = _LATE * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: _LATE_FACTOR if epoch >= late else 1.0)
    for epoch in range(settings.epochs):
        size, total = settings.sizes[epoch % len(settings.sizes)], 0.0
        rows = order.permutation(usable)
        for start in range(0, len(rows), settings.batch_size):
            part = rows[start : start + settings.batch_size]
            flips = order.random(len(part)) < 0.5 if settings.flips else np.zeros(len(part), bool)
            logits = network.head(batch(part, size, flips), dropout)
            loss = functional.cross_entropy(logits, torch.from_numpy(targets[part]).to(logits.device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(part)
        schedule.step()
        yield total / max(len(rows), 1)


def _optimiser(network: SPPNet, settings: ClassifierSettings) -> torch.optim.SGD:
    """Of the head, and of the convolutions where they are trained, at their first learning rates."""
    layers = settings.layers()
    optimiser = optimiser_of(network.head, layers)
    set_learning_rate(optimiser, settings.learning_rate, layers.bias_rate)
    if not settings.frozen:
        weights = list(network.backbone.network.parameters())
        optimiser.add_param_group({"params": weights, "lr": settings.backbone_rate, "weight_decay": 0.0})
    return optimiser


def batches_of_vectors(known: Mapping[int, np.ndarray], device: str) -> Batch:
    """What `train_network` takes where the convolutions are frozen. known: size -> (N, 2, D), as is and mirrored."""
    return lambda rows, size, mirrored: torch.from_numpy(known[size][rows, mirrored.astype(int)]).to(device)


def batches_of_images(network: SPPNet, pixels: Callable[[int, int, bool], np.ndarray], device: str) -> Batch:
    """The same where the convolutions are trained. pixels(row, size, mirrored): (H, W, 3) float32 normalised.

    Images go through the convolutions one by one, as they may have any size.
    """

    def batch(rows: np.ndarray, size: int, mirrored: np.ndarray) -> torch.Tensor:
        inputs = (pixels(int(row), size, bool(flip)) for row, flip in zip(rows, mirrored, strict=True))
        return torch.cat([network.pooled(torch.from_numpy(one)[None].permute(0, 3, 1, 2).to(device)) for one in inputs])

    return batch


def trainable(backbone: Backbone, device: str) -> Backbone:
    """A copy whose convolutions are trained."""
    copy = Backbone(backbone.name, backbone.stages, backbone.state(), device, offsets=backbone.offsets)
    copy.network.requires_grad_(True)
    return copy


def network_arrays(network: SPPNet, tuned: bool) -> dict[str, np.ndarray]:
    """All that `network_from` needs, name -> array. tuned: whether the convolutions were trained."""
    arrays = {f"backbone.{name}": value for name, value in network.backbone.state().items()}
    arrays |= {f"head.{name}": value for name, value in network.head.arrays().items()}
    arrays["offsets"] = network.backbone.offsets
    arrays["shift"], arrays["factor"] = (one.cpu().numpy() for one in (network.head.shift, network.head.factor))
    if tuned:
        state = network.backbone.network.state_dict()
        arrays |= {f"tuned.{name}": value.detach().cpu().numpy() for name, value in state.items()}
    return arrays


def network_from(
    arrays: Mapping[str, np.ndarray], name: str, stages: Stages, pooling: SpatialPyramidPooling, device: str = "cpu"
) -> SPPNet:
    """The network of `network_arrays`. name, stages: of its backbone. Raises ValueError for an older version's."""

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    backbone = Backbone(name, stages, part("backbone."), device, offsets=arrays["offsets"])
    if tuned := part("tuned."):
        own = {key: torch.from_numpy(value) for key, value in tuned.items()}
        if own.keys() != backbone.network.state_dict().keys():
            raise ValueError(
                "classifier: expected trained convolutions under the names that this version gives them, got "
                f"{', '.join(sorted(own)[:3])} ...; train the classifier again"
            )
        backbone.network.load_state_dict(own)
    head = TrainedHead(part("head."), Scaling(arrays["shift"], arrays["factor"]), 0.0)
    return SPPNet(backbone, pooling, head.to(device)).eval()
