import json
import threading

import pytest

from detection.labelling.marks import Marks, Rejected
from detection.labelling.photos import Drawn
from detection.labelling.session import ConflictError

CAT = Drawn(0, "cat", (10, 20, 40, 50))
NOTHING = Marks(False)


def objects(state):
    return [(one.name, one.box) for one in state.labels.objects]


def test_what_is_saved_is_there_for_everybody(photos, open_folder):
    session = open_folder(photos)
    before = session.read(0)
    saved = session.save(0, before.version, [CAT], Marks(False, (Rejected("dog", (1.0, 2.0, 3.0, 4.0)),)))
    assert saved.version != before.version
    assert objects(saved) == [("cat", (10, 20, 40, 50))]
    again = open_folder(photos).seen(0)
    assert again.version == saved.version
    assert again.marks.rejected == (Rejected("dog", (1, 2, 3, 4)),)
    assert sorted(one.name for one in photos.iterdir()) == ["a.jpg", "a.xml", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]


def test_who_has_seen_other_labels_saves_nothing(photos, open_folder):
    session = open_folder(photos)
    seen = session.read(0).version
    first = session.save(0, seen, [CAT], NOTHING)
    content = (photos / "a.xml").read_bytes()
    with pytest.raises(ConflictError, match=r"a\.jpg: its labels were changed elsewhere") as refused:
        session.save(0, seen, [], Marks(True))
    assert refused.value.state == first
    assert (photos / "a.xml").read_bytes() == content
    assert not session.read(0).marks.complete


def test_a_change_by_another_program_is_seen(photos, open_folder, label):
    session = open_folder(photos)
    seen = session.read(0).version
    label(photos / "a.jpg", [("dog", (0, 0, 9, 9))])
    with pytest.raises(ConflictError):
        session.save(0, seen, [CAT], NOTHING)
    assert objects(session.read(0)) == [("dog", (0, 0, 9, 9))]


def test_marks_alone_write_no_labels(photos, open_folder):
    session = open_folder(photos)
    session.save(0, session.read(0).version, [], Marks(False, (Rejected("dog", (1, 2, 3, 4)),)))
    assert not (photos / "a.xml").exists()
    assert not session.lesson(0).is_empty


def test_a_complete_photo_without_objects_has_labels_of_none(photos, open_folder):
    session = open_folder(photos)
    session.save(0, session.read(0).version, [], Marks(True))
    assert "<object>" not in (photos / "a.xml").read_text()
    assert session.lesson(0).marks.complete


def test_drawn_in_part_a_photo_is_not_complete_whatever_happens_in_between(photos, open_folder, monkeypatch):
    """Labels without marks count as complete: those of a photo that is not must never be alone."""
    session = open_folder(photos)
    version, photo = session.read(0).version, session.photos[0]
    save = type(photo.reader).save

    def killed(reader, *given):
        save(reader, *given)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(photo.reader), "save", killed)
    for complete in (False, True):
        with pytest.raises(KeyboardInterrupt):
            session.save(0, version, [CAT], Marks(complete))
        again = open_folder(photos)
        assert objects(again.seen(0)) == [("cat", (10, 20, 40, 50))]
        assert not again.seen(0).marks.complete
        (photos / "a.xml").unlink()


def test_labels_of_another_program_count_as_complete_until_told(photos, open_folder, label):
    label(photos / "a.jpg", [("dog", (0, 0, 9, 9))])
    session = open_folder(photos)
    state = session.seen(0)
    assert state.marks.complete
    session.save(0, state.version, [Drawn(1, "dog", (0, 0, 9, 9))], NOTHING)
    assert not open_folder(photos).seen(0).marks.complete


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (Marks(False, (Rejected("", (1, 2, 3, 4)),)), "rejected box: expected a class name"),
        (Marks(False, (Rejected("cat", (1, 2, 3, 4)),) * 5001), "at most 5000 rejected boxes"),
    ],
)
def test_marks_that_cannot_be_kept_are_refused(photos, open_folder, marks, message):
    session = open_folder(photos)
    with pytest.raises(ValueError, match=message):
        session.save(0, session.read(0).version, [CAT], marks)
    assert not (photos / "a.xml").exists()


def test_of_many_at_once_one_saves_and_all_others_are_told(photos, open_folder):
    session = open_folder(photos)
    version, outcomes = session.read(0).version, []
    start = threading.Barrier(8)

    def save(number):
        start.wait()
        try:
            session.save(0, version, [Drawn(0, f"by {number}", (1, 2, 30, 40))], NOTHING)
            outcomes.append(number)
        except ConflictError:
            outcomes.append(None)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    (winner,) = [one for one in outcomes if one is not None]
    assert len(outcomes) == 8
    assert objects(session.read(0)) == [(f"by {winner}", (1, 2, 30, 40))]


def test_classes_are_those_declared_then_those_drawn(photos, open_folder, label):
    label(photos / "a.jpg", [("dog", (0, 0, 9, 9)), ("cat", (0, 0, 9, 9))])
    assert open_folder(photos).classes() == ["cat", "dog"]


def test_a_photo_that_cannot_be_read_teaches_nothing(photos, open_folder):
    (photos / "a.jpg").write_bytes(b"no picture")
    session = open_folder(photos)
    assert session.lesson(0) is None
    with pytest.raises(ValueError, match=r"cannot be labelled here: .*unreadable image"):
        session.save(0, session.read(0).version, [CAT], NOTHING)


@pytest.fixture
def one_file(photos):
    """A COCO json of the photos, without any object."""
    images = [{"id": place, "file_name": f"{name}.jpg"} for place, name in enumerate("abcde")]
    path = photos / "all.json"
    path.write_text(json.dumps({"images": images}))
    return path


def test_one_file_of_all_photos(photos, open_folder, one_file):
    session = open_folder(photos)
    assert session.found.format == "coco"
    first = session.read(0).version
    session.save(1, session.read(1).version, [CAT], NOTHING)
    # Another photo is as it was, whatever its file says of others.
    saved = session.save(0, first, [CAT, Drawn(0, "dog", (1, 2, 3, 4))], Marks(True))
    assert [one["image_id"] for one in json.loads(one_file.read_text())["annotations"]] == [1, 0, 0]
    assert session.classes() == ["cat", "dog"]
    with pytest.raises(ConflictError):
        open_folder(photos).save(0, first, [], NOTHING)
    again = open_folder(photos)
    assert objects(again.seen(0)) == objects(saved) == [("cat", (10, 20, 40, 50)), ("dog", (1, 2, 3, 4))]
    assert again.seen(0).marks.complete
    assert sorted(one.name for one in photos.iterdir()) == ["a.jpg", "all.json", *(f"{one}.jpg" for one in "bcde")]


def test_one_file_without_objects_of_a_complete_photo(photos, open_folder, one_file):
    session, before = open_folder(photos), one_file.read_bytes()
    session.save(2, session.read(2).version, [], Marks(True))
    assert one_file.read_bytes() == before
    assert open_folder(photos).lesson(2).marks.complete


def test_one_file_that_is_damaged_while_it_is_open(photos, open_folder, one_file):
    session, before = open_folder(photos), one_file.read_bytes()
    version = session.save(0, session.read(0).version, [CAT], NOTHING).version
    whole = one_file.read_bytes()
    one_file.write_bytes(whole[:-9])
    assert "malformed JSON" in session.read(0).labels.fault
    with pytest.raises(ConflictError):
        session.save(0, version, [], NOTHING)
    assert one_file.read_bytes() == whole[:-9]
    one_file.write_bytes(whole)
    session.save(0, session.read(0).version, [], NOTHING)
    assert json.loads(one_file.read_bytes())["images"] == json.loads(before)["images"]


def test_of_two_programs_one_waits_for_the_other(photos, open_folder, monkeypatch):
    first, second = open_folder(photos), open_folder(photos)
    version, save = first.read(0).version, type(first.photos[0].reader).save
    outcomes, is_saving, others = [], threading.Event(), threading.Event()

    def slow(reader, *given):
        is_saving.set()
        others.wait(0.5)  # in vain: the other one may not have looked before this one is done
        save(reader, *given)

    def other():
        is_saving.wait()
        monkeypatch.setattr(type(first.photos[0].reader), "save", save)
        with pytest.raises(ConflictError):
            second.save(0, version, [], Marks(True))
        outcomes.append("told")

    monkeypatch.setattr(type(first.photos[0].reader), "save", slow)
    thread = threading.Thread(target=other)
    thread.start()
    first.save(0, version, [CAT], NOTHING)
    thread.join()
    assert outcomes == ["told"]
    assert objects(open_folder(photos).seen(0)) == [("cat", (10, 20, 40, 50))]


def test_a_link_to_labels_elsewhere_is_never_written_through(photos, open_folder, label, tmp_path):
    elsewhere = label(photos / "a.jpg", [("dog", (0, 0, 9, 9))]).rename(tmp_path / "elsewhere.xml")
    (photos / "a.xml").symlink_to(elsewhere)
    before, session = elsewhere.read_bytes(), open_folder(photos)
    session.save(0, session.read(0).version, [CAT], NOTHING)
    assert elsewhere.read_bytes() == before
    assert objects(open_folder(photos).seen(0)) == [("cat", (10, 20, 40, 50))]


def test_in_a_folder_that_cannot_be_written_marks_are_kept(photos, open_folder, label, monkeypatch):
    label(photos / "a.jpg", [("dog", (0, 0, 9, 9))])
    session = open_folder(photos)
    monkeypatch.setattr("os.access", lambda *_: False)
    dog = Drawn(1, "dog", (0, 0, 9, 9))
    session.save(0, session.read(0).version, [dog], NOTHING)
    assert not open_folder(photos).seen(0).marks.complete
