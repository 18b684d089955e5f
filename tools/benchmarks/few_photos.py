"""How good a detector gets with few training photos: mAP on a run's test split, mean and spread over draws of photos.

A draw puts the training photos into a random order and takes, for every class, the first so many that show it, or all
that there are; all objects in them are used. So a draw's photos of a smaller number are among those of a larger one,
and all ways of training see the same photos. SVMs are trained as tools/train_svm.py does, but to a wider duality gap,
and with --regression box regressors too. Proposals and maps are the run's; those that are absent are made and kept,
mirrored ones too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from benchmarks.detectors import evaluation_of, frozen_run
from benchmarks.harness import Row, Tables, progress
from jsonargparse.typing import PositiveInt

from detection.detector import Detector
from detection.engines import limit_threads
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.images import usable
from detection.pipeline.stages.regressors import train_box_regressors
from detection.pipeline.stages.svms import train_linear_svms
from detection.types import AnnotatedImage

# Way of training -> settings of the SVMs beyond the run's.
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mirrored": {"mirrored_positives": True},
    "jittered": {"jittered_positives": 4},
    "both": {"mirrored_positives": True, "jittered_positives": 4},
}
ALL = "all"


def draw_photos(
    images: Sequence[AnnotatedImage], num_classes: int, photos_a_class: int, seed: Sequence[int]
) -> list[AnnotatedImage]:
    """The photos of one draw, in the data set's order; see the head of this file."""
    order = np.random.default_rng(seed).permutation(len(images))
    chosen: set[int] = set()
    for label in range(num_classes):
        chosen.update([place for place in order if label in images[place].labels][:photos_a_class])
    return [images[place] for place in sorted(chosen)]


def rows_of_draw(
    experiment: Experiment,
    photos: Sequence[int | str],
    draw: int,
    ways: Sequence[str],
    tolerance: float,
    regression: bool = False,
) -> Iterator[Row]:
    """A row a detector, of every way of training on one draw of every number of photos: mAP, what it was trained on."""
    images, settings, source = usable(experiment, experiment.train_images), experiment.settings, experiment.source
    classes, layer = tuple(experiment.classes), settings.features.layer
    for count in photos:
        chosen = images if count == ALL else draw_photos(images, len(classes), count, [settings.svm.seed, draw])
        row = {"photos_a_class": count, "draw": draw, "photos": len(chosen)}
        row["objects"] = sum(len(one.labels) for one in chosen)
        for way in ways:
            label = f"draw {draw + 1}: {count} photos a class, {way}"
            progress(label)
            wanted = replace(settings.svm, mirrored_below=0, tolerance=tolerance, **WAYS[way])
            svms, _ = train_linear_svms(source, chosen, len(classes), wanted, layer, experiment.work)
            proposals, extractor, regressors = experiment.proposal_settings, source.extractor(), None
            if regression:
                regressors = train_box_regressors(source, chosen, len(classes), settings.regression, experiment.work)
            detector = Detector(classes, proposals, extractor, svms, regressors, settings.postprocess)
            result = evaluation_of(experiment, detector, label)
            yield row | {"way": way, "mAP": float(result.mean_ap or 0.0)}
    progress("")


def means(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row a number of photos: mean mAP of every way over the draws, its standard deviation, mean number of photos."""
    found: dict[int | str, Row] = {}
    for count, way in dict.fromkeys((row["photos_a_class"], row["way"]) for row in rows):
        own = [row for row in rows if (row["photos_a_class"], row["way"]) == (count, way)]
        values, photos = [row["mAP"] for row in own], float(np.mean([row["photos"] for row in own]))
        mean = found.setdefault(count, {"photos_a_class": count, "photos": photos, "draws": len(own)})
        mean |= {way: float(np.mean(values))}
        mean |= {f"{way}_error": float(np.std(values, ddof=1))} if len(values) > 1 else {}
    return list(found.values())


def benchmark(
    run: str | None = None,
    photos: tuple[PositiveInt, ...] = (),
    draws: PositiveInt = 5,
    ways: tuple[Literal["plain", "mirrored", "jittered", "both"], ...] = ("plain", "mirrored"),
    everything: bool = False,
    tolerance: float = 1e-3,
    regression: bool = False,
) -> Tables:
    """Measure mAP with few training photos; see the head of this file. Takes minutes to hours.

    Args:
        run: Folder of a run that has proposals and maps, e.g. after tools/extract_features.py; its settings are used.
        photos: Numbers of photos a class, e.g. [5,10,20,50].
        draws: Random draws of each number.
        ways: plain (as the run's settings say, but for svm.mirrored_below), mirrored, jittered (4 more boxes an
            object), both.
        everything: Train on all photos too.
        tolerance: Largest duality gap of a trained class, as a part of its objective.
        regression: Train box regressors on the photos of each draw too.
    """
    given = run if photos or everything else None
    experiment = frozen_run("few_photos", given, "--run RUN and --photos [5,10,20,50]")
    if experiment is None:
        return
    rows: list[Row] = []
    for draw in range(draws if photos else 1):
        numbers = [*photos, ALL] if everything and not draw else photos
        with limit_threads(experiment.work.threads):
            rows += rows_of_draw(experiment, numbers, draw, ways, tolerance, regression)
        yield "mAP, mean and standard deviation over the draws", means(rows)
        yield "Every detector", rows
