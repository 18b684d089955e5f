"""Several runs' detectors together, by NMS on the union of their scored proposals; prints what that gains.

The gain is over the run with the highest mAP, with its bootstrap interval on the same resamples of the images.

All runs have the same data set and classes, and a trained detector each:
  python tools/combine.py RUN RUN ... --out FOLDER

Each detector scores the proposals of its own run, with the maps that are there. FOLDER gets SPLIT.json (COCO results),
the devkit's text files comp4_det_SPLIT_CLASS.txt and evaluation.json.
"""

import dataclasses
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from detection.command_line import function_command, say, text_table
from detection.commands.session import open_experiment
from detection.config import read_settings
from detection.data import write_coco_results, write_comp4
from detection.detector import Detector
from detection.engines import limit_threads
from detection.evaluation import comparison_table, difference, evaluate
from detection.evaluation.table import fraction
from detection.learning import PostprocessSettings, postprocess
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import ImageSource
from detection.pipeline.stages.detections import read_detections
from detection.pipeline.work import Work, default_workers, map_images, worker_processes
from detection.storage import write_json
from detection.types import AnnotatedImage, Detections, RegionScores


def united(scored: Sequence[RegionScores]) -> RegionScores:
    """The proposals of several detectors of the same classes in one image, one detector's after the other's.

    Raises ValueError where image or classes differ, or there is none.
    """
    found = sorted({(one.image_id, one.scores.shape[1]) for one in scored})
    if len(found) != 1:
        raise ValueError(f"combine: expected scores of one image and number of classes, got {found}")
    boxes, scores = (np.concatenate([getattr(one, name) for one in scored]) for name in ("boxes", "scores"))
    return RegionScores(scored[0].image_id, boxes, scores)


def combine_detections(
    experiments: Sequence[Experiment], settings: PostprocessSettings, work: Work
) -> list[Detections]:
    """Detections of the runs' detectors together in each test image, in order.

    Each detector scores its own run's proposals. settings: what becomes of the union. Raises ValueError unless all runs
    have the same classes and test images, and a trained detector.
    """
    first = experiments[0]
    expected = [image.image_id for image in first.test_images]
    for one in experiments:
        path, ids = one.run.path, [image.image_id for image in one.test_images]
        if one.classes != first.classes:
            raise ValueError(f"{path}: expected the classes of {first.run.path}, got {', '.join(one.classes)}")
        if ids != expected:
            what = f"the {len(expected)} test images of {first.run.path}"
            raise ValueError(f"{path}: expected {what}, got {len(ids)} others")
        if not one.trained():
            raise ValueError(f"{one.run.detector}: expected a trained detector, found none")
    parts = tuple((one.source, one.run.detector) for one in experiments)
    task = partial(_combine_one, parts=parts, settings=settings)
    return [found for _, found in map_images(task, first.test_images, work, "detections of all")]


@cache
def _detector(folder: Path, device: str) -> Detector:
    return Detector.load(folder, device=device)


def _combine_one(
    image: AnnotatedImage, parts: tuple[tuple[ImageSource, Path], ...], settings: PostprocessSettings
) -> Detections:
    scored = []
    for source, folder in parts:
        with limit_threads(source.threads):
            detector = _detector(folder, source.device)
            scored.append(detector.score_proposals(source.proposals(image), source.pyramid(image)))
    return postprocess(united(scored), image.size, settings)


def combine(runs: list[str], out: str, workers: int = 0, device: str = "cpu") -> None:
    """Detect, write and print. Raises ValueError for fewer than two runs, and as `combine_detections`.

    Args:
        runs: Folders of finished runs, two or more.
        out: Folder of what is found; files of the same names are replaced.
        workers: Processes over images. 0: one a processor, at most 4.
        device: torch device of maps that are absent and of fc6 and fc7.
    """
    if len(runs) < 2:
        raise ValueError(f"expected two runs or more, got {len(runs)}")
    workers = workers or default_workers()
    with worker_processes(workers) as executor:
        parsed = [read_settings(f"--run={run}", f"--device={device}", f"--workers={workers}") for run in runs]
        experiments = [open_experiment(one, executor=executor) for one in parsed]
        first = experiments[0]
        found = combine_detections(experiments, first.settings.postprocess, first.work)
    metric = dataclasses.asdict(first.settings.evaluation)
    single = [evaluate(read_detections(one), one.test_images, one.classes, **metric) for one in experiments]
    together = evaluate(found, first.test_images, first.classes, **metric)
    best = max(range(len(single)), key=lambda place: single[place].mean_ap or 0.0)
    gain = difference(single[best], together, first.settings.intervals)
    write_coco_results(Path(out) / f"{first.split}.json", found)
    write_comp4(out, first.split, found, first.classes)
    facts = {"runs": runs, "mAP_of_runs": [one.mean_ap for one in single], "best_run": runs[best]}
    facts |= {} if gain is None else {"gain_over_best_run": gain.to_json(first.classes)}
    write_json(Path(out) / "evaluation.json", {**together.to_json(), **facts})
    console = first.work.console
    every = [*single, together]
    rows = [[name, *(fraction(one.per_class[row].ap) for one in every)] for row, name in enumerate(first.classes)]
    rows.append(["mean", *(fraction(one.mean_ap) for one in every)])
    console.print(text_table("Average precision", ["", *runs, "together"], rows))
    say(console, f"first: {runs[best]}, second: together")
    console.print(comparison_table(single[best], together, gain))


main = function_command(__doc__, combine, {"runs": {"type": str, "nargs": "+", "metavar": "RUN"}})
