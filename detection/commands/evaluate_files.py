"""Stage: any detector's results, on file, against any annotations: what is behind ``tools/evaluate.py``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detection.data import Dataset, Problems, read_class_names, read_dataset
from detection.data.formats.finding import find_set
from detection.data.results import ResultFiles, find_results, read_results
from detection.evaluation import Evaluation, EvaluationSettings, evaluate
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage


@dataclass(frozen=True)
class Truth:
    """What detections are compared with.

    classes: in the order of the labels. numbers: class number -> name in COCO results, and in YOLO's; None: not known.
    split: name of the split, None where the set has none. source_ids: image id -> number in COCO results. told: the
    numbers are a user's word, and hold for results in a run too.
    """

    images: Sequence[AnnotatedImage]
    classes: tuple[str, ...]
    coco_numbers: Mapping[int, str] | None
    yolo_numbers: Mapping[int, str] | None
    split: str | None
    source_ids: Mapping[str, str]
    told: bool = False


def run_classes(path: Path | str) -> tuple[str, ...] | None:
    """The class list of the run that a path is, or lies in as RUN/detections or a file there; None for any other."""
    path = Path(path)
    for folder in (path, path.parent, path.parent.parent):
        run = RunFolder(folder)
        if run.record_file.is_file() and run.fixed_classes() is not None:
            return run.fixed_classes()
    return None


def read_truth(
    annotations: str,
    split: str | None,
    detections: str,
    classes_file: str | None,
    problems: Problems,
    usual: tuple[str, ...] | None = None,
) -> Truth:
    """The annotations at a path, and what class numbers in results mean.

    split: may be None in a set with one split or none. Classes are those of `classes_file`, else of the run that
    the detections are of, else the `usual` ones, else those that the annotations have, with those of the devkit's
    results behind.
    Images need not be there where the annotations tell their sizes (VOC, COCO).
    """
    told = classes_file is not None
    given = read_class_names(classes_file) if told else run_classes(detections) or usual
    dataset = read_dataset(annotations, _split(annotations, split), "auto", given, problems, need_images=False)
    if given is not None:
        return Truth(dataset.images, given, *_by_place(given), split or dataset.split, dataset.source_ids, told)
    named = find_results(detections, split).classes(split or dataset.split) or ()
    classes = (*dataset.classes, *(name for name in named if name not in dataset.classes))
    return Truth(dataset.images, classes, *_numbers(dataset), split or dataset.split, dataset.source_ids)


def _split(annotations: str, split: str | None) -> str | None:
    """The split to read. A set that has only one is that split whatever it is called, and is not to be divided."""
    found = find_set(annotations)
    return None if not found.fixed_splits and len(found.splits) <= 1 else split


def _by_place(classes: Sequence[str]) -> tuple[dict[int, str], dict[int, str]]:
    """Numbers of COCO results, from 1, and of YOLO's, from 0."""
    return dict(enumerate(classes, start=1)), dict(enumerate(classes))


def _numbers(dataset: Dataset) -> tuple[Mapping[int, str] | None, Mapping[int, str] | None]:
    if dataset.category_names is None:
        return None, None
    coco, yolo = _by_place(dataset.classes)
    return (dataset.category_names, yolo) if dataset.format == "coco" else (coco, dataset.category_names)


def evaluate_files(path: Path | str, truth: Truth, settings: EvaluationSettings, problems: Problems) -> Evaluation:
    """The evaluation of the results at a path; those in a run folder have that run's class numbers, unless told.

    Raises ValueError as `find_results`, `read_results` and `evaluate`.
    """
    found = find_results(path, truth.split)
    own = None if truth.told else run_classes(path)
    coco, yolo = (truth.coco_numbers, truth.yolo_numbers) if own is None else _by_place(own)
    numbers = yolo if found.format == "yolo" else coco
    detections = read_results(found, truth.images, truth.classes, numbers, truth.split, problems, truth.source_ids)
    return evaluate(detections, truth.images, truth.classes, **dataclasses.asdict(settings))


def describe(found: ResultFiles) -> str:
    """What was read, in a few words."""
    formats = {"coco": "COCO results", "devkit": "the devkit's text files", "yolo": "YOLO text files"}
    return f"{found.path}: {formats[found.format]}, {len(found.files)} file{'s' if len(found.files) > 1 else ''}"
