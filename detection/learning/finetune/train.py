"""The training itself: rounds of pooled proposals, batches, snapshots, checkpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from detection.learning.finetune.distributed import Group
from detection.learning.finetune.files import Checkpoint, TrainingLog, read_checkpoint
from detection.learning.finetune.network import Scaling, TrainedHead, initial_layers, optimiser_of, set_learning_rate
from detection.learning.finetune.samples import Draw, LabelledRegions, Sampler, batches_of_a_round, split_images
from detection.learning.finetune.settings import FinetuneSettings

CHECKPOINT_FILE = "checkpoint.safetensors"
# Held-out proposals measured at a time.
_BLOCK = 1024


@dataclass(frozen=True)
class PoolRequest:
    """Proposals of one image to be pooled.

    image: its position. boxes: (n, 4) float32 in the image's own frame, also where `mirrored` asks for the vectors of
    the mirrored proposals in the mirrored image. scales: (n,) int64, the scale to pool from, -1 for the best one.
    """

    image: int
    boxes: np.ndarray
    mirrored: bool
    scales: np.ndarray


# Yields one (n, D) array of float16 a request, in order.
Pool = Callable[[Sequence[PoolRequest]], Iterator[np.ndarray]]
# on_step(iteration done, of so many)
OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class FinetunedHead:
    """The chosen snapshot. layers: fc6, fc7 and fc8, weight and bias each, for pooled vectors as they come.

    iteration: batches it had seen. measure: what it was chosen for, None where nothing was held out. held_out:
    positions of the images held out.
    """

    layers: Mapping[str, np.ndarray]
    iteration: int
    measure: float | None
    held_out: np.ndarray


@dataclass(frozen=True)
class FinetuneTask:
    """What is trained on what.

    images: all training images, in order. pool: their vectors, of `length` values. num_classes, num_scales: L, S.
    given, start: see ``network.initial_layers``. key: of all this and the settings; a checkpoint of another key is
    not gone on from. folder: for log and checkpoint.
    """

    images: Sequence[LabelledRegions]
    pool: Pool
    length: int
    num_classes: int
    num_scales: int
    key: str
    folder: Path
    given: Mapping[str, np.ndarray] | None = None
    start: int = 0


def finetune(
    task: FinetuneTask, settings: FinetuneSettings, group: Group | None = None, on_step: OnStep | None = None
) -> FinetunedHead:
    """Train until the last iteration, going on from the folder's checkpoint where there is one.

    Every process of `group` calls it with the same task. Batches are the same however many processes there are; each
    pools and computes the proposals of its own share of the images. Raises ValueError for data without foreground or
    background, and as `initial_layers`.
    """
    return _Training(task, settings, group or Group()).run(on_step or (lambda done, total: None))


@dataclass(frozen=True)
class _Samples:
    """The pooled proposals of a draw that this process has. rows: (N,) int64, the row of each proposal, -1 where
    another process has it. values: (M, D) float16. targets: (N,) int64.
    """

    rows: np.ndarray
    values: torch.Tensor
    targets: torch.Tensor

    def batch(self, chosen: np.ndarray, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        """(vectors, targets) on `device` of those of the proposals `chosen` that this process has."""
        mine = chosen[self.rows[chosen] >= 0]
        return self.values[self.rows[mine]].to(device), self.targets[mine].to(device)


class _Training:
    """State of one training run in one process."""

    def __init__(self, task: FinetuneTask, settings: FinetuneSettings, group: Group) -> None:
        self.task, self.settings, self.group = task, settings, group
        trained, self.held = split_images(len(task.images), settings)
        self.sampler = Sampler(task.images, trained, task.num_classes, task.num_scales, settings)
        self.batches = batches_of_a_round(task.length, settings)
        held = Sampler(task.images, self.held, task.num_classes, task.num_scales, settings) if len(self.held) else None
        self.held_draw = held.held_out() if held else None
        self.generator = torch.Generator(group.device)
        self.path = task.folder / CHECKPOINT_FILE
        self.best, self.best_iteration, self.best_measure = {}, 0, float("inf")
        self.round_number, self.samples, self.draw = -1, None, None

    def run(self, on_step: OnStep) -> FinetunedHead:
        settings, total = self.settings, self.settings.total_iterations
        checkpoint = read_checkpoint(self.path, self.task.key)
        self.iteration = 0 if checkpoint is None else checkpoint.iteration
        self._start(checkpoint)
        self.held_samples = None if self.held_draw is None else self._pooled(self.held_draw)
        self.log = TrainingLog(self.task.folder, self.iteration) if self.group.rank == 0 else None
        while self.iteration < total:
            row = self._step()
            done = self.iteration
            if done % settings.snapshot_every == 0 or done == total:
                row |= self._snapshot()
            if self.log and (done % settings.log_every == 0 or "held_out_loss" in row or done == total):
                self.log.add(row)
            if done % settings.checkpoint_every == 0 or done == total:
                self._write_checkpoint()
            on_step(done, total)
        if self.log:
            self.log.close()
        measure = None if self.held_draw is None else self.best_measure
        return FinetunedHead(self.scaling.folded(self.best), self.best_iteration, measure, self.held)

    def _start(self, checkpoint: Checkpoint | None) -> None:
        task, settings = self.task, self.settings
        if checkpoint is None:
            scaling = self._scaling()
            # Gaussian weights are for scaled vectors, given ones for vectors as they come.
            given = scaling.part(task.start, task.given).unfolded(task.given) if task.given else None
            layers = initial_layers(task.length, task.num_classes, settings, given, task.start)
            self.generator.manual_seed(_seed(settings.seed, self.group.rank, 0))
        else:
            layers, scaling = checkpoint.weights, Scaling(checkpoint.shift, checkpoint.factor)
            self.best, self.best_iteration = checkpoint.best, checkpoint.best_iteration
            self.best_measure = checkpoint.best_measure
            if len(checkpoint.generators) == self.group.size:
                self.generator.set_state(torch.from_numpy(checkpoint.generators[str(self.group.rank)]))
            else:
                # Other processes than before: dropout goes on with other masks.
                self.generator.manual_seed(_seed(settings.seed, self.group.rank, checkpoint.iteration))
        self.scaling = scaling
        self.network = TrainedHead(layers, scaling, settings.dropout).to(self.group.device)
        self.optimiser = optimiser_of(self.network, settings)
        for name, value in self.network.named_parameters():
            if checkpoint is not None and name in checkpoint.velocities:
                velocity = torch.from_numpy(checkpoint.velocities[name]).to(self.group.device)
                self.optimiser.state[value]["momentum_buffer"] = velocity

    def _scaling(self) -> Scaling:
        """Mean and deviation of the first round's values over all processes."""
        length = self.task.length
        if not self.settings.standardise:
            return Scaling(np.zeros(length), np.ones(length))
        self._enter_round(0)
        sums = torch.zeros(2, length, dtype=torch.float64)
        for start in range(0, len(self.samples.values), _BLOCK):
            block = self.samples.values[start : start + _BLOCK].double()
            sums += torch.stack([block.sum(0), block.square().sum(0)])
        self.group.sum(sums_on_device := sums.to(self.group.device))
        mean, square = (sums_on_device.cpu() / len(self.draw.targets)).numpy()
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        deviation += self.settings.deviation_floor * deviation.mean()
        return Scaling(mean, np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 1.0))

    def _enter_round(self, number: int) -> None:
        if number != self.round_number:
            self.samples = None  # frees its memory before the next one's is taken
            self.draw = self.sampler.round(number, self.batches)
            self.samples, self.round_number = self._pooled(self.draw), number

    def _pooled(self, draw: Draw) -> _Samples:
        """The proposals of this process's share of the images, pooled image by image."""
        rows = np.full(len(draw.images), -1)
        mine = np.flatnonzero(draw.images % self.group.size == self.group.rank)
        rows[mine] = np.arange(len(mine))
        values = np.empty((len(mine), self.task.length), np.float16)
        order = mine[np.lexsort((draw.mirrored[mine], draw.images[mine]))]
        changes = np.flatnonzero(np.diff(draw.images[order] * 2 + draw.mirrored[order])) + 1
        groups = np.split(order, changes) if len(order) else []
        vectors = self.task.pool([self._request(draw, group) for group in groups])
        for group, found in zip(groups, vectors, strict=True):
            values[rows[group]] = found
        return _Samples(rows, torch.from_numpy(values), torch.from_numpy(draw.targets))

    def _request(self, draw: Draw, group: np.ndarray) -> PoolRequest:
        """For some proposals of a draw, all of one image, mirrored or not."""
        image = int(draw.images[group[0]])
        boxes = self.task.images[image].boxes[draw.rows[group]]
        return PoolRequest(image, boxes, bool(draw.mirrored[group[0]]), draw.scales[group])

    def _step(self) -> dict[str, float]:
        """One batch; returns its figures over all processes."""
        settings = self.settings
        number, position = divmod(self.iteration, self.batches * settings.round_passes)
        self._enter_round(number)
        rate = settings.learning_rate(self.iteration)
        set_learning_rate(self.optimiser, rate, settings.bias_rate)
        vectors, targets = self.samples.batch(self.draw.batches[position], self.group.device)
        logits = self.network(vectors, self.generator)
        # The mean over the whole batch, whatever this process has of it.
        loss = functional.cross_entropy(logits, targets, reduction="sum") / settings.batch_size
        self.optimiser.zero_grad(set_to_none=False)
        loss.backward()
        figures = torch.stack([loss.detach(), *self._correct(logits, targets)])
        self.group.sum(figures, *(value.grad for value in self.network.parameters()))
        self.optimiser.step()
        self.iteration += 1
        loss, right, right_foreground = figures.tolist()
        return {
            "iteration": self.iteration,
            "learning_rate": rate,
            "loss": loss,
            "accuracy": right / settings.batch_size,
            "foreground_accuracy": right_foreground / settings.foregrounds,
        }

    def _correct(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        right = logits.argmax(1) == targets
        return right.sum().float(), right[targets < self.task.num_classes].sum().float()

    @torch.no_grad()
    def _snapshot(self) -> dict[str, float]:
        """Measure on the held-out proposals and keep the weights if they are the best; the figures."""
        if self.held_draw is None:
            self.best, self.best_iteration = self.network.arrays(), self.iteration
            return {}
        targets_all, figures = self.held_draw.targets, torch.zeros(3, dtype=torch.float64, device=self.group.device)
        proposals = np.arange(len(targets_all))
        for start in range(0, len(proposals), _BLOCK):
            vectors, targets = self.held_samples.batch(proposals[start : start + _BLOCK], self.group.device)
            logits = self.network(vectors)
            loss = functional.cross_entropy(logits, targets, reduction="sum")
            figures += torch.stack([loss, *self._correct(logits, targets)]).double()
        self.group.sum(figures)
        total, foreground = len(targets_all), int((targets_all < self.task.num_classes).sum())
        loss, right, right_foreground = figures.tolist()
        row = {
            "held_out_loss": loss / total,
            "held_out_accuracy": right / total,
            "held_out_foreground_accuracy": right_foreground / foreground,
        }
        measure = row["held_out_loss"] if self.settings.snapshot_measure == "loss" else 1 - row["held_out_accuracy"]
        if measure < self.best_measure:
            self.best, self.best_iteration, self.best_measure = self.network.arrays(), self.iteration, measure
        return row

    def _write_checkpoint(self) -> None:
        states = self.group.gather(self.generator.get_state())
        parts = {name: self.optimiser.state[value] for name, value in self.network.named_parameters()}
        # Without momentum there are none.
        moved = {name: one["momentum_buffer"].cpu().numpy() for name, one in parts.items() if "momentum_buffer" in one}
        if self.group.rank == 0:
            Checkpoint(
                key=self.task.key,
                iteration=self.iteration,
                weights=self.network.arrays(),
                velocities=moved,
                shift=self.scaling.shift,
                factor=self.scaling.factor,
                generators={str(rank): state.numpy() for rank, state in enumerate(states)},
                best=self.best,
                best_iteration=self.best_iteration,
                best_measure=self.best_measure,
            ).write(self.path)
        self.group.barrier()


def _seed(seed: int, rank: int, iteration: int) -> int:
    """A seed of dropout that differs by process."""
    return int(np.random.default_rng([seed, rank, iteration]).integers(2**62))
