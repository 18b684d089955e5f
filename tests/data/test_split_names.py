"""One list of names for all formats and commands."""

import json

import numpy as np
import pytest
from PIL import Image

from detection.data import Problems, read_dataset
from detection.data.checking import usual_splits
from detection.data.formats.finding import find_set, open_split
from detection.data.formats.voc_xml import annotation_xml
from detection.data.split_names import in_usual_order, is_split_name, named_split, parts_of_others, split_kind

BOX = (1, 2, 20, 22)


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*path.as_posix().encode()]).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_folder(root, split, stem):
    photo(root / split / f"{stem}.png")
    (root / split / f"{stem}.xml").write_text(annotation_xml(f"{stem}.png", (24, 32), [("cat", BOX, False)]))


def write_coco(root, split, stem):
    photo(root / split / f"{stem}.png")
    content = {
        "images": [{"id": 0, "file_name": f"{stem}.png"}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": [1, 2, 19, 20]}],
        "categories": [{"id": 0, "name": "cat"}],
    }
    (root / split / "_annotations.coco.json").write_text(json.dumps(content))


def write_yolo(root, split, stem):
    photo(root / split / "images" / f"{stem}.png")
    (root / split / "labels").mkdir()
    (root / split / "labels" / f"{stem}.txt").write_text(f"0 {10.5 / 32} 0.5 {19 / 32} {20 / 24}\n")
    yaml = root / "data.yaml"
    head = yaml.read_text() if yaml.exists() else "names: [cat]\n"
    yaml.write_text(f"{head}{split}: {split}/images\n")


def write_voc(root, split, stem):
    photo(root / "JPEGImages" / f"{stem}.png")
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    text = annotation_xml(f"{stem}.png", (24, 32), [("cat", BOX, False)])
    (root / "Annotations" / f"{stem}.xml").write_text(text)
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{stem}\n")


WRITERS = {"voc": write_voc, "folder": write_folder, "coco": write_coco, "yolo": write_yolo}


def names(found, split):
    problems = Problems(strict=True)
    return [one for reader in open_split(found, split, problems, 0.5, 0) for one in reader.image_ids(problems)]


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("val", ["val", "valid", "VALID", "validation"])
def test_val_and_valid_are_one_in_every_format(tmp_path, format, train, val):
    for split, stem in (("test", "c"), (train, "a"), (val, "b")):
        WRITERS[format](tmp_path, split, stem)
    found = find_set(tmp_path)
    assert found.format == format
    assert usual_splits(found) == [train, val, "test"]
    assert [one[-1:] for one in names(found, "trainval")] == ["a", "b"]
    for wanted, stem in (("test", "c"), ("train", "a"), ("val", "b"), ("valid", "b"), ("Validation", "b")):
        assert [one[-1:] for one in names(found, wanted)] == [stem]
        assert read_dataset(tmp_path, wanted).images[0].boxes.tolist() == [list(BOX)]
    with pytest.raises(ValueError, match=f"expected the split 'other', got the splits: .*{val}"):
        names(found, "other")
    with pytest.raises(ValueError, match="expected the split 'all'"):
        names(found, "all")


@pytest.mark.parametrize("format", WRITERS)
def test_train_and_valid_alone(tmp_path, format):
    WRITERS[format](tmp_path, "train", "a")
    WRITERS[format](tmp_path, "valid", "b")
    found = find_set(tmp_path)
    assert usual_splits(found) == ["train", "valid"]
    assert (names(found, "trainval"), names(found, "test")) == (names(found, "train"), names(found, "val"))


def test_lists_of_a_devkit(tmp_path):
    for split, stem in (("train", "a"), ("val", "b"), ("test", "c"), ("cat_train", "a"), ("cat_trainval", "a")):
        write_voc(tmp_path, split, stem)
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("a\nb\n")
    found = find_set(tmp_path)
    assert usual_splits(found) == ["trainval", "test"]
    assert names(found, "train") == names(found, "cat_trainval") == ["a"]
    (tmp_path / "ImageSets" / "Main" / "test.txt").unlink()
    assert names(find_set(tmp_path), "all") == ["a", "b"]
    with pytest.raises(ValueError, match="expected the split 'test'"):  # val is part of trainval
        names(find_set(tmp_path), "test")


@pytest.mark.parametrize("lists", [("default",), ("train",), ("default", "cat_default"), ("monday", "tuesday")])
def test_lists_of_other_names_are_divided(tmp_path, lists):
    """As CVAT's default.txt, and train.txt alone."""
    for number, split in enumerate(lists):
        write_voc(tmp_path, split, "a")
        write_voc(tmp_path, split, f"b{number}")
        (tmp_path / "ImageSets" / "Main" / f"{split}.txt").write_text(f"a 1\nb{number} -1\n")
    found = find_set(tmp_path)
    known = ["a", "b0"] if len(found.own_splits) == 1 else ["a", "b0", "b1"]
    assert names(found, "all") == known
    assert sorted(names(found, "trainval") + names(found, "test")) == known
    assert len(names(found, "test")) == len(known) // 2


@pytest.mark.parametrize(("only", "other"), [("trainval", "test"), ("test", "trainval")])
@pytest.mark.parametrize("format", WRITERS)
def test_trainval_or_test_alone_is_not_divided(tmp_path, format, only, other):
    if format == "yolo":
        (tmp_path / "data.yaml").write_text(f"names: [cat]\n{only}: {only}/images\n")
    WRITERS[format](tmp_path, only, "a")
    with pytest.raises(ValueError, match=f"expected the split '{other}', got the splits: {only}"):
        names(find_set(tmp_path), other)


def test_names():
    assert [split_kind(one) for one in ("VALID", "Train", "testing", "TrainVal", "Val2017", "mine", "2017")] == [
        "val", "train", "test", "trainval", "val", "mine", "2017",
    ]  # fmt: skip
    assert [is_split_name(one) for one in ("train2017", "Valid", "train_2017", "train17", "x")] == [True] * 2 + [
        False
    ] * 3
    assert named_split(["valid", "val"], "val") == "val"
    assert named_split(["valid", "validation"], "val") is None
    assert named_split(["Train"], "train") == "Train"
    assert in_usual_order(["x", "test", "valid", "train"]) == ["train", "valid", "test", "x"]
    assert parts_of_others(["train", "val", "test"]) == set()
    assert parts_of_others(["train", "valid", "Trainval", "test"]) == {"train", "valid"}


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize(
    ("name", "kind"), [("dev", "val"), ("Development", "val"), ("eval", "test"), ("holdout", "test")]
)
def test_other_names_of_what_is_measured_on(tmp_path, format, name, kind):
    WRITERS[format](tmp_path, "train", "a")
    WRITERS[format](tmp_path, name, "b")
    found = find_set(tmp_path)
    assert usual_splits(found) == ["train", name]
    assert [one[-1:] for one in names(found, kind)] == ["b"]
    assert [one[-1:] for one in names(found, "test")] == ["b"]


@pytest.mark.parametrize("has_main", [False, True])
def test_lists_without_main(tmp_path, has_main):
    for split, stem in (("train", "a"), ("val", "b"), ("test", "c"), ("notes", "d")):
        write_voc(tmp_path, split, stem)
    main = tmp_path / "ImageSets" / "Main"
    for path in main.iterdir():
        path.rename(path.parent.parent / path.name)
    if not has_main:
        main.rmdir()
    found = find_set(tmp_path)
    assert str(found) == f"{tmp_path}: format voc; lists of images in ImageSets, without Main"
    assert usual_splits(found) == ["train", "val", "test"]
    assert (names(found, "trainval"), names(found, "test")) == (["a", "b"], ["c"])
    (tmp_path / "ImageSets" / "Main").mkdir(exist_ok=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("b\n")
    assert usual_splits(find_set(tmp_path)) == ["train"]
    assert str(find_set(tmp_path)) == f"{tmp_path}: format voc"


@pytest.mark.parametrize("images", ["images", "Imgs"])
def test_photos_of_a_devkit_in_a_folder_of_another_name(tmp_path, images):
    for split, stem in (("train", "a"), ("val", "b")):
        write_voc(tmp_path, split, stem)
    (tmp_path / "JPEGImages").rename(tmp_path / images)
    assert [one.path.parent.name for one in read_dataset(tmp_path, "val").images] == [images]
    assert names(find_set(tmp_path), "trainval") == ["a"]


def test_lists_beside_labels_of_another_format_make_no_devkit(tmp_path):
    write_yolo(tmp_path, "train", "a")
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "val.txt").write_text("a\n")
    assert find_set(tmp_path).format == "yolo"


@pytest.mark.parametrize("format", ["folder", "yolo"])
@pytest.mark.parametrize("above", ["set", "set/photos"])
def test_splits_in_a_folder_of_their_own(tmp_path, format, above):
    for split, stem in (("train", "a"), ("dev", "b"), ("other", "c")):
        WRITERS[format](tmp_path / above, split, stem)
    if format == "yolo":
        (tmp_path / above / "data.yaml").unlink()
        (tmp_path / "classes.txt").write_text("cat\n")
    found = find_set(tmp_path)
    assert (found.format, usual_splits(found)) == (format, ["train", "dev"])
    assert [one[-1:] for one in names(found, "test")] == ["b"]


def test_annotations_beside_photos_in_folders_of_splits(tmp_path):
    for split, stem in (("train", "a"), ("val", "b")):
        write_folder(tmp_path / "photos", split, stem)
        (tmp_path / "annotations" / split).mkdir(parents=True)
        (tmp_path / "photos" / split / f"{stem}.xml").rename(tmp_path / "annotations" / split / f"{stem}.xml")
    found = find_set(tmp_path)
    assert usual_splits(found) == ["train", "val"]
    assert [one.boxes.tolist() for one in read_dataset(tmp_path, "val").images] == [[list(BOX)]]
