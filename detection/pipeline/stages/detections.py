"""Stage: detections of the test split: ``RUN/detections``, as COCO results and the devkit's text files."""

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from detection.data import read_coco_results, write_coco_results, write_comp4
from detection.data.detection_columns import read_columns, write_columns
from detection.data.detections import comp4_path
from detection.detector import Detector
from detection.engines import limit_threads
from detection.learning import PostprocessSettings
from detection.pipeline.detector_parts import trained_keys
from detection.pipeline.experiment import Experiment
from detection.pipeline.keys import images_key
from detection.pipeline.source import ImageSource
from detection.pipeline.stage import Stage, begin, recorded
from detection.pipeline.stages.finetuning import finetuned_layers
from detection.pipeline.stages.images import usable
from detection.pipeline.stages.regressors import REGRESSORS
from detection.pipeline.stages.svms import SVMS
from detection.pipeline.work import Work, map_images
from detection.storage import file_stem, fingerprint, notice, notice_damaged, read_arrays, write_arrays
from detection.types import AnnotatedImage, Detections

# To be raised when a change of the code changes what is detected for the same input.
_VERSION = 1
PARTS_FORMAT_VERSION = "1"


@lru_cache(maxsize=1)
def shared_detector(folder: Path, key: str, device: str) -> Detector:
    """The detector in a folder, loaded once a process; `key` tells it from others that the folder has held."""
    return Detector.load(folder, device=device)


def _detect_one(
    item: tuple[AnnotatedImage, ImageSource],
    detector_folder: Path,
    parts: Path,
    key: str,
    after: PostprocessSettings | None,
) -> Detections:
    image, source = item
    path = parts / f"{file_stem(image.image_id)}.safetensors"
    found = _read_part(path, image.image_id, key)
    if found is None:
        detector = shared_detector(detector_folder, key, source.device)
        detector = detector if after is None else dataclasses.replace(detector, postprocess_settings=after)
        with limit_threads(source.threads):
            found = detector.detect_proposals(*source.inputs(image, detector.postprocess_settings))
        # What is kept hangs on no calibration.
        found = dataclasses.replace(found, probabilities=None)
        arrays = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}
        write_arrays(path, arrays, {"format_version": PARTS_FORMAT_VERSION, "image_id": image.image_id, "key": key})
    return found


def _read_part(path: Path, image_id: str, key: str) -> Detections | None:
    try:
        arrays, metadata = read_arrays(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        return notice_damaged(error)
    if metadata != {"format_version": PARTS_FORMAT_VERSION, "image_id": image_id, "key": key}:
        return None
    return Detections(image_id, arrays["boxes"], arrays["scores"], arrays["labels"])


def detect_images(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    detector_folder: Path,
    parts: Path,
    key: str,
    work: Work,
    after: PostprocessSettings | None = None,
) -> list[Detections]:
    """Detections of each image in order; an unusable image has none and is listed in ``work.problems``.

    detector_folder: what ``Detector.save`` wrote. parts: folder for the results of single images, with which an
    interrupted run goes on; `key` tells results of other detectors and settings apart. after: what follows scoring;
    None: as the detector has it.
    """
    task = partial(_detect_one, detector_folder=detector_folder, parts=Path(parts), key=key, after=after)
    items = [(one, source.of(one)) for one in images]
    return [found for _, found in map_images(task, items, work, "detections")]


def detections_file(experiment: Experiment) -> Path:
    """Where the test split's detections lie. Raises ValueError where there is no test split."""
    return experiment.run.detections / f"{experiment.split}.json"


def _files(experiment: Experiment) -> list[Path]:
    """All that there is of them: the devkit's files are for others to read, and may go."""
    texts = (comp4_path(experiment.run.detections, experiment.split, name) for name in experiment.classes)
    return [detections_file(experiment), *(path for path in texts if path.is_file())]


def trained_parts(experiment: Experiment) -> tuple[Stage, ...]:
    """The stages whose parts the run's detector has, or must have."""
    return (SVMS, REGRESSORS) if "regressors" in experiment.trained() else (SVMS,)


def detect(experiment: Experiment) -> list[Detections]:
    """The test split's detections, made where they are not there yet. Raises as ``Stage.make``."""
    DETECTIONS.make(experiment)
    return read_detections(experiment)


def read_detections(experiment: Experiment) -> list[Detections]:
    """The test split's detections on file, in the split's order.

    Raises ValueError where they are absent or of other settings.
    """
    DETECTIONS.require(experiment)
    ids = [one.image_id for one in experiment.test_images]
    key = DETECTIONS.key(experiment)
    return experiment.once("detections", key, lambda: _read(experiment, ids, key))


def _read(experiment: Experiment, image_ids: Sequence[str], key: str) -> list[Detections]:
    try:
        columns = read_columns(_columns_file(experiment), key)
    except ValueError as error:
        columns = notice(f"{error}; the json beside it is read")
    # A run of before there were columns has the json alone, as one has whose columns are gone.
    return read_coco_results(detections_file(experiment), image_ids) if columns is None else columns.records(image_ids)


def _columns_file(experiment: Experiment) -> Path:
    """The same detections in a form that is read in a moment, and in little memory."""
    return detections_file(experiment).with_suffix(".safetensors")


def _key(experiment: Experiment) -> str:
    test_key = images_key(experiment.test_images, experiment.source.image_keys)
    settings = experiment.settings.postprocess
    return fingerprint(_VERSION, test_key, experiment.vectors_key, trained_keys(experiment), settings)


def _run(experiment: Experiment) -> Mapping[str, Any]:
    started = time.monotonic()
    images, run = usable(experiment, experiment.test_images), experiment.run
    parts, key = run.detections / "parts", _key(experiment)
    begin(experiment, "detections", key)
    after = experiment.settings.postprocess
    found = detect_images(experiment.source, images, run.detector, parts, key, experiment.work, after)
    write_coco_results(detections_file(experiment), found)
    write_columns(_columns_file(experiment), found, key)
    write_comp4(run.detections, experiment.split, found, experiment.classes)
    _keep_postprocessing(experiment)
    shutil.rmtree(parts, ignore_errors=True)
    return {
        "images": len(found),
        "detections": sum(len(one.scores) for one in found),
        "seconds_per_image": round((time.monotonic() - started) / max(len(found), 1), 4),
    }


def _keep_postprocessing(experiment: Experiment) -> None:
    """Let the detector in the run folder do what the settings say after scoring: it was trained without them.

    Once there are detections to go with it: whoever turns back before finds it as it was.
    """
    detector, settings = Detector.load(experiment.run.detector), experiment.settings.postprocess
    if detector.postprocess_settings != settings:
        dataclasses.replace(detector, postprocess_settings=settings).save(experiment.run.detector)


DETECTIONS = Stage(
    name="detections",
    command="detect",
    place=detections_file,
    key=_key,
    kept=lambda experiment: recorded(experiment, "detections", *_files(experiment)),
    run=_run,
    needs=lambda experiment: (*finetuned_layers(experiment), *trained_parts(experiment)),
    files=_files,
)
