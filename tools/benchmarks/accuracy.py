"""What speed costs in accuracy: vectors pooled from an image's shared maps against R-CNN-style crops.

Crops (benchmarks.rcnn) send every proposal through the network by itself. Everything else is the same for both: photos,
proposals, stages, pyramid, folds and learning (linear SVMs with mined negatives, box regression, suppression). mAP of
held-out photos, at the C of the grid where it is best, and the difference with a paired interval.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.harness import Row, Tables, change_text, progress
from benchmarks.rcnn import crop_vectors
from jsonargparse.typing import NonNegativeInt, PositiveInt

from detection.data import DatasetSource, Problems, collect_classes, load_annotations, read_image
from detection.engines import limit_threads
from detection.evaluation import Evaluation, IntervalSettings, difference, evaluate
from detection.features import FeatureExtractor, FeatureSettings
from detection.learning import (
    RegressionSettings,
    SVMSettings,
    TrainingRegions,
    image_folds,
    postprocess,
    train_fold_svms,
    train_regressors,
)
from detection.proposals import ProposalSettings, propose
from detection.storage import fingerprint
from detection.types import AnnotatedImage, RegionFeatures

SHARED, CROPS = "shared maps", "R-CNN-style crops"
# The SVMs are compared and thrown away: a wider duality gap than the default's.
SVMS = replace(SVMSettings(), tolerance=5e-3)


@dataclass(frozen=True)
class Sample:
    """Photos with their proposals. boxes, values: image id -> (G + R, 4) and (G + R, D) float16, the objects first."""

    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    boxes: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]

    def regions(self, image: AnnotatedImage) -> TrainingRegions:
        """What is learned from one image."""
        name, objects = image.image_id, len(image.boxes)
        truth, proposals = (
            RegionFeatures(name, self.boxes[name][rows], self.values[name][rows].astype(np.float32), "pool5")
            for rows in (slice(objects), slice(objects, None))
        )
        return TrainingRegions(proposals=proposals, objects=truth, labels=image.labels, difficult=image.difficult)


def draw_sample(source: DatasetSource, count: int, proposals: int) -> Sample:
    """The first `count` images of a split by a hash of their ids, with their first proposals and without values."""
    classes, boxes = collect_classes([source], Problems()), {}
    images = sorted(load_annotations([source], classes, Problems()), key=lambda one: fingerprint(one.image_id))[:count]
    for image in images:
        found = propose(image.image_id, read_image(image.path, image.size), ProposalSettings()).boxes[:proposals]
        boxes[image.image_id] = np.concatenate([image.boxes, found])
        progress(f"proposals: {len(boxes)}/{len(images)} photos")
    return Sample(classes, tuple(images), boxes, {})


def with_vectors(sample: Sample, kind: str, extractor: FeatureExtractor) -> Sample:
    """The sample with vectors of a kind, SHARED or CROPS, at the extractor's stages and levels."""
    values = {}
    for image in sample.images:
        rgb, boxes = read_image(image.path, image.size), sample.boxes[image.image_id]
        if kind == CROPS:
            made = crop_vectors(extractor.backbone, rgb, boxes, extractor.settings.levels)
        else:
            made = extractor.pool(extractor.pyramid(image.image_id, rgb), boxes).values
        values[image.image_id] = made.astype(np.float16)
        progress(f"{kind}: vectors of {len(values)}/{len(sample.images)} photos")
    return replace(sample, values=values)


def held_out(sample: Sample, costs: Sequence[float], folds: int) -> tuple[float, Evaluation]:
    """(C, evaluation with box regression), learned on the other folds, at the C with the best mAP."""
    fold_of = image_folds([one.image_id for one in sample.images], folds, 0)

    def stream(left_out: int | None = None) -> Callable:
        return lambda: (sample.regions(one) for one in sample.images if fold_of[one.image_id] != left_out)

    count, found = len(sample.classes), []
    machines, _ = train_fold_svms(stream(), count, [replace(SVMS, C=one) for one in costs], fold_of)
    regressors = [train_regressors(stream(fold), count, RegressionSettings()) for fold in range(folds)]
    for cost, svms in zip(costs, machines, strict=True):
        refined = []
        for image in sample.images:
            proposals, fold = sample.regions(image).proposals, fold_of[image.image_id]
            scores = svms[fold].region_scores(proposals)
            refined.append(postprocess(regressors[fold].refine(scores, proposals), image.size))
        found.append((cost, evaluate(refined, sample.images, sample.classes)))
    return max(found, key=lambda one: one[1].mean_ap or 0.0)


def benchmark(
    voc: str | None = None,
    accuracy_images: NonNegativeInt = 0,
    accuracy_proposals: PositiveInt = 150,
    folds: PositiveInt = 2,
    C: tuple[float, ...] = (0.003, 0.01),
    levels: tuple[tuple[PositiveInt, ...], ...] = ((3, 2, 1), (6, 3, 2, 1)),
    short_sides: tuple[PositiveInt, ...] = FeatureSettings().short_sides,
) -> Tables:
    """Measure the mAP of shared maps and of R-CNN-style crops; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC 2007 devkit. None: nothing is measured.
        accuracy_images: Photos of trainval, chosen by a hash; 0: leave all out. Crops take 4 s a photo and pyramid.
        accuracy_proposals: Proposals a photo, the first of selective search.
        folds: Parts that are left out in turn.
        C: Costs of the SVMs that are chosen from.
        levels: Pyramids; each is measured with both kinds of vectors.
        short_sides: Lengths in px of the short side for the shared maps.
    """
    if voc is None or not accuracy_images:
        print("accuracy: left out: it takes an hour; --voc=FOLDER --accuracy_images=N, e.g. 300, ask for it")
        return
    rows: list[Row] = []
    with limit_threads(1):
        sample = draw_sample(DatasetSource("VOC2007", "trainval", voc), accuracy_images, accuracy_proposals)
        title = f"{len(sample.images)} photos of trainval in {folds} folds, {accuracy_proposals} proposals each"
        for pyramid in levels:
            settings, base = FeatureSettings(levels=pyramid, short_sides=short_sides), None
            extractor = FeatureExtractor.from_settings(settings)
            for kind in (CROPS, SHARED):
                cost, result = held_out(with_vectors(sample, kind, extractor), C, folds)
                gain = None if base is None else difference(base, result, IntervalSettings())
                row: Row = {"levels": list(pyramid), "vectors": kind, "C": cost, "mAP": result.mean_ap}
                rows.append(row | {"against_crops": change_text(gain)})
                base = base or result
                yield title, rows
    progress("")
