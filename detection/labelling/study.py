"""A learner that is taught all that is labelled in a folder, and what it makes of the rest, in one go."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from detection.data.labels import ImageObjects, LabelReader
from detection.labelling.choice import Candidate
from detection.labelling.learner import Learner
from detection.labelling.marks import Lesson
from detection.labelling.session import Session
from detection.pipeline.experiment import Experiment
from detection.pipeline.work import Work, guarded
from detection.types import Detections

# Of a photo in which nothing is looked for.
_NOTHING = np.zeros(0, np.float64), np.zeros(0, np.int64)


def open_session(experiment: Experiment) -> tuple[Session, Learner]:
    """The session of an experiment's folder, and a learner that knows its classes; a new run keeps the settings.

    Raises ValueError where the run is of another folder.
    """
    root, kept = experiment.settings.dataset.root, experiment.run.read()["settings"]
    if kept is not None and Path(kept["dataset"]["root"]).resolve() != Path(root).resolve():
        raise ValueError(
            f"{experiment.run.path}: expected a run of {root}, or none, got one of {kept['dataset']['root']}: another "
            "--run leaves this one as it is"
        )
    session = Session(experiment.settings.dataset, experiment.run.labelling / "photos.json")
    if kept is None:
        experiment.keep_settings()
    return session, Learner(experiment.source_of({}), experiment.settings, session.classes())


def refuse_unwritable(session: Session) -> None:
    """Raise ValueError where labels of the folder's format can be read, but not saved photo by photo."""
    if type(session.photos[0].reader).save is LabelReader.save:
        raise ValueError(
            f"{session.found.path}: format {session.found.format}: expected one that labels can be saved in, as XML, "
            "YOLO, COCO: sppnet convert --to folder --link makes such a set"
        )


def lessons_of(session: Session) -> tuple[list[Lesson], list[ImageObjects]]:
    """(photos of which anything was said, photos without labels) that can be used, in order."""
    found = [one for number in range(len(session.photos)) if (one := session.lesson(number)) is not None]
    return [one for one in found if not one.is_empty], [one.image for one in found if one.is_empty]


def teach_all(learner: Learner, lessons: Sequence[Lesson], work: Work) -> None:
    """Teach photos, and calibrate where there are complete ones enough; those that cannot be read are listed."""
    learner.prepare([one.image for one in lessons], work)
    with work.progress("labelled photos", len(lessons)) as advance:
        learner.teach_all(_counted(lessons, advance), work.problems)


def _counted(lessons: Sequence[Lesson], advance: Callable[[], None]) -> Iterator[Lesson]:
    for one in lessons:
        yield one
        advance()


def found_in(learner: Learner, images: Sequence[ImageObjects], work: Work) -> Iterator[tuple[ImageObjects, Detections]]:
    """What is found in photos, in order; those that cannot be read are listed in ``work.problems``."""
    learner.prepare(images, work)
    with work.progress("detections", len(images)) as advance:
        for image in images:
            found, problem = guarded(learner.suggest, image)
            advance()
            if problem is None:
                yield image, found
            else:
                work.problems.extend([problem])


def candidate(learner: Learner, image: ImageObjects) -> Candidate:
    """A photo as `choose` takes it. Raises DataError where it cannot be read."""
    chances, labels = _NOTHING
    if learner.knows_something:
        found = learner.suggest(image)
        chances, labels = found.probabilities, found.labels
    return Candidate(image.image_id, learner.descriptor(image), chances, labels)


def candidates(learner: Learner, images: Sequence[ImageObjects], work: Work) -> list[Candidate]:
    """`candidate` of photos; those that cannot be read are listed in ``work.problems``."""
    learner.prepare(images, work)
    found = []
    with work.progress("photos looked at", len(images)) as advance:
        for image in images:
            one, problem = guarded(lambda image: candidate(learner, image), image)
            advance()
            if one is not None:
                found.append(one)
            else:
                work.problems.extend([problem])
    return found
