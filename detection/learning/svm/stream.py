"""What training reads, image by image, and the mean feature norm measured on the way."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from detection.types import RegionFeatures, check_array


@dataclass(frozen=True)
class TrainingRegions:
    """One training image: what is needed of it to learn.

    proposals: features of its proposals, never of ground truth (R, D). objects: features of its ground-truth
    boxes (G, D). labels: (G,) int64. difficult: (G,) bool. No proposal and no object are ordinary. extra: features
    of further positives (E, D), such as mirrored objects, with extra_labels (E,) int64; their boxes count for
    nothing. None: there are none. norm_proposals: the proposals that `norm_sample_proposals` names, where `proposals`
    leaves proposals out, or none where the image is not one of `norm_sample_images`. None: they are among `proposals`.
    """

    proposals: RegionFeatures
    objects: RegionFeatures
    labels: np.ndarray
    difficult: np.ndarray
    extra: RegionFeatures | None = None
    extra_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    norm_proposals: RegionFeatures | None = None

    def __post_init__(self) -> None:
        image_id, count = self.objects.image_id, len(self.objects.boxes)
        check_array(self.labels, "int64", (count,), "labels", image_id)
        check_array(self.difficult, "bool", (count,), "difficult", image_id)
        extra_count = 0 if self.extra is None else len(self.extra.boxes)
        check_array(self.extra_labels, "int64", (extra_count,), "labels of further positives", image_id)
        expected = (image_id, self.objects.layer, self.objects.values.shape[1])
        for proposals in (self.proposals, self.norm_proposals or self.proposals):
            found = (proposals.image_id, proposals.layer, proposals.values.shape[1])
            if found != expected:
                raise ValueError(
                    f"training regions of image {image_id!r}: expected proposals and objects of one image, layer and "
                    f"length, got objects {expected} and proposals {found}"
                )

    @property
    def image_id(self) -> str:
        """The image both records are of."""
        return self.objects.image_id


# Called once a pass; yields the images in the same order each time. Called with an image's id where an interrupted
# training goes on: then it yields those behind that image.
Stream = Callable[..., Iterable[TrainingRegions]]


@dataclass(frozen=True)
class NormSettings:
    """How features are brought to one scale: their mean L2 norm on a sample of proposals becomes `target`.

    Args:
        target: mean norm after scaling; SVM and ridge penalties are tuned to it. R-CNN rcnn_train.m: 20.
        images: number of images in the sample. R-CNN rcnn_feature_stats.m: 200.
        windows: number of proposals drawn from each of them. R-CNN rcnn_feature_stats.m: 200.
        seed: of the sample. R-CNN rcnn_feature_stats.m: 3 (another generator, so another sample).
    """

    target: float = 20.0
    images: int = 200
    windows: int = 200
    seed: int = 3

    def __post_init__(self) -> None:
        for key in ("target", "images", "windows"):
            if not getattr(self, key) > 0:
                raise ValueError(f"norm.{key}: expected > 0, got {getattr(self, key)}")
        if self.seed < 0:
            raise ValueError(f"norm.seed: expected >= 0, got {self.seed}")


def norm_sample_images(count: int, settings: NormSettings) -> np.ndarray:
    """Positions, rising, of the images among the first `count` whose proposals `NormSample` will use.

    A stream whose proposals are costly may leave the others' proposals out where only the norm is asked for.
    """
    return np.sort(np.random.default_rng(settings.seed).random(count).argsort(kind="stable")[: settings.images])


def norm_sample_proposals(position: int, count: int, settings: NormSettings) -> np.ndarray:
    """Rows, rising, of the proposals that `NormSample` uses of the image at `position`, which has `count` of them."""
    chosen = np.random.default_rng([settings.seed, position]).permutation(count)
    return np.sort(chosen[: settings.windows])


@dataclass
class NormSample:
    """Mean L2 norm of a seeded sample of proposals, gathered in one pass over images whose number is unknown.

    The images with the smallest of one random number an image are the sample, so that it does not depend on
    when the last image comes.
    """

    settings: NormSettings
    _kept: list[tuple[float, int, np.ndarray]] = field(default_factory=list)
    _seen: int = 0

    def __post_init__(self) -> None:
        self._priorities = np.random.default_rng(self.settings.seed)

    def add_image(self, regions: TrainingRegions) -> None:
        """Offer the proposals of the next image."""
        chosen = regions.norm_proposals
        self.add(regions.proposals.values if chosen is None else chosen.values, chosen is not None)

    def add(self, values: np.ndarray, chosen: bool = False) -> None:
        """Offer the proposals (R, D) of the next image; chosen: only those that `norm_sample_proposals` names."""
        position, priority = self._seen, float(self._priorities.random())
        self._seen += 1
        full = len(self._kept) == self.settings.images
        if full and -priority <= self._kept[0][0]:
            return
        rows = slice(None) if chosen else norm_sample_proposals(position, len(values), self.settings)
        item = (-priority, position, np.sqrt((values[rows].astype(np.float64) ** 2).sum(axis=1)))
        (heapq.heapreplace if full else heapq.heappush)(self._kept, item)

    def state(self) -> tuple[np.ndarray, dict]:
        """What `restore` takes: (norms kept, joined; plain facts)."""
        parts = [norms for _, _, norms in self._kept]
        facts = {"seen": self._seen, "kept": [[one[0], one[1], len(one[2])] for one in self._kept]}
        return np.concatenate([np.zeros(0), *parts]), facts

    def restore(self, norms: np.ndarray, facts: dict) -> None:
        """Go on where the sample that `state` tells of was."""
        self._seen = facts["seen"]
        self._priorities = np.random.default_rng(self.settings.seed)
        self._priorities.random(self._seen)
        ends = np.cumsum([length for _, _, length in facts["kept"]])
        self._kept = [
            (key, place, norms[end - length : end])
            for (key, place, length), end in zip(facts["kept"], ends, strict=True)
        ]

    def mean(self) -> float:
        """The mean norm; 0 where no proposal came."""
        norms = [norms for _, _, norms in sorted(self._kept, key=lambda item: item[1])]
        joined = np.concatenate(norms) if norms else np.zeros(0)
        return float(joined.mean()) if len(joined) else 0.0

    def scale(self) -> float:
        """What features are multiplied by: target / mean; 1 where no proposal came or all are zero."""
        mean = self.mean()
        return self.settings.target / mean if mean > 0 else 1.0
