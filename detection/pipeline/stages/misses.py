"""Stage: why objects were missed, from the proposals and scores of the images that have misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from detection.engines import limit_threads
from detection.evaluation import (
    Diagnosis,
    Evaluation,
    EvaluationSettings,
    MissCause,
    diagnose,
    explain_misses,
    missed_rows,
    score_cuts,
)
from detection.evaluation.misses import cause_from_json, cause_to_json
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import ImageSource
from detection.pipeline.stage import Stage
from detection.pipeline.stages.detections import DETECTIONS, read_detections, shared_detector
from detection.pipeline.stages.evaluation import evaluation
from detection.pipeline.work import Work, map_images
from detection.storage import fingerprint, notice_damaged, read_sealed_json, write_sealed_json
from detection.types import AnnotatedImage, Detections

# To be raised when a change of the code changes the causes of the same misses.
_VERSION = 1
FORMAT_VERSION = 2
Causes = dict[tuple[str, int], MissCause]


@dataclass(frozen=True)
class ImageMisses:
    """One image's missed objects, by their rows, and what was detected in it; `source` knows this image alone."""

    image: AnnotatedImage
    source: ImageSource
    rows: tuple[int, ...]
    found: Detections


def explain_images(
    source: ImageSource,
    evaluation: Evaluation,
    images: Sequence[AnnotatedImage],
    detections: Sequence[Detections],
    detector_folder: Path,
    key: str,
    work: Work,
) -> Causes:
    """(image id, row) -> why the object was missed, of every missed object.

    images: those of the evaluation; only the ones with misses are scored again. detector_folder: of the detector that
    made `detections`, told apart from others by `key`. An image that cannot be used any more has no proposal, and
    is listed in ``work.problems``.
    """
    found = {one.image_id: one for one in detections}
    rows = missed_rows(evaluation, images)
    items = [
        ImageMisses(one, source.of(one), tuple(rows[one.image_id]), found.get(one.image_id) or _nothing(one.image_id))
        for one in images
        if one.image_id in rows
    ]
    task = partial(
        _explain_image,
        detector_folder=Path(detector_folder),
        key=key,
        cuts=score_cuts(evaluation),
        settings=evaluation.settings,
    )
    causes = {
        (one.image.image_id, row): MissCause("no proposal", None, 0.0, None, 0.0, None)
        for one in items
        for row in one.rows
    }
    for one, explained in map_images(task, items, work, "missed objects"):
        causes |= {(one.image.image_id, row): cause for row, cause in zip(one.rows, explained, strict=True)}
    return causes


def _nothing(image_id: str) -> Detections:
    return Detections(image_id, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def _explain_image(
    one: ImageMisses, detector_folder: Path, key: str, cuts: np.ndarray, settings: EvaluationSettings
) -> list[MissCause]:
    detector = shared_detector(detector_folder, key, one.source.device)
    source, after = one.source, detector.postprocess_settings
    # Scores before any suppression: NMS that goes before regression would hide what it took away.
    unsuppressed = replace(detector, postprocess_settings=replace(after, nms_before_regression=False))
    with limit_threads(source.threads):
        proposals, pyramid = source.inputs(one.image, after)
        regions = unsuppressed.scored(proposals, pyramid)
    # Boxes of a further round stand beside the proposals.
    proposals, scored = replace(proposals, boxes=regions.boxes), regions.refined()
    least = cuts if after.min_score is None else np.maximum(cuts, after.min_score)
    voting = after.voting_iou is not None
    return explain_misses(
        one.image, one.rows, proposals, scored, one.found, least, after.max_per_class, settings, voting
    )


def write_causes(path: Path, key: str, causes: Mapping[tuple[str, int], MissCause]) -> None:
    """Keep causes on file; `key` stands for all that made them."""
    rows = [{"image_id": image_id, "row": row, **cause_to_json(one)} for (image_id, row), one in causes.items()]
    write_sealed_json(path, {"format_version": FORMAT_VERSION, "key": key, "misses": rows})


def read_causes(path: Path, key: str) -> Causes | None:
    """What `write_causes` wrote; None where it is absent, damaged, which is said, or of another key or version."""
    if not path.is_file():
        return None
    try:
        content = read_sealed_json(path, "it is of no use")
    except ValueError as error:
        return notice_damaged(error)
    if not isinstance(content, dict) or (content.get("format_version"), content.get("key")) != (FORMAT_VERSION, key):
        return None
    return {(one.pop("image_id"), one.pop("row")): cause_from_json(one) for one in content["misses"]}


def diagnosis(experiment: Experiment, keep: bool = True) -> Diagnosis:
    """Where the detections on file fail: ``RUN/evaluation/SPLIT.diagnosis.json``; nothing is printed of it.

    Images with missed objects are scored again, once for the same detections: the causes are kept in
    ``RUN/evaluation/SPLIT.misses.json``. keep: False writes nothing.
    """
    if keep:
        MISSES.make(experiment)
    causes = read_causes(_file(experiment), _key(experiment)) or _causes(experiment)
    found = diagnose(evaluation(experiment), experiment.test_images, experiment.settings.diagnosis, causes)
    if keep:
        write_sealed_json(_diagnosis_file(experiment), found.to_json())
    return found


def has_diagnosis(experiment: Experiment) -> bool:
    """Whether the file that `diagnosis` keeps is there and whole; damage is said."""
    try:
        return isinstance(read_sealed_json(_diagnosis_file(experiment), "it is of no use"), dict)
    except FileNotFoundError:
        return False
    except ValueError as error:
        notice_damaged(error)
        return False


def _diagnosis_file(experiment: Experiment) -> Path:
    return experiment.run.evaluation / f"{experiment.split}.diagnosis.json"


def _causes(experiment: Experiment) -> Causes:
    result, images, found = evaluation(experiment), experiment.test_images, read_detections(experiment)
    folder, key = experiment.run.detector, _key(experiment)
    return explain_images(experiment.source, result, images, found, folder, key, experiment.work)


def _file(experiment: Experiment) -> Path:
    return experiment.run.evaluation / f"{experiment.split}.misses.json"


def _key(experiment: Experiment) -> str:
    # What is missed does not depend on how the curve is summed up.
    settings = replace(experiment.settings.evaluation, metric=EvaluationSettings.metric)
    classes = list(experiment.classes)
    return fingerprint(_VERSION, "misses", DETECTIONS.key(experiment), experiment.test_key, classes, settings)


def _kept(experiment: Experiment) -> str | None:
    key = _key(experiment)
    return key if read_causes(_file(experiment), key) is not None else None


def _run(experiment: Experiment) -> Mapping[str, Any]:
    causes = _causes(experiment)
    write_causes(_file(experiment), _key(experiment), causes)
    return {"objects": len(causes)}


MISSES = Stage(
    name="misses",
    command="evaluate --diagnose",
    place=_file,
    key=_key,
    kept=_kept,
    run=_run,
    needs=lambda _: (DETECTIONS,),
)
