"""Which proposals fine-tuning sees, and in which order: decided by settings and seed alone, whoever computes what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detection.learning.assignment import best_objects
from detection.learning.finetune.settings import FinetuneSettings

# Kinds of proposal that are no class.
BACKGROUND, LEFT_OUT = -1, -2
# Numbers that keep the seeds of several generators apart; a round has _ROUNDS + its number.
_SPLIT, _HELD_OUT, _ROUNDS = 0, 1, 2
_BYTES_OF_A_VALUE = 2


@dataclass(frozen=True)
class LabelledRegions:
    """The proposals of one image. boxes: (R, 4) float32. kinds: (R,) int64, a class's label, BACKGROUND or LEFT_OUT."""

    image_id: str
    boxes: np.ndarray
    kinds: np.ndarray


def label_proposals(
    image_id: str,
    proposals: np.ndarray,
    objects: np.ndarray,
    labels: np.ndarray,
    difficult: np.ndarray,
    settings: FinetuneSettings,
) -> LabelledRegions:
    """Foreground and background among an image's proposals (R, 4), and its objects (G, 4) where they are samples too.

    A proposal is judged by the object it overlaps most; what is neither, or belongs to a difficult object that is not
    to be used, is left out.
    """
    boxes = np.concatenate([proposals, objects]) if settings.include_objects else proposals
    best, overlap = best_objects(boxes, objects)
    kinds = np.full(len(boxes), LEFT_OUT, np.int64)
    kinds[(overlap >= settings.background_min_iou) & (overlap < settings.background_max_iou)] = BACKGROUND
    near = overlap >= settings.foreground_iou
    kinds[near] = labels[best[near]]
    if not settings.use_difficult and len(objects):
        kinds[difficult[best] & (overlap > 0)] = LEFT_OUT
    return LabelledRegions(image_id, boxes, kinds)


def split_images(count: int, settings: FinetuneSettings) -> tuple[np.ndarray, np.ndarray]:
    """(positions trained on, positions held out), each rising, of `count` images."""
    order = np.random.default_rng([settings.seed, _SPLIT]).permutation(count)
    held = round(settings.held_out * count)
    return np.sort(order[held:]), np.sort(order[:held])


@dataclass(frozen=True)
class Draw:
    """Proposals drawn for a round, and the batches they make.

    images, rows: (N,) int64, position of the image and row of its proposals. mirrored: (N,) bool. scales: (N,) int64,
    the scale to pool from, or -1 for the best one. targets: (N,) int64, the class, or L for background. batches:
    (B, batch_size) int64 into the former.
    """

    images: np.ndarray
    rows: np.ndarray
    mirrored: np.ndarray
    scales: np.ndarray
    targets: np.ndarray
    batches: np.ndarray


class Sampler:
    """Draws proposals of the images at `positions`, in the composition of a batch.

    images: of all images. Raises ValueError where there is no foreground or no background.
    """

    def __init__(
        self,
        images: Sequence[LabelledRegions],
        positions: np.ndarray,
        num_classes: int,
        num_scales: int,
        settings: FinetuneSettings,
    ) -> None:
        self._settings, self._scales, self._classes = settings, num_scales, num_classes
        chosen = [(position, images[position].kinds) for position in positions.tolist()]
        self._foreground = _index(chosen, lambda kinds: kinds >= 0)
        self._background = _index(chosen, lambda kinds: kinds == BACKGROUND)
        for name, table in (("foreground", self._foreground), ("background", self._background)):
            if not len(table):
                raise ValueError(
                    f"finetune: expected {name} proposals in {len(positions)} images "
                    f"(IoU >= {settings.foreground_iou} is foreground, {settings.background_min_iou} to "
                    f"{settings.background_max_iou} background), found none"
                )

    def round(self, number: int, batches: int) -> Draw:
        """Proposals of `batches` batches for training, gone through `round_passes` times."""
        settings = self._settings
        return self._draw(_ROUNDS + number, batches, settings.round_passes, settings.flips, settings.random_scale)

    def held_out(self) -> Draw:
        """Proposals to measure on: neither mirrored nor of random scale."""
        return self._draw(_HELD_OUT, self._settings.snapshot_batches, 1, False, False)

    def _draw(self, purpose: int, batches: int, passes: int, flips: bool, random_scale: bool) -> Draw:
        settings, generator = self._settings, np.random.default_rng([self._settings.seed, purpose])
        near, far = batches * settings.foregrounds, batches * (settings.batch_size - settings.foregrounds)
        tables = ((self._foreground, near), (self._background, far))
        images, rows, kinds = np.concatenate([table[_take(generator, len(table), count)] for table, count in tables]).T
        total = len(images)
        # Of each pass the foreground's and the background's share of every batch.
        order = [
            [first + generator.permutation(count).reshape(batches, -1) for first, count in ((0, near), (near, far))]
            for _ in range(passes)
        ]
        mirrored = generator.random(total) < 0.5 if flips else np.zeros(total, bool)
        scales = generator.integers(0, self._scales, total) if random_scale else np.full(total, -1)
        targets = np.where(kinds >= 0, kinds, self._classes)
        return Draw(images, rows, mirrored, scales, targets, np.block(order))


def _index(images, wanted) -> np.ndarray:
    """(N, 3) int64: image, row and kind of every proposal that is `wanted`."""
    parts = [
        np.stack([np.full(len(rows), position), rows, kinds[rows]], axis=1)
        for position, kinds in images
        for rows in [np.flatnonzero(wanted(kinds))]
    ]
    return np.concatenate([np.zeros((0, 3), np.int64), *parts])


def _take(generator: np.random.Generator, available: int, wanted: int) -> np.ndarray:
    """`wanted` of `available` positions at random, none twice before all were taken once."""
    times = -(-wanted // available)
    return np.concatenate([generator.permutation(available) for _ in range(times)])[:wanted]


def batches_of_a_round(length: int, settings: FinetuneSettings) -> int:
    """Batches whose proposals, vectors of `length` values, a round holds in the memory there is.

    Raises ValueError where not even one batch fits with the held-out proposals.
    """
    held = settings.snapshot_batches if settings.held_out > 0 else 0
    batch = settings.batch_size * length * _BYTES_OF_A_VALUE
    fitting = settings.memory_mib * 2**20 // batch - held
    if fitting < 1:
        needed = -(-(held + 1) * batch // 2**20)
        raise ValueError(
            f"finetune.memory_mib: expected at least {needed} for {held} held-out batches and one more, got "
            f"{settings.memory_mib}; fewer snapshot_batches need less"
        )
    return min(fitting, settings.round_iterations, -(-settings.total_iterations // settings.round_passes))
