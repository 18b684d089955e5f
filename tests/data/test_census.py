"""The sum of a data set: what is found on disk is what is read and what is left out."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from detection.data import DatasetSource, Problems, load_annotations
from detection.data.census import SetTally, Sum, Tally, count_objects
from detection.data.formats.finding import find_set
from detection.data.usable import labelled_images

BOX = (10, 10, 40, 50)


def tally_of(path, *splits, class_map=None, classes=None):
    found = find_set(path)
    tally = SetTally(found)
    problems = Problems()
    for split in splits:
        list(labelled_images(found.opener(split)(), problems, classes, class_map or {}, tally=tally))
    return tally


@pytest.fixture
def devkit(make_devkit):
    """20 images with two objects each for training, 4 for test."""
    train = {f"t{number}": [("cat", BOX), ("dog", (50, 10, 90, 60))] for number in range(20)}
    return make_devkit({"trainval": train, "test": {f"e{number}": [("cat", BOX)] for number in range(4)}}) / "VOC2007"


def left(one):
    return {reason: number for reason, number in one.left_out.items() if number}


def test_a_sound_set(devkit):
    census = tally_of(devkit, "trainval", "test").census()
    assert census.adds_up
    assert census.lines() == [
        f"{devkit}: 24 pictures found = 24 read + 0 left out",
        f"{devkit}: 44 objects found = 44 read + 0 left out",
    ]
    assert (census.pictures.found, census.pictures.read) == (24, 24)


def test_every_way_out_is_in_the_sum(devkit):
    images, annotations = devkit / "JPEGImages", devkit / "Annotations"
    (images / "t0.jpg").unlink()
    (images / "t1.jpg").write_bytes(b"\xff\xd8 no picture")
    (annotations / "t2.xml").unlink()
    (annotations / "t3.xml").write_text("<annotation><object/><object/><object/>")
    text = (annotations / "t4.xml").read_text()
    (annotations / "t4.xml").write_text(text.replace("<xmax>40", "<xmax>x").replace("<name>dog", "<name>cow"))
    shutil.copy(annotations / "t5.xml", annotations / "orphan.xml")
    shutil.copy(images / "t5.jpg", images / "unlisted.jpg")
    (devkit / "SegmentationClass").mkdir()
    for number in range(3):
        shutil.copy(images / "t5.jpg", devkit / "SegmentationClass" / f"t{number}.png")
    (devkit / "readme.txt").write_text("what it is")
    (devkit / "names.json").write_text("{}")
    census = tally_of(devkit, "trainval", class_map={"cow": "dog"}).census()
    assert census.adds_up
    assert (census.pictures.found, census.pictures.read) == (23 + 1 + 3, 16)
    assert left(census.pictures) == {
        "unreadable image": 1,
        "missing annotation": 1,
        "malformed annotation": 1,
        "image in no split": 1,
        "in SegmentationClass, of which no image is listed": 3,
        "in a split that was not asked for": 4,
    }
    # 19 of 20 label files are there, one of them with three objects.
    assert (census.objects.found, census.objects.read) == (2 * 18 + 3 + 2, 2 * 16 - 1)
    assert left(census.objects) == {
        "missing image": 2,
        "unreadable image": 2,
        "malformed annotation": 3,
        "box that is not four numbers": 1,
        "labels without an image": 2,
    }
    assert {path.name: why for path, why in census.files.items()} == {
        "orphan.xml": "labels without an image",
        "unlisted.jpg": "image in no split",
    }
    assert census.passed_over["lists, names and read-me files"].count("readme.txt") == 1
    assert census.passed_over[".json files, which format voc does not read"] == ["names.json"]
    assert census.passed_over["label files of images in a split that was not asked for"] == [
        f"e{number}.xml" for number in range(4)
    ]
    both = tally_of(devkit, "trainval", "test").census()
    assert both.adds_up
    assert both.pictures.read == 20


def test_objects_that_the_user_leaves_out(devkit):
    census = tally_of(devkit, "trainval", "test", class_map={"dog": None}, classes=["horse"]).census()
    assert census.adds_up
    assert (census.objects.found, census.objects.read) == (44, 0)
    assert left(census.objects) == {"left out by class_map": 20, "unknown class 'cat'": 24}


def test_an_image_in_two_lists_counts_once(devkit):
    lists = devkit / "ImageSets" / "Main"
    (lists / "train.txt").write_text("t0\nt1\n")
    census = tally_of(devkit, "trainval", "train", "test").census()
    assert census.adds_up
    assert (census.pictures.read, census.objects.read) == (24, 44)


def test_what_a_reader_loses_in_silence_is_told(devkit, monkeypatch):
    found = find_set(devkit)
    reader = found.opener("trainval")()
    read = reader.labels

    def losing(image_id, size, problems):
        labels = read(image_id, size, problems)
        return replace(labels, objects=labels.objects[1:])

    reader.labels = losing
    tally = SetTally(found)
    list(labelled_images(reader, Problems(), None, {}, tally=tally))
    census = tally.census()
    assert not census.adds_up
    assert census.objects.missing == 20
    assert "does not add up by 20: an error of the program" in str(census.objects)


def write_coco(root, annotations, images=2):
    root.mkdir()
    for number in range(images):
        Image.fromarray(np.full((40, 60, 3), number, np.uint8)).save(root / f"{number}.png")
    rows = [{"id": number, "file_name": f"{number}.png", "height": 40, "width": 60} for number in range(images)]
    content = {"images": rows, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (root / "set.json").write_text(json.dumps(content))
    return root


def test_annotations_of_a_json(tmp_path):
    good = {"image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5]}
    wrong = [
        good | {"bbox": [1, 2, 3]},
        good | {"image_id": 7},
        good | {"category_id": 7},
        good | {"bbox": [100, 100, 5, 5]},
        "no annotation",
        {"category_id": 1, "bbox": [1, 1, 5, 5]},
    ]
    root = write_coco(tmp_path / "set", [good, *wrong, good | {"image_id": 1}])
    census = tally_of(root, "all").census()
    assert census.adds_up
    assert (census.objects.found, census.objects.read) == (8, 2)
    assert left(census.objects) == {
        "box that is not four numbers": 1,
        "annotation of no image": 2,
        "annotation of no class": 1,
        "box wholly outside the image": 1,
        "malformed COCO json": 1,
    }


def test_a_set_that_is_divided_adds_up_in_each_part_and_as_a_whole(tmp_path):
    rows = [{"image_id": number, "category_id": 1, "bbox": [1, 1, 5, 5]} for number in range(10)]
    rows += [{"image_id": number, "category_id": 1, "bbox": [1, 1, 0, 5]} for number in range(10)]
    root = write_coco(tmp_path / "set", [*rows, {"image_id": 99, "category_id": 1, "bbox": [1, 1, 5, 5]}], images=10)
    sources = [DatasetSource(root=str(root), split=split) for split in ("trainval", "test")]
    tally = Tally()
    load_annotations(sources[:1], ["cat"], Problems(), tally=tally)
    (part,) = (one for one in tally.lines() if " objects " in one)
    assert part.endswith("17 objects found = 8 read + 9 left out (1 annotation of no image, 8 empty box)")
    load_annotations(sources[1:], ["cat"], Problems(), tally=tally)
    (whole,) = (one for one in tally.lines() if " objects " in one)
    assert whole.endswith("21 objects found = 10 read + 11 left out (1 annotation of no image, 10 empty box)")


def test_several_sets_have_a_sum_each(devkit, tmp_path):
    root = write_coco(tmp_path / "set", [{"image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5]}])
    tally = Tally()
    sources = [DatasetSource(root=str(devkit), split="test"), DatasetSource(root=str(root), split="all")]
    load_annotations(sources, ["cat"], Problems(), tally=tally)
    assert sum(" pictures found = " in line for line in tally.lines()) == 2


def test_yolo_labels_that_no_image_reads(tmp_path):
    root = tmp_path / "set"
    for name in ("images", "labels", "backup"):
        (root / name).mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(root / "images" / f"{name}.png")
    (root / "data.yaml").write_text("names: [cat]\ntrain: images\n")
    (root / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n\n0 0.5 0.5 0.2 0.2\n")
    (root / "labels" / "gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (root / "README.roboflow.txt").write_text("a text\n")
    (root / "classes.txt").write_text("cat\n")
    census = tally_of(root, "train").census()
    assert census.adds_up
    assert (census.objects.found, census.objects.read) == (3, 2)
    assert {path.name: why for path, why in census.files.items()} == {"gone.txt": "labels without an image"}
    passed = {name for names in census.passed_over.values() for name in names}
    assert {"README.roboflow.txt", "classes.txt"} <= passed


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_photos_behind_a_link_are_found(devkit):
    real = devkit.parent / "elsewhere"
    shutil.move(devkit / "JPEGImages", real)
    (devkit / "JPEGImages").symlink_to(real)
    census = tally_of(devkit, "trainval", "test").census()
    assert census.adds_up
    assert (census.pictures.found, census.pictures.read) == (24, 24)


@pytest.mark.parametrize(
    ("name", "content", "number"),
    [
        ("a.xml", "<annotation><object><name/></object><Object/>< object ></annotation>", 3),
        ("a.xml", "<objects/><my_object/>", 0),
        ("a.txt", "0 1 2 3 4\n\n \n1 2 3 4 5", 2),
        ("a.txt", "", 0),
    ],
)
def test_objects_of_a_file_that_nobody_reads(tmp_path, name, content, number):
    (tmp_path / name).write_text(content)
    assert count_objects(tmp_path / name) == number
    assert count_objects(tmp_path / "absent.xml") == 0


def test_a_sum_as_text():
    assert str(Sum("pictures", 5, 3, {"b": 1, "a": 1, "c": 0})) == "5 pictures found = 3 read + 2 left out (1 a, 1 b)"
    assert Sum("x", 5, 3, {"a": 1}).missing == 1
    assert str(Sum("x", 1, 1, {}, ("read", "written"))) == "1 x read = 1 written + 0 left out"


def test_labels_of_another_format_beside_a_photo_without_its_own(tmp_path):
    """A photo without a text file has no objects; one with an XML or LabelMe's json has some, that nobody reads."""
    for number in range(4):
        path = tmp_path / f"images/{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 40)).save(path)
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "0.txt").write_text("0 .5 .5 .2 .2\n")
    (labels / "1.xml").write_text("<annotation><object><name>cat</name></object></annotation>")
    shapes = [{"label": "cat", "points": []}, {"label": "dog", "points": []}]
    (labels / "2.json").write_text(json.dumps({"shapes": shapes, "imagePath": "2.jpg"}))
    (labels / "3.json").write_text(json.dumps({"weather": "rain"}))
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    census = tally_of(tmp_path, "train").census()
    unread = "labels that no image reads"
    assert left(census.objects) == {unread: 3}
    assert census.objects.found == 4
    assert census.adds_up
    assert {path.name: why for path, why in census.files.items()} == {"1.xml": unread, "2.json": unread}
    assert census.passed_over == {".json files, which format yolo does not read": ["3.json"]}
