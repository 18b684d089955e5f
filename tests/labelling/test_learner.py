"""What is learned from photos taught one by one, with the network and real proposals, on photos of shapes."""

import dataclasses

import numpy as np
import pytest

from detection.data import DataError, DatasetSettings, Problems
from detection.detector import Detector
from detection.geometry import iou
from detection.labelling.learner import MIN_BOXES, Learner
from detection.labelling.marks import Lesson, Marks, Rejected
from detection.labelling.session import Session
from detection.learning import train_svms


@pytest.fixture(scope="module")
def run_of_shapes(open_run, tmp_path_factory):
    """An experiment whose run keeps proposals and maps for all tests."""
    return open_run(tmp_path_factory.mktemp("learner") / "run", "--svm.passes=0", "--calibration.folds=3")


@pytest.fixture
def learner(run_of_shapes):
    return Learner(run_of_shapes.source_of({}), run_of_shapes.settings)


@pytest.fixture
def lessons(shape_photos, tmp_path):
    """Of all photos, complete where they are labelled."""
    session = Session(DatasetSettings(str(shape_photos)), tmp_path / "photos.json")
    found = [session.lesson(number) for number in range(len(session.photos))]
    return sorted(found, key=lambda one: (one.is_empty, one.image.image_id))


def named(lessons, name):
    return next(one for one in lessons if one.image.image_id == name)


def test_nothing_is_looked_for_before_the_third_box(learner, lessons):
    assert not learner.knows_something
    first = named(lessons, "train0")
    assert learner.teach(first)
    assert learner.counts.sum() == len(first.image.objects) < MIN_BOXES
    assert not learner.knows_something
    for one in lessons[1:6]:
        learner.teach(one)
    assert (learner.counts >= MIN_BOXES).any()
    assert learner.knows_something
    detector = learner.detector()
    assert detector.svms.trained.tolist() == (learner.counts >= MIN_BOXES).tolist()


def test_taught_one_by_one_it_finds_what_is_drawn(learner, lessons):
    for one in lessons[:8]:
        learner.teach(one)
    found = learner.suggest(named(lessons, "test1").image)
    assert found.probabilities.max() > 0.2
    assert set(found.labels.tolist()) <= set(range(len(learner.classes)))
    own = named(lessons, "train0")
    best = learner.suggest(own.image)
    drawn = np.array([item.box for item in own.image.objects])
    assert iou(best.boxes[:5], drawn).max() > 0.5


def test_all_at_once_gives_the_svms_of_a_training(learner, lessons, run_of_shapes):
    complete, problems = lessons[:8], Problems()
    learner.teach_all(complete, problems)
    assert not problems
    while any([learner.revise(one.image.image_id) for one in complete]):  # noqa: C419 (each of them)
        pass
    source, settings = learner.source, run_of_shapes.settings
    images = []
    for one in complete:
        annotated = learner._annotated(one.image)
        images.append(learner._source(one.image).training_regions(annotated, settings.features.layer))
    assert source.feature_settings == settings.features
    expected, _ = train_svms(lambda: images, len(learner.classes), settings.svm)
    found = learner.detector().svms
    for label in np.flatnonzero(found.trained):
        assert np.corrcoef(found.weights[label], expected.weights[label])[0, 1] > 0.99


def test_asked_while_a_class_is_added_it_answers(learner, lessons, monkeypatch):
    learner.teach_all(lessons[:8], Problems())
    pad, asked = np.pad, []

    def pad_and_ask(*arguments):
        asked.append(learner.knows_something)
        return pad(*arguments)

    monkeypatch.setattr(np, "pad", pad_and_ask)
    image = lessons[0].image
    unseen = dataclasses.replace(image, objects=(dataclasses.replace(image.objects[0], name="unseen"),))
    learner.teach(Lesson(unseen, lessons[0].marks))
    assert len(asked) >= 2
    assert all(asked)


def test_a_lesson_learned_again_changes_nothing(learner, lessons):
    assert learner.teach(lessons[0])
    assert not learner.teach(lessons[0])
    assert learner.taught == (lessons[0].image.image_id,)


def test_a_photo_whose_labels_are_taken_away_is_forgotten(learner, lessons):
    for one in lessons[:6]:
        learner.teach(one)
    empty = Lesson(dataclasses.replace(lessons[0].image, objects=()))
    assert empty.is_empty
    before = learner.counts
    assert learner.teach(empty)
    assert not learner.teach(empty)
    assert learner.counts.sum() == before.sum() - len(lessons[0].image.objects)
    assert lessons[0].image.image_id not in learner.taught


def negatives(learner):
    """Boxes that are kept as negatives, of all classes, by photo."""
    trainer = learner._svms._trainer
    return {
        (trainer.image_ids[place], box.tobytes())
        for cache in trainer.caches
        for place, box in zip(cache.keys[:, 0], cache.boxes[cache.positives :], strict=True)
    }


def test_in_a_photo_drawn_in_part_only_what_is_surely_wrong_is_a_negative(learner, lessons):
    part = [dataclasses.replace(one, marks=Marks(False)) for one in lessons[:6]]
    for one in part:
        learner.teach(one)
    kept = negatives(learner)
    assert kept
    for one in part:
        drawn = np.array([item.box for item in one.image.objects]).reshape(-1, 4)
        for image_id, box in kept:
            if image_id == one.image.image_id:
                box = np.frombuffer(box, np.float32)
                corners = np.clip(drawn, [*box[:2], *box[:2]], [*box[2:], *box[2:]])
                inside = np.prod(corners[:, 2:] - corners[:, :2], axis=1) / np.prod(box[2:] - box[:2])
                assert inside.max() >= 0.49 or iou(box, drawn).max() >= 0.5


def test_a_rejected_box_becomes_a_negative(learner, lessons):
    part = [dataclasses.replace(one, marks=Marks(False)) for one in lessons[:7]]
    for one in part:
        learner.teach(one)
    shown = named(lessons, "test1").image
    found = learner.suggest(shown)
    name, box = learner.classes[found.labels[0]], found.boxes[0]
    before = found.scores[0]
    learner.teach(Lesson(dataclasses.replace(shown, objects=()), Marks(False, (Rejected(name, tuple(box.tolist())),))))
    again = learner.suggest(shown)
    same = (iou(again.boxes, box)[:, 0] > 0.9) & (again.labels == found.labels[0])
    assert (again.scores[same] < before).all()


def test_measured_by_cross_validation_over_complete_photos(learner, lessons):
    part = dataclasses.replace(lessons[0], marks=Marks(False))
    learner.teach_all([part, lessons[1]], Problems())
    assert learner.measure() is None
    learner.teach_all(lessons[2:8], Problems())
    assert learner.measure(lambda: False) is None
    measured = learner.measure()
    assert measured.photos == 7
    assert 0 <= measured.mean_ap.low <= measured.mean_ap.value <= measured.mean_ap.high <= 1
    assert learner.calibration.trained.all()
    learner.teach(Lesson(named(lessons, "test1").image, Marks(False, (Rejected("another", (1.0, 2.0, 30.0, 40.0)),))))
    assert len(learner.calibration.trained) == len(learner.classes)
    learner.detector()


def test_the_detector_is_one_as_any_other(learner, lessons, tmp_path):
    learner.teach_all(lessons[:8], Problems())
    learner.detector().save(tmp_path / "detector")
    detector, image = Detector.load(tmp_path / "detector"), named(lessons, "test1").image
    found, own = detector.detect(image.path), learner.suggest(image)
    np.testing.assert_array_equal(found.boxes, own.boxes)
    np.testing.assert_array_equal(found.scores, own.scores)


def test_a_photo_that_is_gone_is_told(learner, lessons, tmp_path):
    gone = dataclasses.replace(lessons[0].image, path=tmp_path / "gone.jpg", image_id="gone")
    problems = Problems()
    with pytest.raises((DataError, OSError)):
        learner.teach(Lesson(gone, Marks(True)))
    learner.teach_all([lessons[1]], problems)
    assert learner.taught == (lessons[1].image.image_id,)


def test_descriptors_tell_photos_apart(learner, lessons):
    one, other = (learner.descriptor(named(lessons, name).image) for name in ("train0", "train1"))
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ other < 1 - 1e-6
    np.testing.assert_array_equal(one, learner.descriptor(named(lessons, "train0").image))
