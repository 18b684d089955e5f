"""A detector that learns from photos as they are labelled: taught one by one, asked at any time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detection.data import DataError, Problems
from detection.data.labels import ImageObjects
from detection.detector import Detector
from detection.engines import parallel_executor
from detection.evaluation import Interval, evaluate, intervals
from detection.labelling.evidence import sure_negatives
from detection.labelling.marks import Lesson
from detection.learning import (
    Calibration,
    GrowingSVMs,
    LinearSVMs,
    TrainingRegions,
    fit_calibration,
    image_folds,
    norm_sample_proposals,
    thinned,
)
from detection.pipeline.held_out import judged
from detection.pipeline.keys import image_key
from detection.pipeline.settings import StageSettings
from detection.pipeline.source import ImageSource
from detection.pipeline.stages.images import prepare_images
from detection.pipeline.work import Work
from detection.types import AnnotatedImage, Detections

# Boxes of a class from which on it is looked for.
MIN_BOXES = 3
# Of many photos that are taught in one go: how many times as many until the next training, passes for negatives, and
# trainings in each of these.
_TRAIN_GROWTH, _MOST_PASSES, _TRAININGS = 1.3, 3, 4


@dataclass(frozen=True)
class Measured:
    """What cross-validation over complete photos gave. photos: their number. mean_ap: None where no class could be
    measured.
    """

    photos: int
    mean_ap: Interval | None


class Learner:
    """SVMs over the photos that were taught, under the settings of a run; proposals and maps are kept in the run.

    source: where those are, of no image in particular. classes: names that are known before; others are added as they
    come. One thread teaches and looks for objects; others may ask for `classes`, `counts` and `knows_something`, which
    is whether any class is looked for.
    """

    def __init__(self, source: ImageSource, settings: StageSettings, classes: Sequence[str] = ()) -> None:
        self.source, self.settings = source, settings
        self.classes: list[str] = []
        self.calibration: Calibration | None = None
        self.knows_something = False
        self._svms = GrowingSVMs(settings.svm)
        self._lessons: dict[str, Lesson] = {}
        self._keys: dict[tuple[str, tuple[int, int]], str] = {}
        self._know(classes)

    # Images.

    def prepare(self, images: Sequence[ImageObjects], work: Work) -> None:
        """Make the proposals and maps that photos lack; those that cannot be read are listed in ``work.problems``."""
        plain = [_plain(one) for one in images]
        keys = {one.image_id: self._key(one) for one in plain}
        prepare_images(replace(self.source, image_keys=keys), plain, work)

    def descriptor(self, image: ImageObjects) -> np.ndarray:
        """(D,) float32 of norm 1: the pooled vector of the whole photo."""
        source, (height, width) = self._source(image), image.size
        whole = np.array([[0, 0, width, height]], np.float32)
        vector = source.pooling_extractor().pool(source.pyramid(_plain(image)), whole).values[0]
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    def _annotated(self, image: ImageObjects) -> AnnotatedImage:
        boxes = np.array([one.box for one in image.objects], np.float32).reshape(-1, 4)
        labels = np.array([self.classes.index(one.name) for one in image.objects], np.int64)
        difficult = np.array([one.difficult for one in image.objects], bool)
        return replace(_plain(image), boxes=boxes, labels=labels, difficult=difficult)

    def _key(self, annotated: AnnotatedImage) -> str:
        place = annotated.image_id, annotated.size
        if place not in self._keys:
            self._keys[place] = image_key(annotated)
        return self._keys[place]

    def _source(self, image: ImageObjects) -> ImageSource:
        return replace(self.source, image_keys={image.image_id: self._key(_plain(image))})

    # Teaching.

    @property
    def counts(self) -> np.ndarray:
        """(L,) int64: boxes of each class that were taught."""
        labels = [self.classes.index(item.name) for one in list(self._lessons.values()) for item in one.image.objects]
        return np.bincount(np.array(labels, np.int64), minlength=len(self.classes))

    @property
    def taught(self) -> tuple[str, ...]:
        """The ids of the photos that were taught."""
        return tuple(self._lessons)

    def teach(self, lesson: Lesson) -> bool:
        """Take a photo in place of what was taught of it before, and train; whether anything changed.

        Raises DataError for a photo that cannot be read, ValueError as `GrowingSVMs.put`.
        """
        image_id = lesson.image.image_id
        if lesson == self._lessons.get(image_id, Lesson(lesson.image) if lesson.is_empty else None):
            return False
        self._take(lesson)
        self._train()
        return True

    def teach_all(self, lessons: Iterable[Lesson], problems: Problems) -> None:
        """`teach` many photos, training less and less often on the way; then look for negatives until none is new.

        problems: lists the photos that cannot be read.
        """
        taken, due = [], 1.0
        for lesson in lessons:
            try:
                self._take(lesson)
            except DataError as error:
                problems.skip_error(error)
                continue
            taken.append(lesson.image.image_id)
            if len(taken) >= due:
                self._train()
                due = len(taken) * _TRAIN_GROWTH
        self._train()
        for _ in range(_MOST_PASSES):
            added = [self._mine(part) for part in np.array_split(taken, _TRAININGS)]
            if not any(added):
                break

    def revise(self, image_id: str) -> bool:
        """Look for hard negatives in a photo that was taught, by the SVMs of now, and train; whether there were any."""
        return bool(self._mine([image_id]))

    def _mine(self, image_ids: Sequence[str]) -> int:
        """`revise` of several photos with one training; how many negatives are new."""
        new = sum(self._svms.mine(self._regions(self._lessons[one])) for one in image_ids)
        if new:
            self._train()
        return new

    def _take(self, lesson: Lesson) -> None:
        image_id = lesson.image.image_id
        self._know([item.name for item in lesson.image.objects] + [one.name for one in lesson.marks.rejected])
        if lesson.is_empty:
            self._svms.remove(image_id)
            self._lessons.pop(image_id, None)
        else:
            self._svms.put(self._regions(lesson))
            self._lessons[image_id] = lesson

    def _know(self, names: Sequence[str]) -> None:
        new = [one for one in dict.fromkeys(names) if one not in self.classes]
        self.classes += new
        self._svms.add_classes(len(new))
        if self.calibration is not None and new:
            self.calibration = self.calibration.joined(Calibration.fixed(len(new)))

    def _regions(self, lesson: Lesson) -> TrainingRegions:
        """The vectors of a photo's objects, and of the proposals that may be negatives."""
        settings, source, annotated = self.settings, self._source(lesson.image), self._annotated(lesson.image)
        mask = None
        if not lesson.marks.complete:
            rejected = [(self.classes.index(one.name), one.box) for one in lesson.marks.rejected]
            boxes = source.proposals(annotated).boxes
            mask = sure_negatives(boxes, annotated.boxes, annotated.labels, rejected, len(self.classes))
        rows = None if mask is None else np.flatnonzero(mask.any(axis=1))

        def choose(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            norms = norm_sample_proposals(len(self._lessons), len(boxes), settings.svm.norm)
            return np.arange(len(boxes)) if rows is None else rows, norms

        regions = source.training_regions(annotated, settings.features.layer, choose, settings.svm.extra_positives)
        regions = replace(regions, negatives=None if mask is None else mask[rows])
        return thinned(regions, settings.svm)

    def _train(self) -> None:
        self._svms.train()
        self.knows_something = bool(self._lessons) and bool(self._svms_in_use().trained.any())

    # Asking.

    def detector(self) -> Detector:
        """What was learned so far: classes of at least `MIN_BOXES` boxes. Raises ValueError before the first photo."""
        return self._detector(self._svms_in_use(), self.calibration)

    def suggest(self, image: ImageObjects) -> Detections:
        """What the detector finds in a photo, with probabilities. Raises DataError for one that cannot be read."""
        return self._detect(self.detector(), image)

    def _svms_in_use(self) -> LinearSVMs:
        svms = self._svms.svms()
        return replace(svms, trained=svms.trained & (self._svms.positives >= MIN_BOXES))

    def _detector(self, svms: LinearSVMs, calibration: Calibration | None) -> Detector:
        return Detector(
            classes=tuple(self.classes),
            proposal_settings=self.source.proposal_settings,
            extractor=self.source.extractor(),
            svms=svms,
            postprocess_settings=self.settings.postprocess,
            calibration=calibration,
        )

    def _detect(self, detector: Detector, image: ImageObjects) -> Detections:
        source, plain = self._source(image), _plain(image)
        return detector.detect_proposals(source.proposals(plain), source.pyramid(plain), parallel_executor().map)

    # Measuring.

    def measure(self, goes_on: Callable[[], bool] = lambda: True) -> Measured | None:
        """Cross-validation over the complete photos: mean AP with its interval, and calibration for what comes.

        goes_on: asked before each photo; None is returned where it ends, or where there are fewer photos than folds.
        """
        settings = self.settings
        complete = [one.image for one in self._lessons.values() if one.marks.complete]
        folds, seed = settings.calibration.folds, settings.calibration.seed
        if len(complete) < folds or not self.knows_something:
            return None
        fold_of = image_folds([one.image_id for one in complete], folds, seed)
        detectors = [self._detector(svms, None) for svms in self._svms.held_out(fold_of)]
        found = []
        for image in complete:
            if not goes_on():
                return None
            found.append(self._detect(detectors[fold_of[image.image_id]], image))
        annotated = [self._annotated(one) for one in complete]
        result = evaluate(found, annotated, self.classes, **vars(settings.evaluation))
        self.calibration = fit_calibration(*judged(found, annotated, self.classes), settings.calibration)
        bounds = intervals(result, settings.intervals)
        return Measured(len(complete), bounds and bounds.mean_ap)


def _plain(image: ImageObjects) -> AnnotatedImage:
    """A photo without its objects."""
    boxes, none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    return AnnotatedImage(image.image_id, image.path, image.size, boxes, none, none.astype(bool))
