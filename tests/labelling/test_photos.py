import shutil

import pytest

from detection.labelling.photos import MAX_OBJECTS, Drawn, changed_labels, open_photos, read_labels

CAT, DOG = ("cat", (10, 20, 40, 50)), ("dog", (0, 0, 20, 30))


def drawn(*objects):
    return [Drawn(index, name, box) for index, name, box in objects]


def test_a_folder_of_photos_alone_is_a_set(photos):
    found, all_photos = open_photos(photos)
    assert found.format == "folder"
    assert [one.image_id for one in all_photos] == list("abcde")
    labels = read_labels(all_photos[0])
    assert (labels.size, labels.objects, labels.is_labelled, labels.fault) == ((60, 80), (), False, "")


def test_labelled_and_other_photos_of_one_folder(photos, label):
    label(photos / "b.jpg", [CAT])
    label(photos / "c.jpg", [])
    found = [read_labels(one) for one in open_photos(photos)[1]]
    assert [one.is_labelled for one in found] == [False, True, True, False, False]
    assert [(one.name, one.box) for one in found[1].objects] == [CAT]


def test_a_photo_that_cannot_be_read_has_a_fault(photos):
    (photos / "a.jpg").write_bytes(b"no picture")
    labels = read_labels(open_photos(photos)[1][0])
    assert labels.size is None
    assert "unreadable image" in labels.fault


def test_labels_of_which_a_part_cannot_be_read_have_a_fault(photos, label):
    path = label(photos / "a.jpg", [CAT, DOG])
    path.write_text(path.read_text().replace("<xmax>40", "<xmax>forty"))
    photo = open_photos(photos)[1][0]
    labels = read_labels(photo)
    assert "box that is not four numbers" in labels.fault
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"cannot be labelled here: .*box that is not four numbers"):
        changed_labels(photo, labels, drawn((0, *CAT)))
    assert path.read_bytes() == before


def test_the_splits_of_a_set_are_joined(tmp_path, write_set):
    root = write_set(tmp_path / "kit", {"train": {"a": [CAT]}, "val": {"b": [CAT]}})
    assert [one.image_id for one in open_photos(root)[1]] == ["a", "b"]


def test_one_id_of_two_photos_is_refused(tmp_path, photos):
    for split in ("train", "val"):
        (tmp_path / "yolo" / "images" / split).mkdir(parents=True)
        shutil.copy(photos / "a.jpg", tmp_path / "yolo" / "images" / split)
    (tmp_path / "yolo" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    with pytest.raises(ValueError, match=r"expected one photo of an id.*of 'a': give the folder of one"):
        open_photos(tmp_path / "yolo")


def test_nothing_to_label(tmp_path):
    with pytest.raises(ValueError, match="expected a data set"):
        open_photos(tmp_path)


@pytest.fixture
def one(photos, label):
    label(photos / "a.jpg", [CAT, DOG])
    photo = open_photos(photos)[1][0]
    return photo, read_labels(photo)


def test_what_is_as_it_was_is_no_change(one):
    assert changed_labels(*one, drawn((1, *CAT), (2, *DOG))) is None
    nearly = ("cat", (10.0004, 20, 40, 50))
    assert changed_labels(*one, drawn((1, *nearly), (2, *DOG))) is None


def test_changes_are_told_apart(one):
    image, unchanged = changed_labels(*one, drawn((1, "cat", (11, 20, 40, 50)), (2, *DOG), (0, "cow", (1, 2, 3, 4))))
    assert [(item.index, item.name, item.box) for item in image.objects] == [
        (1, "cat", (11, 20, 40, 50)), (2, *DOG), (0, "cow", (1, 2, 3, 4)),
    ]  # fmt: skip
    assert unchanged == {2}
    assert changed_labels(*one, drawn((2, *DOG)))[1] == {2}
    assert changed_labels(*one, drawn((2, *DOG), (1, *CAT)))[1] == {1, 2}


def test_boxes_are_cut_at_the_border(one):
    image, _ = changed_labels(*one, drawn((0, "cat", (-5, -5, 500, 30))))
    assert image.objects[0].box == (0, 0, 80, 30)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([Drawn(0, "cat", (90, 0, 100, 10))], r"cat: expected a box in \(height, width\) = \(60, 80\)"),
        ([Drawn(0, "cat", (5, 5, 5, 10))], "cat: expected a box in"),
        ([Drawn(0, "cat", (30, 5, 5, 10))], "cat: expected a box in"),
        ([Drawn(0, "cat", (5, 10, 30, 10))], "cat: expected a box in"),
        ([Drawn(0, "cat", (5, 30, 30, 10))], "cat: expected a box in"),
        ([Drawn(0, "cat", (float("nan"), 5, 5, 10))], "cat: expected four finite numbers"),
        ([Drawn(0, "cat", (0, 5, float("inf"), 10))], "cat: expected four finite numbers"),
        ([Drawn(0, " ", (1, 2, 3, 4))], "expected a class name"),
        ([Drawn(0, "a\nb\x00", (1, 2, 3, 4))], "class name that no file can hold"),
        ([Drawn(0, "x" * 201, (1, 2, 3, 4))], "class name too long"),
        ([Drawn(0, 7, (1, 2, 3, 4))], "class name that is no text"),
        ([Drawn(3, "cat", (1, 2, 3, 4))], "expected an object of 1 to 2, or 0 for a new one, got 3"),
        ([Drawn(1, *CAT), Drawn(1, *CAT)], "each object of the labels once, got object 1 again"),
        ([Drawn(0, "cat", (1, 2, 3, 4))] * (MAX_OBJECTS + 1), "expected at most 5,000 objects, got 5,001"),
    ],
)
def test_what_cannot_be_drawn_is_refused(one, objects, message):
    with pytest.raises(ValueError, match=message) as refused:
        changed_labels(*one, objects)
    assert "a.jpg" in str(refused.value)
