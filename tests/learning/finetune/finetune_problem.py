"""A small problem: vectors that tell their class, in images of 30 proposals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from detection.learning import FinetuneSettings
from detection.learning.finetune.samples import BACKGROUND, LabelledRegions
from detection.learning.finetune.train import FinetuneTask

LENGTH, CLASSES = 24, 3
SETTINGS = FinetuneSettings(
    widths=(12, 10), batch_size=16, learning_rates=(0.05, 0.01), iterations=(24, 8), snapshot_every=8,
    snapshot_batches=3, round_iterations=5, checkpoint_every=4, log_every=2, memory_mib=1, held_out=0.25, seed=1,
)  # fmt: skip


def make_images(count=12, proposals=30, seed=0) -> list[LabelledRegions]:
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        kinds = rng.integers(-2, CLASSES, proposals)
        kinds[:3] = (0, BACKGROUND, 2)
        boxes = np.zeros((proposals, 4), np.float32)
        boxes[:, 0] = np.arange(proposals)
        images.append(LabelledRegions(f"img {number}", boxes, kinds.astype(np.int64)))
    return images


class Pool:
    """Vectors of the problem; they depend on image, proposal, mirroring and scale. Counts what it pooled."""

    def __init__(self, images: list[LabelledRegions]) -> None:
        self.images, self.pooled = images, 0

    def __call__(self, requests):
        for request in requests:
            rows = request.boxes[:, 0].astype(int)
            self.pooled += len(rows)
            kinds = self.images[request.image].kinds[rows]
            values = [
                np.random.default_rng([request.image, row, request.mirrored, scale + 1]).normal(0, 1, LENGTH)
                for row, scale in zip(rows.tolist(), request.scales.tolist(), strict=True)
            ]
            values = np.stack(values)
            values[np.arange(len(rows)), kinds % LENGTH] += 3
            yield values.astype(np.float16)


def make_task(folder: Path, key: str = "key", **changes) -> FinetuneTask:
    images = make_images()
    task = FinetuneTask(
        images=images, pool=Pool(images), length=LENGTH, num_classes=CLASSES, num_scales=2, key=key, folder=folder
    )
    return replace(task, **changes)
