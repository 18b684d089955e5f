import json

import pytest

from detection.data.labels import ImageObjects, LabelledObject
from detection.labelling.marks import Lesson, Marks, MarksFile, Rejected
from detection.storage import read_json


def test_marks_outlive_the_program(tmp_path):
    path = tmp_path / "run" / "photos.json"
    marks = Marks(True, (Rejected("кошка", (1, 2.5, 30, 40)),))
    MarksFile(path).keep("a/b", marks)
    assert MarksFile(path).of("a/b", False) == marks


def test_a_photo_that_was_never_marked_is_complete_if_it_has_labels(tmp_path):
    marks = MarksFile(tmp_path / "photos.json")
    assert marks.of("a", True) == Marks(True)
    assert marks.of("a", False) == Marks(False)
    marks.keep("a", Marks(False))
    assert marks.of("a", True) == Marks(False)


def test_what_does_not_change_is_not_written(tmp_path):
    path = tmp_path / "photos.json"
    marks = MarksFile(path)
    marks.keep("a", Marks(True))
    path.unlink()
    marks.keep("a", Marks(True))
    assert not path.exists()


BOX = {"name": "cat", "box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    "photo",
    [
        [],
        {"complete": True},
        {"complete": "yes", "rejected": []},
        {"complete": True, "rejected": [{"name": "cat"}]},
        {"complete": True, "rejected": [{**BOX, "box": [1, 2, 3]}]},
        {"complete": True, "rejected": [{**BOX, "box": [1, 2, 3, "x"]}]},
    ],
)
def test_other_content_is_refused_by_file_and_photo(tmp_path, photo):
    path = tmp_path / "photos.json"
    path.write_text(json.dumps({"format_version": 1, "photos": {"a": photo}}))
    with pytest.raises(ValueError, match=r"photos\.json: photos: a: expected complete and rejected.*move it away"):
        MarksFile(path)


@pytest.mark.parametrize("content", [[], {"format_version": 2, "photos": {}}, {"format_version": 1, "photos": []}])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "photos.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"photos\.json: expected photos in format_version 1"):
        MarksFile(path)


def test_a_changed_byte_is_seen(tmp_path):
    path = tmp_path / "photos.json"
    MarksFile(path).keep("a", Marks(True))
    content = read_json(path)
    content["photos"]["a"]["complete"] = False
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="damaged, or changed by hand"):
        MarksFile(path)


def test_a_lesson_is_empty_where_nothing_was_said(tmp_path):
    image = ImageObjects("a", tmp_path, (9, 9), (), tmp_path)
    one = LabelledObject(0, "cat", (1, 2, 3, 4), False)
    assert Lesson(image).is_empty
    assert not Lesson(image, Marks(True)).is_empty
    assert not Lesson(image, Marks(False, (Rejected("cat", (1, 2, 3, 4)),))).is_empty
    assert not Lesson(ImageObjects("a", tmp_path, (9, 9), (one,), tmp_path)).is_empty
