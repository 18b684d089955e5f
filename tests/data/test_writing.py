"""Sets that are written are read again; ids and names that not every file can hold."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from detection.data import DataError, DatasetSource, Problems, load_labelled, read_dataset
from detection.data.formats import FORMATS
from detection.data.labels import ImageObjects, LabelledObject
from detection.data.writing import write_dataset

ITEMS = (LabelledObject(1, "cat", (1, 2, 5, 9), False),)


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 20, 3), value, np.uint8)).save(path)
    return path


def image(image_id, path, items=ITEMS):
    return ImageObjects(image_id, path, (10, 20), items, path)


@pytest.fixture
def same_names(tmp_path):
    """Three splits with pictures of equal names, another in each."""
    return {
        split: [image("a", picture(tmp_path / "from" / split / "a.png", number))]
        for number, split in enumerate(("train", "val", "test"))
    }


@pytest.mark.parametrize("format", FORMATS)
def test_equal_names_in_different_splits_are_all_written(same_names, tmp_path, format):
    problems = Problems()
    lost = write_dataset(tmp_path / "out", format, same_names, ["cat"], problems=problems)
    assert not lost
    found = {}
    for split, wanted in same_names.items():
        (one,) = load_labelled([DatasetSource(root=str(tmp_path / "out"), split=split)], Problems(strict=True))
        assert one.path.read_bytes() == wanted[0].path.read_bytes()
        found[split] = one.image_id
    assert found == {"train": "a", "val": "val_a", "test": "test_a"}
    first = same_names["train"][0].path
    assert problems.notes == tuple(
        f"{same_names[one][0].path}: the id 'a' is written as '{one}_a': it is that of {first} too"
        for one in ("val", "test")
    )


def test_an_image_in_two_splits_stays_one(same_names, tmp_path):
    shared = {"train": same_names["train"], "val": same_names["train"]}
    problems = Problems()
    write_dataset(tmp_path / "out", "voc", shared, ["cat"], problems=problems)
    assert problems.notes == ()
    assert len(list((tmp_path / "out" / "JPEGImages").iterdir())) == 1


@pytest.mark.parametrize(
    ("splits", "written"),
    [
        (("training", "validation", "test"), {"train", "val", "test"}),
        (("trainval", "test"), {"train", "val"}),
        (("test",), {"val"}),
    ],
)
def test_yolos_names_of_splits(tmp_path, splits, written):
    """Its tools ask for a val: test is one where there is no other."""
    images = {split: [image(split, picture(tmp_path / f"{split}.png", len(split)))] for split in splits}
    write_dataset(tmp_path / "out", "yolo", images, ["cat"])
    for folder in ("images", "labels"):
        assert {one.name for one in (tmp_path / "out" / folder).iterdir()} == written


@pytest.mark.parametrize(
    ("image_id", "written"),
    [
        ("a b/c d", "a b/c d"),
        (" a ", "a"),
        ("a\nb", "a_b"),
        ("a\\b", "a_b"),
        ("\ufeffa\ufffe", "_a_"),
        ("a\ud800", "a_"),
        (".a/.b", "_a/_b"),
        ("a/ /b", "a/_/b"),
        ("日本", "日本"),
        ("a%20b", "a%20b"),
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_ids_are_what_every_file_can_hold(tmp_path, image_id, written, format):
    path = picture(tmp_path / "from.png")
    write_dataset(tmp_path / "out", format, {"train": [image(image_id, path)]}, ["cat"])
    assert [one.image_id for one in read_dataset(tmp_path / "out", "train").images] == [written]


@pytest.mark.parametrize("name", ["a\x1bb", "a\ud800", "\ufffe", "\x00"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_class_that_no_file_can_hold_is_refused_before_anything_is_written(tmp_path, name, format):
    path = picture(tmp_path / "from.png")
    items = (replace(ITEMS[0], name=name),)
    with pytest.raises(DataError, match=r"out: class name that no file can hold"):
        write_dataset(tmp_path / "out", format, {"train": [image("a", path, items)]}, [name])
    assert not (tmp_path / "out").exists()


ODD_NAMES = [
    *("NO", "yes", "007", "1:30", "1_000", "null", "~", "1.0", "A+", "-", "--", "=cmd|x", '"', "'", "#a", "a: b"),
    *("<b>&", "{a}", "[a]", "@a", "%a", "!a", "*a", "&a", "日本", "й", "и\u0306", "a\u200db", "x" * 200),
]


@pytest.mark.parametrize("format", FORMATS)
def test_names_are_the_text_as_it_was(tmp_path, format):
    items = tuple(LabelledObject(n, name, (1, 2, 5, 9), False) for n, name in enumerate(ODD_NAMES, start=1))
    path = picture(tmp_path / "from.png")
    write_dataset(tmp_path / "out", format, {"train": [image("a", path, items)]}, ODD_NAMES)
    (one,) = load_labelled([DatasetSource(root=str(tmp_path / "out"), split="train")], Problems(strict=True))
    assert [item.name for item in one.objects] == ODD_NAMES


def test_a_devkit_lists_its_classes_for_datumaro(tmp_path):
    """Those that a photo has and those that none has; a colon would end a name there."""
    splits = {"train": [image("a", picture(tmp_path / "from.png"))]}
    write_dataset(tmp_path / "out", "voc", splits, ["a: b", "cat", "日本"])
    (path,) = (tmp_path / "out").rglob("labelmap.txt")
    assert path.read_bytes() == "cat:::\n日本:::\n".encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: replace(one, objects=()), "expected objects \\['cat'\\], got \\[\\]"),
        (lambda one: replace(one, objects=(replace(ITEMS[0], name="dog"),)), "got \\['dog'\\]"),
        (lambda one: replace(one, objects=(replace(ITEMS[0], box=(1, 2, 5, 8.99)),)), "expected the box"),
        (lambda one: None, "expected the image 'b' \\(1 such\\), got none"),
    ],
)
def test_a_writer_that_loses_something_leaves_nothing(tmp_path, monkeypatch, change, message):
    path = picture(tmp_path / "from.png")
    known = FORMATS["coco"]

    def losing(new):
        images = new.splits["train"]
        new.splits = {"train": [one for one in (images[0], change(images[1])) if one is not None]}
        known.write(new)
        new.splits = {"train": images}

    monkeypatch.setitem(FORMATS, "coco", replace(known, write=losing))
    splits = {"train": [image("a", path), image("b", picture(tmp_path / "b.png", 3))]}
    with pytest.raises(ValueError, match=rf"out: format coco does not give back what was written.*{message}"):
        write_dataset(tmp_path / "out", "coco", splits, ["cat", "dog"])
    assert {one.name for one in tmp_path.iterdir()} == {"from.png", "b.png"}


@pytest.mark.parametrize("format", ["yolo", "folder"])
def test_names_of_splits_that_a_format_has_not(tmp_path, format):
    one, other = (image(name, picture(tmp_path / f"{name}.png", len(name))) for name in ("a", "bb"))
    assert write_dataset(tmp_path / "one", format, {"default": [one, other]}, ["cat"]) == {
        "name of the split (default)": 1
    }
    assert len(read_dataset(tmp_path / "one").images) == 2
    with pytest.raises(ValueError, match=f"format {format} does not give back .*expected the split 'default'"):
        write_dataset(tmp_path / "two", format, {"default": [one], "odd": [other]}, ["cat"])


@pytest.mark.parametrize("format", FORMATS)
def test_photos_without_any_class(tmp_path, format):
    splits = {"train": [image("a", picture(tmp_path / "a.png"), ())]}
    if format == "yolo":
        words = r"format yolo holds no set without a class, .* photos alone: voc, coco, folder"
        with pytest.raises(ValueError, match=words):
            write_dataset(tmp_path / "out", format, splits, [])
        assert not (tmp_path / "out").exists()
        return
    assert not write_dataset(tmp_path / "out", format, splits, [])
    (one,) = load_labelled([DatasetSource(root=str(tmp_path / "out"), split="train")], Problems())
    assert one.objects == ()
