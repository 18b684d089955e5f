"""The work behind a page: what is saved is learned, boxes are suggested, photos are chosen, all in the background."""

import shutil
import time

import pytest

from detection.labelling.learner import Learner
from detection.labelling.marks import Marks, Rejected
from detection.labelling.photos import Drawn
from detection.labelling.study import open_session
from detection.labelling.teacher import Teacher
from detection.pipeline.work import Work

# Seconds after which a thing in the background counts as not happening.
PATIENCE = 120


def wait(happened):
    ends = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Keeps proposals and maps for all tests."""
    return tmp_path_factory.mktemp("teacher") / "run"


@pytest.fixture
def taught(shape_photos, open_run, run_folder, tmp_path):
    """``taught(labels)``: (session, teacher that has begun, folders it saved detectors to) of a copy of the photos with
    so many labels.
    """
    teachers = []

    def begin(labels):
        folder = shutil.copytree(shape_photos, tmp_path / "photos")
        for number in range(labels, 8):
            (folder / f"train{number}.xml").unlink()
        shutil.rmtree(run_folder / "labelling", ignore_errors=True)
        (run_folder / "run.yaml").unlink(missing_ok=True)
        experiment = open_run(run_folder, f"--dataset.root={folder}", "--calibration.folds=3")
        session, learner = open_session(experiment)
        saved = []
        teacher = Teacher(session, learner, Work(), lambda one: saved.append(one.detector()))
        teachers.append(teacher)
        teacher.start()
        return session, teacher, saved

    yield begin
    for one in teachers:
        one.close()


def number_of(session, name):
    return next(number for number, one in enumerate(session.photos) if one.image_id == name)


def test_labels_that_are_there_are_learned_and_looked_for(taught):
    session, teacher, saved = taught(8)
    number = number_of(session, "test1")
    teacher.look(number)
    wait(lambda: teacher.is_fresh(number) and teacher.suggestions(number))
    first = teacher.suggestions(number)
    assert all(0 < one.chance <= 1 for one in first)
    assert [one.chance for one in first] == sorted((one.chance for one in first), reverse=True)
    wait(lambda: teacher.state()["curve"])
    point = teacher.state()["curve"][0]
    assert point["photos"] == 8
    assert 0 <= point["low"] <= point["value"] <= point["high"] <= 1
    wait(lambda: saved)
    assert saved[-1].classes == ("box", "disc")
    wait(lambda: len(teacher.next_photos()) == 4)
    names = {session.photos[one].image_id for one, _ in teacher.next_photos()}
    assert names == {"test1", "test2", "test3", "test4"}
    assert all(reason for _, reason in teacher.next_photos())


def test_what_is_saved_changes_what_is_suggested(taught):
    session, teacher, _ = taught(8)
    number = number_of(session, "test1")
    teacher.look(number)
    wait(lambda: teacher.is_fresh(number) and teacher.suggestions(number))
    best = teacher.suggestions(number)[0]
    before = teacher.revision
    session.save(number, session.read(number).version, [Drawn(0, best.name, best.box)], Marks(False))
    teacher.saved(number)
    assert not teacher.is_fresh(number)
    # What is drawn by now is not suggested once more, before anything is learned of it.
    assert best not in teacher.suggestions(number)
    wait(lambda: teacher.is_fresh(number))
    assert teacher.revision > before
    assert number not in [one for one, _ in teacher.next_photos()]
    assert teacher.state()["boxes"][best.name] > 0


def test_what_is_rejected_is_not_suggested(taught):
    session, teacher, _ = taught(8)
    number = number_of(session, "test1")
    teacher.look(number)
    wait(lambda: teacher.is_fresh(number) and teacher.suggestions(number))
    best = teacher.suggestions(number)[0]
    session.save(number, session.read(number).version, [], Marks(False, (Rejected(best.name, best.box),)))
    teacher.saved(number)
    assert best not in teacher.suggestions(number)
    wait(lambda: teacher.is_fresh(number))
    assert best not in teacher.suggestions(number)


def test_without_labels_photos_are_chosen_by_their_looks(taught):
    session, teacher, saved = taught(0)
    wait(lambda: teacher.state()["looked_at"] == 12)
    assert len(teacher.next_photos()) == 10
    number = number_of(session, "train0")
    teacher.look(number)
    wait(lambda: teacher.is_fresh(number))
    assert teacher.suggestions(number) == ()
    teacher.close()
    assert saved == []


def test_a_photo_that_cannot_be_read_stops_nothing(taught, shape_photos):
    session, teacher, _ = taught(8)
    number = number_of(session, "test2")
    session.photos[number].path.write_bytes(b"no picture")
    teacher.look(number)
    wait(lambda: str(number) in teacher.state()["problems"])
    assert "unreadable image" in teacher.state()["problems"][str(number)]
    other = number_of(session, "test1")
    teacher.look(other)
    wait(lambda: teacher.is_fresh(other) and teacher.suggestions(other))


def test_a_fault_of_the_learner_is_told_and_ends_nothing(taught, monkeypatch):
    session, teacher, _ = taught(8)
    other, number = number_of(session, "test1"), number_of(session, "train0")
    teacher.look(other)
    wait(lambda: teacher.is_fresh(other))

    def broken(*_):
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "teach", broken)
        teacher.saved(number)
        wait(lambda: teacher.state()["problems"].get(str(number)) == "broken")
    teacher.saved(number)
    wait(lambda: str(number) not in teacher.state()["problems"])


def test_a_full_disk_is_told_and_ends_nothing(taught):
    session, teacher, saved = taught(8)
    keep = teacher._on_idle

    def full(_):
        raise OSError(28, "No space left on device")

    teacher._on_idle = full
    wait(lambda: "No space left" in teacher.state()["trouble"])
    teacher._on_idle = keep
    number = number_of(session, "test1")
    session.save(number, session.read(number).version, [Drawn(0, "box", (10.0, 10.0, 50.0, 60.0))], Marks(False))
    teacher.saved(number)
    wait(lambda: saved)
    assert teacher.state()["trouble"] == ""


def test_ending_saves_what_was_learned(taught):
    _, teacher, saved = taught(8)
    wait(lambda: teacher.revision >= 8)
    teacher.close()
    assert saved
    assert not teacher._thread.is_alive()
