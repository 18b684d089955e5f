"""What the detector finds in training images by SVMs that were not trained on them, and how much of it is right.

The training of the SVMs leaves those of the folds in ``RUN/calibration``; where they are absent or of other folds, they
are trained on the samples that it kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.detector import Detector
from detection.evaluation import IGNORED, TRUE_POSITIVE, EvaluationSettings, evaluate
from detection.learning import LinearSVMs, SVMSettings, image_folds, train_held_out
from detection.parallel import ordered_map
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import Choice
from detection.pipeline.training_samples import SAMPLES, training_samples
from detection.pipeline.vectors import stream_images
from detection.pipeline.work import guarded, threads
from detection.storage import fingerprint, notice_damaged, read_arrays, write_arrays
from detection.types import AnnotatedImage, Detections

# Images in flight, per thread.
_AHEAD = 2
# To be raised when a change of the code changes the SVMs of folds.
_VERSION = 1


class Judged(NamedTuple):
    """scores (N,) float32, labels (N,) int64, right (N,) bool of the detections that count; objects (L,) int64 that
    count, found or not.
    """

    scores: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    objects: np.ndarray


def judged(
    found: Sequence[Detections],
    images: Sequence[AnnotatedImage],
    classes: Sequence[str],
    evaluation: EvaluationSettings | None = None,
) -> Judged:
    """Which detections are right: those that the evaluation counts as true positives; None: VOC's, at IoU 0.5."""
    result = evaluate(found, images, classes, **vars(evaluation or EvaluationSettings()))
    scores, labels, right = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    for label, one in enumerate(result.per_class):
        kept = one.matches.outcomes != IGNORED
        scores.append(one.matches.scores[kept])
        labels.append(np.full(int(kept.sum()), label))
        right.append(one.matches.outcomes[kept] == TRUE_POSITIVE)
    objects = np.array([one.objects for one in result.per_class], np.int64)
    return Judged(np.concatenate(scores), np.concatenate(labels), np.concatenate(right), objects)


def folds_of(experiment: Experiment, images: Sequence[AnnotatedImage]) -> dict[str, int] | None:
    """Image id -> fold, as ``calibration`` asks for; None where it asks for none or there are too few images."""
    settings = experiment.settings.calibration
    if not settings.images or len(images) < settings.folds:
        return None
    return image_folds([one.image_id for one in images], settings.folds, settings.seed)


def _file(experiment: Experiment) -> Path:
    return experiment.run.path / "calibration" / "folds.safetensors"


def _key(experiment: Experiment, svms: str) -> str:
    settings = experiment.settings.calibration
    return fingerprint(_VERSION, svms, settings.folds, settings.seed)


def keep_fold_svms(experiment: Experiment, svms: Sequence[LinearSVMs], key: str) -> None:
    """Write the SVMs of all folds. key: of the detector's SVMs, whose training left them."""
    arrays, metadata = {}, {}
    for fold, one in enumerate(svms):
        own, metadata = one.to_arrays()
        arrays |= {f"{fold}.{name}": array for name, array in own.items()}
    write_arrays(_file(experiment), arrays, {**metadata, "key": _key(experiment, key)})


def _kept_fold_svms(experiment: Experiment) -> list[LinearSVMs] | None:
    try:
        arrays, metadata = read_arrays(_file(experiment))
    except FileNotFoundError:
        return None
    except ValueError as error:
        return notice_damaged(error)
    if metadata.get("key") != _key(experiment, experiment.trained()["svms"]):
        return None
    names = {name.partition(".")[2] for name in arrays}
    return [
        LinearSVMs.from_arrays({name: arrays[f"{fold}.{name}"] for name in names}, metadata)
        for fold in range(experiment.settings.calibration.folds)
    ]


@dataclass(frozen=True)
class HeldOut:
    """The training images of an experiment, divided. fold_of: image id -> fold in 0 .. folds - 1."""

    experiment: Experiment
    images: Sequence[AnnotatedImage]
    fold_of: Mapping[str, int]

    def svms(self) -> list[LinearSVMs] | None:
        """[fold], trained on the samples of the other folds; None where neither they nor samples are there."""
        path = self.experiment.run.detector / SAMPLES
        kept = _kept_fold_svms(self.experiment)
        return self.trained([self.experiment.svm_settings])[0] if kept is None and path.is_file() else kept

    def trained(self, settings: Sequence[SVMSettings]) -> list[list[LinearSVMs]]:
        """[setting][fold], trained on the samples of the other folds; see ``learning.train_held_out``.

        Raises FileNotFoundError or ValueError as `training_samples`.
        """
        extra, work = self.experiment.svm_settings.extra_positives, self.experiment.work
        samples = training_samples(self.experiment.run.detector / SAMPLES, self.experiment.classes)
        boxes: dict[str, set[bytes]] = {}
        for one in samples:
            for image_id, box in zip(one.image_ids[one.positives :], one.boxes[one.positives :], strict=True):
                boxes.setdefault(image_id, set()).add(box.tobytes())

        def kept(_: int, image: AnnotatedImage) -> Choice:
            own = boxes.get(image.image_id, set())
            return lambda proposals: (np.flatnonzero([one.tobytes() in own for one in proposals]), None)

        with (
            work.progress("SVMs of folds", len(self.images)) as advance,
            threads(work.pooling_threads) as executor,
        ):
            layer = self.experiment.settings.features.layer
            stream = stream_images(self.experiment.source, self.images, layer, work, advance, kept, extra=extra)
            count, mean_norm = len(self.experiment.classes), self.experiment.run.read()["stages"]["svms"]["mean_norm"]
            return train_held_out(samples, stream, count, settings, mean_norm, self.fold_of, executor)

    def detections(
        self, detector: Detector, svms: Sequence[LinearSVMs], images: Sequence[AnnotatedImage]
    ) -> Iterator[Detections]:
        """What the detector finds in `images` with the SVMs of an image's own fold, in order."""
        source, work = self.experiment.source, self.experiment.work
        detectors = [replace(detector, svms=one) for one in svms]

        def detect(image: AnnotatedImage) -> Detections:
            chosen = detectors[self.fold_of[image.image_id]]
            return chosen.detect_proposals(*source.inputs(image, detector.postprocess_settings))

        with (
            work.progress("calibration", len(images)) as advance,
            threads(work.pooling_threads) as executor,
        ):
            ahead = _AHEAD * work.pooling_threads
            for found, problem in ordered_map(lambda one: guarded(detect, one), images, executor, ahead):
                advance()
                if problem is None:
                    yield found
                else:
                    work.problems.extend([problem])
