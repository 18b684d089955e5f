"""Several runs' detectors together, by NMS on the union of their scored proposals; prints what that gains.

All runs have the same data set and classes, and a trained detector each, which scores the proposals of its own run. The
gain is over the run with the highest mAP, with its bootstrap interval on the same resamples of the images. OUT gets
SPLIT.json (COCO results), the devkit's text files comp4_det_SPLIT_CLASS.txt and evaluation.json.

  sppnet combine runs/one runs/two --out together
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from detection.command_line import function_command, say, text_table
from detection.commands.evaluate import evaluate_files, run_truth
from detection.commands.session import open_kept
from detection.data import write_coco_results, write_comp4
from detection.detector import Detector
from detection.engines import limit_threads
from detection.evaluation import comparison_table, difference, evaluate
from detection.evaluation.table import fraction
from detection.learning import PostprocessSettings, postprocess
from detection.pipeline.executors import opened_executor
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import ImageSource
from detection.pipeline.stages.detections import DETECTIONS, detections_file
from detection.pipeline.work import Work, default_workers, map_images
from detection.storage import write_json
from detection.storage.run import list_changes
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
    """Detections of the runs' detectors together in each test image, in the first run's order and class numbers.

    Each detector scores its own run's proposals. settings: what becomes of the union. Raises ValueError unless all runs
    have the same classes and test images, in whatever order (formats have orders of their own), and a trained detector.
    """
    first = experiments[0]
    images = [{image.image_id: image for image in one.test_images} for one in experiments]
    for one, known in zip(experiments, images, strict=True):
        for what, own, expected in (("classes", one.classes, first.classes), ("test images", known, images[0])):
            if set(own) != set(expected):
                changes = list_changes(list(expected), list(own))
                raise ValueError(f"{one.run.path}: expected the {what} of {first.run.path}, got others: {changes}")
        if not one.trained():
            raise ValueError(f"{one.run.detector}: expected a trained detector, found none")
    parts = tuple(
        _Part(one.source, one.run.detector, tuple(one.classes.index(name) for name in first.classes))
        for one in experiments
    )
    task = partial(_combine_one, parts=parts, settings=settings)
    items = [tuple(known[image_id] for known in images) for image_id in images[0]]
    return [found for _, found in map_images(task, items, work, "detections of all")]


@dataclass(frozen=True)
class _Part:
    """What scores for one run. order: where its detector has each of the first run's classes."""

    source: ImageSource
    folder: Path
    order: tuple[int, ...]


@cache
def _detector(folder: Path, device: str) -> Detector:
    return Detector.load(folder, device=device)


def _combine_one(
    images: tuple[AnnotatedImage, ...], parts: tuple[_Part, ...], settings: PostprocessSettings
) -> Detections:
    """images: the same one as each run has it."""
    scored = []
    for image, part in zip(images, parts, strict=True):
        source, order = part.source, list(part.order)
        with limit_threads(source.threads):
            detector = _detector(part.folder, source.device)
            found = detector.score_proposals(*source.inputs(image, detector.postprocess_settings))
        scored.append(RegionScores(found.image_id, found.boxes[:, order], found.scores[:, order]))
    return postprocess(united(scored), images[0].size, settings)


def combine(
    runs: list[str],
    out: str,
    workers: int = 0,
    device: str = "cpu",
    scheduler: str | None = None,
    mixed_processors: bool = False,
) -> None:
    """Detect, write and print. Raises ValueError for fewer than two runs, and as `combine_detections`.

    Args:
        runs: Folders of finished runs, two or more.
        out: Folder of what is found; files of the same names are replaced.
        workers: Processes over images. 0: one a processor, at most 4.
        device: torch device of maps that are absent and of fc6 and fc7.
        scheduler: Address of a Dask scheduler whose workers work on the images. null: what DASK_SCHEDULER_ADDRESS says.
        mixed_processors: Take workers with other processors than this machine's, which change the last bits.
    """
    if len(runs) < 2:
        raise ValueError(f"expected two runs or more, got {len(runs)}")
    workers = workers or default_workers()
    with opened_executor(workers, Path(out), scheduler, mixed_processors) as executor:
        experiments = [open_kept(run, executor=executor, device=device, workers=workers) for run in runs]
        first = experiments[0]
        found = combine_detections(experiments, first.settings.postprocess, first.work)
    for one in experiments:
        DETECTIONS.require(one)
    # All against the first run's objects and classes, as `evaluate --compare` does it.
    truth, settings = run_truth(first), first.settings.evaluation
    single = [evaluate_files(detections_file(one), truth, settings, first.work.problems) for one in experiments]
    together = evaluate(found, first.test_images, first.classes, **dataclasses.asdict(settings))
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
