"""The training of a peer for a time that is given, which goes on where it was interrupted; what it then finds.

Its steps are counted beforehand, so that its learning rate is laid out over them: by the time that the first batches
take. From then on the same settings and number of threads give the same weights, interrupted or not.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from benchmarks.harness import progress
from benchmarks.peer_recipes import Recipe
from torchvision import tv_tensors
from torchvision.transforms import v2

from detection.data import read_image
from detection.geometry import clip, has_area
from detection.geometry.nms import falling_order
from detection.storage import notice, read_arrays, write_arrays
from detection.types import AnnotatedImage, Detections

_MOMENTUM = 0.9
_BUFFER = "momentum_buffer"
# Steps whose median time counts, after one that does not.
_TIMED = 10
# Wall seconds from one checkpoint to the next.
_CHECKPOINT_S = 120
_FORMAT_VERSION = "1"
_TO_FLOAT = v2.ToDtype(torch.float32, scale=True)


class PeerTraining:
    """A peer and the state of its training.

    model: the detector. steps: those of the whole training, None until it is laid out. done: steps done. seconds: wall
    time they took, of all calls together. images: (AnnotatedImage) those with an object, which are trained on.
    """

    def __init__(self, recipe: Recipe, backbone: str, images: Sequence[AnnotatedImage], classes: int, seed: int):
        """Untrained; torch's generator is set to the seed. Raises ValueError for fewer images than a batch."""
        self.images = [one for one in images if len(one.boxes)]
        if len(self.images) < recipe.batch:
            raise ValueError(f"{recipe.name}.batch: expected at most the {len(self.images)} photos, got {recipe.batch}")
        torch.manual_seed(seed)
        self.recipe, self.seed = recipe, seed
        self.model = recipe.network(backbone, classes).to(memory_format=torch.channels_last)
        trained = [one for one in self.model.parameters() if one.requires_grad]
        self._optimiser = torch.optim.SGD(trained, 0.0, _MOMENTUM, weight_decay=recipe.weight_decay)
        # Boxes that a crop leaves no px of go; plain tensors are left.
        clean = v2.SanitizeBoundingBoxes(), _TO_FLOAT, v2.ToPureTensor()
        self._augment = v2.Compose([*recipe.augmentation, *clean])
        self._portrait = np.array([one.size[0] > one.size[1] for one in self.images])
        self.steps_an_epoch = len(self.images) // recipe.batch
        self.steps: int | None = None
        self.done, self.seconds = 0, 0.0

    def run(self, path: Path, label: str) -> None:
        """Do all steps that are left. path: of the checkpoint, written on the way and at the end."""
        written = self.seconds
        while self.done < self.steps:
            loss = self.step(self.steps)
            progress(f"{label}: {self.done}/{self.steps} steps, {self.seconds / 60:.1f} min, loss {loss:.2f}")
            if self.seconds - written > _CHECKPOINT_S or self.done == self.steps:
                self._write(path)
                written = self.seconds
        progress("")

    def step(self, steps: int) -> float:
        """One step of `steps`; its loss. Raises ValueError where that is not finite."""
        started = time.perf_counter()
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.done, steps, self.steps_an_epoch)
        images, targets = zip(*map(self._sample, self.batch(self.done)), strict=True)
        loss = sum(self.model.train()(list(images), list(targets)).values())
        if not torch.isfinite(loss):
            name = self.recipe.name
            raise ValueError(
                f"{name}, step {self.done + 1} of {steps}: expected a finite loss, got {loss.item()}; a smaller "
                f"--{name}.image_rate may help (now {self.recipe.image_rate:g})"
            )
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self.done += 1
        self.seconds += time.perf_counter() - started
        return loss.item()

    def batch(self, step: int) -> list[AnnotatedImage]:
        """The images of a step, counted from 0: each once an epoch but for a rest, portraits and landscapes apart."""
        epoch, place = divmod(step, self.steps_an_epoch)
        generator, size = np.random.default_rng([self.seed, epoch]), self.recipe.batch
        order = generator.permutation(len(self.images))[: self.steps_an_epoch * size]
        order = order[np.argsort(self._portrait[order], kind="stable")]
        start = size * generator.permutation(self.steps_an_epoch)[place]
        return [self.images[one] for one in order[start : start + size]]

    def _sample(self, image: AnnotatedImage) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        boxes = tv_tensors.BoundingBoxes(torch.from_numpy(image.boxes), format="XYXY", canvas_size=image.size)
        # 0 is the background.
        target = {"boxes": boxes, "labels": torch.from_numpy(image.labels) + 1}
        return self._augment(tv_tensors.Image(_tensor(read_image(image.path, image.size))), target)

    def _write(self, path: Path) -> None:
        arrays = {f"model.{name}": value.numpy() for name, value in self.model.state_dict().items()}
        for name, value in self.model.named_parameters():
            moved = self._optimiser.state.get(value, {}).get(_BUFFER)
            arrays |= {} if moved is None else {f"{_BUFFER}.{name}": moved.numpy()}
        numbers = {"done": self.done, "steps": self.steps, "seconds": self.seconds}
        metadata = {"format_version": _FORMAT_VERSION, "kind": "peer_checkpoint", **numbers}
        write_arrays(path, arrays | {"generator": torch.get_rng_state().numpy()}, metadata, durable=True)

    def resume(self, path: Path) -> bool:
        """Whether there is a checkpoint in the file, whose state is taken; a damaged one is said."""
        try:
            arrays, metadata = read_arrays(path)
        except FileNotFoundError:
            return False
        except ValueError as error:
            notice(f"{error}; training begins anew")
            return False
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, _BUFFER: {}}
        generator = torch.from_numpy(arrays.pop("generator"))
        for name, value in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = torch.from_numpy(value)
        self.model.load_state_dict(parts["model"])
        for name, value in self.model.named_parameters():
            if name in parts[_BUFFER]:
                self._optimiser.state[value][_BUFFER] = torch.empty_like(value).copy_(parts[_BUFFER][name])
        torch.set_rng_state(generator)
        self.done, self.steps, self.seconds = int(metadata["done"]), int(metadata["steps"]), float(metadata["seconds"])
        return True


def steps_in(seconds: float, trial: PeerTraining) -> int:
    """How many steps fit into `seconds`, at least 1, by some that `trial`, to be thrown away, takes now."""
    times = []
    for _ in range(1 + _TIMED):
        before = trial.seconds
        trial.step(1 + _TIMED)
        times.append(trial.seconds - before)
    return max(1, round(seconds / float(np.median(times[1:]))))


def find(model: torch.nn.Module, image: AnnotatedImage) -> Detections:
    """What a peer finds in an image, from its file on."""
    with torch.inference_mode():
        (output,) = model.eval()([_TO_FLOAT(_tensor(read_image(image.path, image.size)))])
    return as_detections({name: value.numpy() for name, value in output.items()}, image)


def as_detections(output: dict[str, np.ndarray], image: AnnotatedImage) -> Detections:
    """What a detector of torchvision gives for an image, as ours.

    boxes: (K, 4) px of the image as it was given, x1, y1, x2, y2, half-open as ours. labels: (K,), 0 is the background.
    scores: (K,) probabilities.
    """
    boxes = clip(output["boxes"].astype(np.float32), image.size)
    order = falling_order(output["scores"])
    order = order[has_area(boxes[order])]
    return Detections(image.image_id, boxes[order], output["scores"][order], output["labels"][order] - 1)


def _tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)
