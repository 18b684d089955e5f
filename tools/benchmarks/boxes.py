"""What may follow scoring, on folds of a run's training photos: voting, a second round, the mirrored image.

Every photo is searched by SVMs (those that training leaves for calibration) and box regressors (trained here) that saw
none of its fold. mAP at IoU 0.5, at 0.7 and COCO's mean over 0.5 to 0.95, with the run's proposals, maps and settings
but for those of `LEVERS`; gains over the first row, with intervals on the same resamples of the photos. Test photos are
not looked at. Maps of mirrored photos are made and kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detectors import frozen_run, quality
from benchmarks.harness import Row, Tables, progress, take_turns
from jsonargparse.typing import NonNegativeInt, PositiveInt

from detection.detector import Detector
from detection.engines import limit_threads
from detection.learning import PostprocessSettings, postprocess
from detection.pipeline.experiment import Experiment
from detection.pipeline.held_out import HeldOut, folds_of
from detection.pipeline.stages.images import usable
from detection.pipeline.stages.regressors import train_box_regressors
from detection.types import AnnotatedImage, Detections, RegionScores

# Row -> settings of `postprocess`; "iou" stands for each of --voting_iou.
LEVERS: dict[str, dict[str, Any]] = {
    "one round": {},
    "voting": {"voting_iou": "iou"},
    "two rounds": {"rounds": 2},
    "two rounds, voting": {"rounds": 2, "voting_iou": "iou"},
    "mirrored image too": {"mirrored": True},
    "mirrored image too, voting": {"mirrored": True, "voting_iou": "iou"},
    "mirrored image too, two rounds": {"mirrored": True, "rounds": 2},
    "mirrored image too, two rounds, voting": {"mirrored": True, "rounds": 2, "voting_iou": "iou"},
}


def variants(base: PostprocessSettings, ious: Sequence[float]) -> dict[str, PostprocessSettings]:
    """Row -> settings, the base's own values of all levers switched off first."""
    off, found = replace(base, voting_iou=None, rounds=1, mirrored=False), {}
    for name, more in LEVERS.items():
        if "voting_iou" not in more:
            found[name] = replace(off, **more)
            continue
        for iou in ious:
            found[f"{name} at {iou:g}"] = replace(off, **{**more, "voting_iou": iou})
    return found


def fold_detectors(experiment: Experiment, held_out: HeldOut) -> list[Detector]:
    """[fold]: the run's detector with SVMs and regressors that were not trained on the fold's photos.

    Raises ValueError where the run kept no samples of its training.
    """
    detector, svms = Detector.load(experiment.run.detector), held_out.svms()
    if svms is None:
        raise ValueError(f"{experiment.run.detector}: expected samples of its training, found none; train it anew")
    detectors = []
    for fold, own in enumerate(svms):
        others = [one for one in held_out.images if held_out.fold_of[one.image_id] != fold]
        count, settings = len(experiment.classes), experiment.settings.regression
        progress(f"box regressors without fold {fold + 1} of {len(svms)}")
        regressors = train_box_regressors(experiment.source, others, count, settings, experiment.work)
        detectors.append(replace(detector, svms=own, regressors=regressors))
    return detectors


def of_photo(
    experiment: Experiment, detector: Detector, image: AnnotatedImage, settings: Mapping[str, PostprocessSettings]
) -> dict[str, Detections]:
    """Row -> what is found in one photo. What differs after scoring alone shares the scores; one round those of two."""
    found: dict[str, Detections] = {}
    for mirrored in (False, True):
        mine = {name: one for name, one in settings.items() if one.mirrored == mirrored}
        if not mine:
            continue
        most = max(mine.values(), key=lambda one: one.rounds)
        proposals, pyramid = experiment.source.inputs(image, most)
        scored = replace(detector, postprocess_settings=most).score_proposals(proposals, pyramid)
        count = len(proposals.boxes)
        first = RegionScores(scored.image_id, scored.boxes[:count], scored.scores[:count])
        for name, one in mine.items():
            found[name] = postprocess(first if one.rounds == 1 else scored, image.size, one)
    return found


def cost(
    detector: Detector, settings: Mapping[str, PostprocessSettings], paths: Sequence[Path], repeats: int
) -> list[Row]:
    """A row a lever: CPU milliseconds of one thread for a photo, from its file to its detections."""
    methods = {
        name: partial(_detect, replace(detector, postprocess_settings=one), paths) for name, one in settings.items()
    }
    timings = take_turns(methods, repeats, "boxes")
    first = next(iter(timings.values())).cpu_s
    return [
        {
            "after scoring": name,
            "cpu_ms": 1000 * one.cpu_s / len(paths),
            "more_cpu_ms": 1000 * (one.cpu_s - first) / len(paths),
        }
        for name, one in timings.items()
    ]


def _detect(detector: Detector, paths: Sequence[Path]) -> None:
    for path in paths:
        detector.detect(path, threads=1)


def benchmark(
    run: str | None = None,
    images: PositiveInt | None = None,
    voting_iou: tuple[float, ...] = (0.5,),
    photos: NonNegativeInt = 4,
    repeats: PositiveInt = 3,
) -> Tables:
    """Measure what may follow scoring; see the head of this file. Takes minutes.

    Args:
        run: Folder of a run whose training is done; its settings are used.
        images: Training photos searched, a seeded sample; None: all. All are trained on.
        voting_iou: Values of postprocess.voting_iou that are tried.
        photos: Photos that are timed; 0: none.
        repeats: Runs of each timing.
    """
    experiment = frozen_run("boxes", run)
    if experiment is None:
        return
    trained_on = usable(experiment, experiment.train_images)
    fold_of = folds_of(experiment, trained_on)
    if fold_of is None:
        raise ValueError(f"run: {run}: expected calibration.images above 0, and a photo for each of its folds")
    settings = variants(experiment.settings.postprocess, voting_iou)
    order = np.random.default_rng(experiment.settings.calibration.seed).permutation(len(trained_on))
    searched = [trained_on[place] for place in np.sort(order[:images])]
    found: dict[str, list[Detections]] = {name: [] for name in settings}
    with limit_threads(1):
        detectors = fold_detectors(experiment, HeldOut(experiment, trained_on, fold_of))
        for done, image in enumerate(searched):
            progress(f"held-out photos: {done}/{len(searched)}")
            for name, one in of_photo(experiment, detectors[fold_of[image.image_id]], image, settings).items():
                found[name].append(one)
        title = f"mAP on {len(searched)} training photos, each searched without its fold of {len(detectors)}"
        yield title, list(quality("after scoring", searched, experiment.classes, found))
        if photos:
            paths = [one.path for one in searched[:photos]]
            yield "CPU time of a photo, one thread", cost(detectors[0], settings, paths, repeats)
    progress("")
