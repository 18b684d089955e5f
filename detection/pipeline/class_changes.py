"""One class more or less in a trained detector; the other classes' detections stay as they are, bit for bit."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from detection.data import DatasetSettings, load_annotations, split_ids
from detection.data.labels import class_name
from detection.detector import Detector
from detection.engines import limit_threads
from detection.learning import Calibration, MiningCheckpoint
from detection.pipeline.detector_parts import part_key
from detection.pipeline.experiment import Experiment
from detection.pipeline.keys import annotations_key, image_key, training_key
from detection.pipeline.source import ImageSource
from detection.pipeline.stages.detections import trained_parts
from detection.pipeline.stages.images import prepare_images, usable
from detection.pipeline.stages.regressors import train_box_regressors
from detection.pipeline.stages.svms import report_mining, train_linear_svms, write_mining_log
from detection.pipeline.training_samples import SAMPLES, rename_training_samples, write_training_samples
from detection.storage import file_stem
from detection.types import AnnotatedImage


def add_class(experiment: Experiment, name: str, photos: DatasetSettings) -> None:
    """Train one more class on new photos and add it to the run's detector, behind the others.

    name: a class that the run does not have. photos: the data set whose training splits have objects of it; objects
    of the run's classes may be marked too. Its negatives are mined in these photos and in the run's training images,
    in which no object of the class must be; its box regressor is trained on the new photos. Raises ValueError where
    the run has no detector or has the class, and where the photos have no object of it.
    """
    name = class_name(name, "--add")
    detector = _detector_of(experiment)
    if name in detector.classes:
        raise ValueError(f"--add {name}: the detector has this class; --drop {name} first, or --rename")
    if (now := experiment.names.get(name)) is not None:
        raise ValueError(f"--add {name}: so the run's data call its class {now}, which was renamed; take another name")
    classes = (*detector.classes, name)
    images = load_annotations(photos.train_sources, classes, experiment.work.problems)
    experiment.say_notes()  # how many are held out
    label = len(detector.classes)
    if not any((one.labels == label).any() for one in images):
        raise ValueError(f"--add {name}: expected objects of this class in {photos.root}, found none")
    source, new, old = _sources(experiment, images)
    keys, edit_key = source.image_keys, ["add", name, annotations_key(new, source.image_keys)]
    started, settings, layer = time.monotonic(), experiment.settings, experiment.settings.features.layer
    only = [_with_one_class(one, label) for one in new]
    pool = [
        _with_objects(one, np.zeros(len(one.labels), bool))
        for one in old
        if one.image_id not in {x.image_id for x in new}
    ]
    svm = settings.svm.for_photos(len(only) + len(pool))
    key = training_key(annotations_key([*only, *pool], keys), experiment.vectors_key, (), svm)
    checkpoint = MiningCheckpoint(experiment.run.mining, key)
    with limit_threads(experiment.work.threads):
        svms, log = train_linear_svms(source, [*only, *pool], 1, svm, layer, experiment.work, checkpoint)
        regressors = None
        if detector.regressors is not None:
            regressors = train_box_regressors(source, only, 1, settings.regression, experiment.work)
    report_mining(experiment, log, [name])
    changed = dataclasses.replace(
        detector,
        classes=classes,
        svms=detector.svms.joined(svms),
        regressors=None if regressors is None else detector.regressors.joined(regressors),
        calibration=detector.calibration and detector.calibration.joined(Calibration.fixed(1)),
    )
    write_mining_log(experiment.run.detector / f"mining-{file_stem(name)}.csv", log, [name])
    write_training_samples(experiment.run.detector / SAMPLES, log, [name], add=True)
    checkpoint.remove()
    _save(experiment, changed, edit_key)
    seconds = time.monotonic() - started
    listed = len(split_ids(photos.train_sources, experiment.work.problems))
    _say(
        experiment,
        f"added {name}: {log.positives[0]} positives in {len(new)} of the {listed} photos of the split "
        f"{' and '.join(one.split for one in photos.train)}, {seconds:.1f} s",
    )


def drop_class(experiment: Experiment, name: str) -> None:
    """Take a class out of the run's detector. Raises ValueError where it has none of the name, or no other one."""
    detector = _detector_of(experiment)
    _check_known(detector, name, "--drop")
    if len(detector.classes) == 1:
        raise ValueError(f"--drop {name}: expected a detector with another class besides")
    kept = np.array([i for i, one in enumerate(detector.classes) if one != name])
    changed = dataclasses.replace(
        detector,
        classes=tuple(detector.classes[i] for i in kept),
        svms=detector.svms.select(kept),
        regressors=detector.regressors and detector.regressors.select(kept),
        calibration=detector.calibration and detector.calibration.select(kept),
    )
    rename_training_samples(experiment.run.detector / SAMPLES, {name: None})
    _save(experiment, changed, ["drop", name])
    _say(experiment, f"dropped {name}; classes: {', '.join(changed.classes)}")


def rename_class(experiment: Experiment, old: str, new: str) -> None:
    """Give a class of the run's detector another name.

    Raises ValueError where there is no such class, the name is taken, or cannot be that of a class.
    """
    new = class_name(new, "--rename")
    detector = _detector_of(experiment)
    _check_known(detector, old, "--rename")
    if new in detector.classes:
        raise ValueError(f"--rename {old} {new}: the detector has the class {new} already")
    classes = tuple(new if one == old else one for one in detector.classes)
    rename_training_samples(experiment.run.detector / SAMPLES, {old: new})
    _save(experiment, dataclasses.replace(detector, classes=classes), ["rename", old, new])
    _say(experiment, f"renamed {old} to {new}")


def _detector_of(experiment: Experiment) -> Detector:
    """The run's detector, which must be of the settings in force. Raises ValueError where it is not."""
    for stage in trained_parts(experiment):
        stage.require(experiment)
    return Detector.load(experiment.run.detector)


def _check_known(detector: Detector, name: str, option: str) -> None:
    if name not in detector.classes:
        raise ValueError(f"{option} {name}: expected one of {', '.join(detector.classes)}")


def _sources(
    experiment: Experiment, images: Sequence[AnnotatedImage]
) -> tuple[ImageSource, list[AnnotatedImage], list[AnnotatedImage]]:
    """(where vectors of both are read, the new photos, the run's training images): those that can be used."""
    source = experiment.source
    for one in images:
        if source.image_keys.get(one.image_id, image_key(one)) != image_key(one):
            raise ValueError(f"image {one.image_id!r}: expected an id that no other image of the run has; rename it")
    keys = {**source.image_keys, **{one.image_id: image_key(one) for one in images}}
    source = dataclasses.replace(source, image_keys=keys)
    old = usable(experiment, experiment.train_images)
    prepare_images(source, images, experiment.work)
    store, cache = source.store(), source.cache()
    there = [one for one in images if store.has(one.image_id, keys[one.image_id])]
    return source, [one for one in there if cache.has(one.image_id, keys[one.image_id])], old


def _with_one_class(image: AnnotatedImage, label: int) -> AnnotatedImage:
    """The image with its objects of one class alone, as class 0."""
    one = _with_objects(image, image.labels == label)
    return dataclasses.replace(one, labels=np.zeros_like(one.labels))


def _with_objects(image: AnnotatedImage, kept: np.ndarray) -> AnnotatedImage:
    """The image with those of its objects alone; kept: (G,) bool."""
    arrays = {name: getattr(image, name) for name in ("boxes", "labels", "difficult", "truncated", "areas")}
    chosen = {name: array[kept] for name, array in arrays.items() if array is not None}
    return dataclasses.replace(image, **chosen)


def _save(experiment: Experiment, detector: Detector, edit: list[str]) -> None:
    """Replace the run's detector, in one step, and note the change, which its keys follow from.

    The last thing that a change does: what is cut off before it is done again, behind it nothing is left to do.
    """
    base = detector.notes.get("base_classes", list(experiment.base_classes))
    edits = [*detector.notes.get("edits", []), edit]
    notes = {**detector.notes, "base_classes": base, "edits": edits}
    notes |= {part: part_key(experiment, part, edits) for part in ("svms", "regressors") if part in detector.notes}
    dataclasses.replace(detector, notes=notes).save(experiment.run.detector)
    experiment.run.fix_classes(detector.classes, replace=True)


def _say(experiment: Experiment, text: str) -> None:
    experiment.say(f"{text}; {experiment.run.detector}")
