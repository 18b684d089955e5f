"""What training reads, image by image: its positives, its negatives, and the mean feature norm measured on the way."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from detection.geometry import clip, iou, nms
from detection.learning.assignment import best_objects, max_overlaps, negatives_of
from detection.learning.svm.settings import NormSettings, SVMSettings
from detection.types import RegionFeatures, check_array

# Boxes tried for each one wanted, before the object's own is taken.
_TRIES = 50
# How the names of an image's norms begin, in the state of an interrupted pass.
_NORMS = "norms."


@dataclass(frozen=True)
class TrainingRegions:
    """One training image: what is needed of it to learn.

    proposals: features of its proposals, never of ground truth (R, D). objects: features of its ground-truth
    boxes (G, D). labels: (G,) int64. difficult: (G,) bool. No proposal and no object are ordinary. extra: features
    of further positives (E, D), such as mirrored objects, with extra_labels (E,) int64; their boxes count for
    nothing. None: there are none. norm_proposals: the proposals that `norm_sample_proposals` names, where `proposals`
    leaves proposals out, or none where the image is not one of `norm_sample_images`. None: they are among `proposals`.
    negatives: (R, L) bool, which proposals may be negatives of a class: of an image of which not every object is known
    not all. None: whatever overlaps no object of the class.
    """

    proposals: RegionFeatures
    objects: RegionFeatures
    labels: np.ndarray
    difficult: np.ndarray
    extra: RegionFeatures | None = None
    extra_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    norm_proposals: RegionFeatures | None = None
    negatives: np.ndarray | None = None

    def __post_init__(self) -> None:
        image_id, count = self.objects.image_id, len(self.objects.boxes)
        check_array(self.labels, "int64", (count,), "labels", image_id)
        check_array(self.difficult, "bool", (count,), "difficult", image_id)
        extra_count = 0 if self.extra is None else len(self.extra.boxes)
        check_array(self.extra_labels, "int64", (extra_count,), "labels of further positives", image_id)
        if self.negatives is not None:
            check_array(self.negatives, "bool", (len(self.proposals.boxes), None), "negatives", image_id)
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

    def positives(self, use_difficult: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(values (P, D), boxes (P, 4), labels (P,)) of objects that are positives, and of what was made of them."""
        usable = np.ones(len(self.labels), bool) if use_difficult else ~self.difficult
        labels = np.concatenate([self.labels[usable], self.extra_labels])
        parts = [(self.objects.values[usable], self.objects.boxes[usable])]
        parts += [] if self.extra is None else [(self.extra.values, self.extra.boxes)]
        values, boxes = map(np.concatenate, zip(*parts, strict=True))
        return values, boxes, labels

    def negatives_of(self, num_classes: int, negative_iou: float) -> np.ndarray:
        """(R, L) bool: proposals below `negative_iou` with every object of the class that may be negatives of it."""
        overlaps = max_overlaps(self.proposals.boxes, self.objects.boxes, self.labels, num_classes)
        found = negatives_of(overlaps, negative_iou)
        return found if self.negatives is None else found & self.negatives


# Called once a pass; yields the images in the same order each time. Called with an image's id where an interrupted
# training goes on: then it yields those behind that image.
Stream = Callable[..., Iterable[TrainingRegions]]
# on_progress(phase, images done in it); phases are "positives", "mining pass 1", "mining pass 2", ... and
# "box regression".
OnProgress = Callable[[str, int], None]


def checked(
    images: Iterable[TrainingRegions], num_classes: int, what: str, known: tuple[str, int] | None = None
) -> Iterator[TrainingRegions]:
    """The images as they come. known: layer and length of the first one; None: it is among `images`.

    Raises ValueError, which names `what` and the image, for labels out of range and another layer or length.
    """
    for regions in images:
        found, labels = (regions.objects.layer, regions.objects.values.shape[1]), regions.labels
        known = known or found
        if found != known:
            raise ValueError(
                f"{what}: image {regions.image_id!r}: expected layer {known[0]!r} and length {known[1]} "
                f"as in the first image, got {found[0]!r} and {found[1]}"
            )
        if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
            raise ValueError(
                f"{what}: image {regions.image_id!r}: expected labels in 0 .. {num_classes - 1}, got {labels.tolist()}"
            )
        yield regions


def norm_sample_images(count: int, settings: NormSettings) -> np.ndarray:
    """Positions, rising, of the images among the first `count` whose proposals `NormSample` will use.

    A stream whose proposals are costly may leave the others' proposals out where only the norm is asked for.
    """
    return np.sort(np.random.default_rng(settings.seed).random(count).argsort(kind="stable")[: settings.images])


def norm_sample_proposals(position: int, count: int, settings: NormSettings) -> np.ndarray:
    """Rows, rising, of the proposals that `NormSample` uses of the image at `position`, which has `count` of them."""
    return np.sort(np.random.default_rng([settings.seed, position]).permutation(count)[: settings.windows])


class NormSample:
    """Mean L2 norm of a seeded sample of proposals, gathered in one pass over images whose number is unknown.

    seen: images offered. norms: position of an image of the sample -> (n,) float64. An image that is not of the sample
    among the first ones is not of the sample of all either, so that what is kept is bounded.
    """

    def __init__(self, settings: NormSettings) -> None:
        self.settings, self.seen = settings, 0
        self.norms: dict[int, np.ndarray] = {}
        # Draws of the images so far, of which `norm_sample_images` has the least, and how many there are.
        self._generator, self._drawn = np.random.default_rng(settings.seed), 0
        self._draws: dict[int, float] = {}

    def add(self, regions: TrainingRegions) -> None:
        """Offer the proposals of the next image."""
        position, self.seen = self.seen, self.seen + 1
        if position not in self._sampled():
            return
        values = (regions.norm_proposals or regions.proposals).values
        if regions.norm_proposals is None:
            values = values[norm_sample_proposals(position, len(values), self.settings)]
        self.norms[position] = np.sqrt((values.astype(np.float64) ** 2).sum(axis=1))
        self.norms = {one: norms for one, norms in self.norms.items() if one in self._draws}

    def _sampled(self) -> dict[int, float]:
        """`norm_sample_images` of the images seen, and their draws: one draw an image, not all of them anew."""
        for position in range(self._drawn, self.seen):
            self._draws[position] = self._generator.random()
            if len(self._draws) > self.settings.images:
                del self._draws[max(self._draws, key=lambda one: (self._draws[one], one))]
        self._drawn = self.seen
        return self._draws

    def arrays(self) -> dict[str, np.ndarray]:
        """`norms` under names, for `restore`."""
        return {f"{_NORMS}{position}": norms for position, norms in self.norms.items()}

    def restore(self, arrays: Mapping[str, np.ndarray], seen: int) -> None:
        """Be, as a new sample, one of `seen` images with what `arrays` gave; others may be among them."""
        positions = sorted(int(name.removeprefix(_NORMS)) for name in arrays if name.startswith(_NORMS))
        self.seen, self.norms = seen, {position: arrays[f"{_NORMS}{position}"] for position in positions}

    def mean(self) -> float:
        """The mean norm; 0 where no proposal came."""
        joined = np.concatenate([np.zeros(0), *self.norms.values()])
        return float(joined.mean()) if len(joined) else 0.0

    def scale(self) -> float:
        """What features are multiplied by: target / mean; 1 where no proposal came or all are zero."""
        mean = self.mean()
        return self.settings.target / mean if mean > 0 else 1.0


def jittered_boxes(
    boxes: np.ndarray, size: tuple[int, int], count: int, min_iou: float, seed: int, image_id: str
) -> tuple[np.ndarray, np.ndarray]:
    """`count` boxes near each of `boxes`: ((N count, 4) float32, index of the box each belongs to (N count,)).

    boxes: (N, 4) float32 inside an image of `size` (height, width). Each side is moved by a random part of the
    box's width or height, uniform between what the overlap allows, until the IoU is at least `min_iou`. The same
    seed and image_id give the same boxes.
    """
    rng = np.random.default_rng([seed, *image_id.encode()])
    reach = (1 - min_iou) / 2
    moved = np.repeat(boxes, count, axis=0)
    for place, box in enumerate(moved):
        sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        for _ in range(_TRIES):
            tried = clip((box + sides * rng.uniform(-reach, reach, 4))[None], size).astype(np.float32)
            if iou(tried, box[None])[0, 0] >= min_iou:
                moved[place] = tried[0]
                break
    return moved, np.repeat(np.arange(len(boxes)), count)


def thinned(regions: TrainingRegions, settings: SVMSettings) -> TrainingRegions:
    """An image's proposals without those that ``distinct_negatives`` and ``negative_overlap`` leave out.

    Both go through the proposals in their order and keep the first of several: the released code's rule and the
    paper's. Proposals are compared by their vectors, bit for bit, which are one where scale and cells are; overlap
    counts among the proposals that are negatives of every class, the others all stay.
    """
    if settings.distinct_negatives:
        vectors = np.ascontiguousarray(regions.proposals.values).view(np.uint32)
        regions = _of_proposals(regions, np.unique(vectors, axis=0, return_index=True)[1])
    if settings.negative_overlap is not None:
        boxes = regions.proposals.boxes
        negative = best_objects(boxes, regions.objects.boxes)[1] < settings.negative_iou
        candidates = np.flatnonzero(negative)
        kept = nms(boxes[candidates], -np.arange(len(candidates), dtype=np.float32), settings.negative_overlap)
        regions = _of_proposals(regions, np.concatenate([np.flatnonzero(~negative), candidates[kept]]))
    return regions


def _of_proposals(regions: TrainingRegions, rows: np.ndarray) -> TrainingRegions:
    """The same with these proposals alone, in their order."""
    proposals, rows = regions.proposals, np.sort(rows)
    return replace(
        regions,
        proposals=replace(proposals, boxes=proposals.boxes[rows], values=proposals.values[rows]),
        negatives=None if regions.negatives is None else regions.negatives[rows],
    )
