"""Every fault of a set is found with its file and line, and a repaired copy has none."""

import re
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data import DatasetSettings, DatasetSource, Problems, load_annotations, load_labelled, read_image
from detection.data.checking import (
    duplicate_faults,
    read_for_checking,
    repaired_splits,
    training_faults,
    usual_splits,
)
from detection.data.formats.finding import find_set
from detection.data.writing import write_dataset
from detection.storage import fingerprint

BOX = "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>40</xmax><ymax>50</ymax></bndbox>"
GOOD = f"<object>\n<name>cat</name>\n{BOX}\n</object>"


def check(root, classes=None):
    found = find_set(root)
    checked = read_for_checking(found, usual_splits(found), classes, {})
    contents = {}
    for image in {one.path: one for images in checked.splits.values() for one in images}.values():
        try:
            contents[image.path] = fingerprint(read_image(image.path, image.size))
        except ValueError:
            continue
    return checked, contents, [*checked.faults, *duplicate_faults(checked, contents)]


def found_by(faults):
    return {(one.kind, Path(one.file).name, one.line, one.severity) for one in faults}


@pytest.fixture
def devkit(make_devkit):
    box = (10, 10, 40, 50)
    train = {f"t{number}": [("cat", box), ("dog", (50, 10, 90, 60))] for number in range(25)}
    return make_devkit({"trainval": train, "test": {"e0": [("cat", box)], "e1": []}}) / "VOC2007"


def test_a_sound_set_has_no_fault(devkit):
    checked, _, faults = check(devkit)
    assert faults == []
    assert {split: len(images) for split, images in checked.splits.items()} == {"trainval": 25, "test": 2}
    assert checked.classes == ("cat", "dog")


def objects(**more):
    """An object with one fault; `more` are corners or a name."""
    corners = {"xmin": 11, "ymin": 11, "xmax": 40, "ymax": 50} | more
    name = corners.pop("name", "cat")
    box = "".join(f"<{side}>{value}</{side}>" for side, value in corners.items())
    return f"<object>\n<name>{name}</name>\n<bndbox>{box}</bndbox>\n</object>"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (objects(xmin=0), {"box reaching outside the image", "box out of uint16 range"}),
        (objects(xmax=500), {"box reaching outside the image"}),
        (objects(xmin=500, xmax=600), {"box wholly outside the image"}),
        (objects(xmin=40, xmax=11), {"box with swapped corners"}),
        (objects(xmin=41, xmax=40), {"empty box"}),
        (objects(xmax=70000), {"box reaching outside the image", "box out of uint16 range"}),
        (objects(xmax="1e39"), {"box that is not four numbers"}),
        (objects(ymax="x"), {"box that is not four numbers"}),
        (GOOD + "\n" + GOOD, {"object given twice"}),
        (GOOD + "\n" + objects(name="dog"), {"one box of two classes"}),
        (objects(name="Cat"), {"classes that look alike"}),
        (objects(name="catt"), {"misspelt class"}),
        (objects(name=" "), {"object without a name"}),
        ("<object><name>cat</name></object>", {"object without a box"}),
    ],
)
def test_faults_of_objects_name_file_and_line(devkit, text, kinds):
    (devkit / "Annotations" / "t1.xml").write_text(
        "<annotation>\n<size><width>120</width><height>90</height></size>\n" + text + "\n</annotation>"
    )
    _, _, faults = check(devkit)
    assert {one.kind for one in faults} == kinds
    assert {Path(one.file).name for one in faults} == {"t1.xml"}
    lines = {one.line for one in faults}
    assert lines <= {3, 5, 7}
    mild = kinds <= {"one box of two classes", "classes that look alike"}
    assert {one.severity for one in faults} == {"warning" if mild else "error"}


def test_faults_of_files(devkit):
    images, annotations = devkit / "JPEGImages", devkit / "Annotations"
    (images / "t2.jpg").unlink()
    (annotations / "t3.xml").unlink()
    (images / "t4.jpg").write_bytes(b"\xff\xd8 no picture")
    (annotations / "t5.xml").write_text("<annotation>\n<object>")
    (annotations / "t6.xml").write_text(
        f"<annotation><size><width>60</width><height>90</height></size>{GOOD}</annotation>"
    )
    shutil.copy(images / "t7.jpg", images / "t8.jpg")
    shutil.copy(images / "e0.jpg", images / "t9.jpg")
    shutil.copy(annotations / "t7.xml", annotations / "orphan.xml")
    Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(images / "unlisted.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / "t10.jpg").save(images / "t10.jpg", exif=exif)
    checked, contents, faults = check(devkit)
    assert found_by(faults) == {
        ("missing image", "t2", 0, "error"),
        ("missing annotation", "t3.xml", 0, "error"),
        ("unreadable image", "t4.jpg", 0, "error"),
        ("malformed annotation", "t5.xml", 2, "error"),
        ("image size that is not the image's", "t6.xml", 0, "error"),
        ("image given twice", "t7.jpg", 0, "warning"),
        ("image in two splits", "t9.jpg", 0, "error"),
        ("labels without an image", "orphan.xml", 0, "warning"),
        ("image in no split", "unlisted.png", 0, "warning"),
        ("rotated image", "t10.jpg", 0, "warning"),
    }
    assert "t9" not in {one.image_id for one in repaired_splits(checked, contents)["trainval"]}


def test_classes(devkit, tmp_path):
    (devkit / "Annotations" / "e1.xml").write_text(f"<annotation>{objects(name='cow')}</annotation>")
    assert found_by(check(devkit)[2]) == {("class without training objects", "VOC2007", 0, "error")}
    faults = check(devkit, ["dgo", "cow", "cat"])[2]
    assert {one.kind for one in faults if one.line} == {"unknown class 'dog', nearest known 'dgo'"}
    root = tmp_path / "y"
    (root / "images").mkdir(parents=True)
    shutil.copy(devkit / "JPEGImages" / "t0.jpg", root / "images")
    (root / "labels").mkdir()
    (root / "labels" / "t0.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (root / "labels" / "gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: images\n")
    assert found_by(check(root)[2]) == {
        ("class without objects", "y", 0, "warning"),
        ("labels without an image", "gone.txt", 0, "warning"),
    }


def test_a_repaired_copy_has_no_error_left(devkit, tmp_path):
    wrong = objects(xmin=40, xmax=11) + objects(xmax=500) + GOOD + GOOD + objects(xmin=500, xmax=600)
    (devkit / "Annotations" / "t1.xml").write_text(f"<annotation>{wrong}</annotation>")
    shutil.copy(devkit / "JPEGImages" / "e0.jpg", devkit / "JPEGImages" / "t9.jpg")
    before = {path: path.read_bytes() for path in devkit.rglob("*") if path.is_file()}
    checked, contents, faults = check(devkit)
    assert any(one.severity == "error" for one in faults)
    write_dataset(tmp_path / "fixed", "voc", repaired_splits(checked, contents), checked.classes)
    assert [one for one in check(tmp_path / "fixed")[2] if one.severity == "error"] == []
    images = load_labelled([DatasetSource(root=str(tmp_path / "fixed"), split="trainval")], Problems(strict=True))
    boxes = [item.box for one in images if one.image_id == "t1" for item in one.objects]
    assert boxes == [(10, 10, 40, 50), (10, 10, 120, 50)]
    assert {path: path.read_bytes() for path in devkit.rglob("*") if path.is_file()} == before


def named_objects(devkit, *names):
    """Twenty objects of the first name and one of each other, in t0."""
    items = "".join(objects(name=name, xmax=41 + place) for place, name in enumerate([names[0]] * 20 + [*names[1:]]))
    (devkit / "Annotations" / "t0.xml").write_text(f"<annotation>{items}</annotation>")
    (devkit / "ImageSets" / "Main" / "trainval.txt").write_text("t0\n")
    (devkit / "ImageSets" / "Main" / "test.txt").write_text("t0\n")
    return {(one.kind, one.severity) for one in check(devkit)[2] if "class" in one.kind}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("dog", "dgo"), {("misspelt class", "error")}),
        (("dog", "cat"), set()),
        (("person", "preson"), {("misspelt class", "error")}),
        (
            ("person", "yak", "yAk", "preson"),
            {("classes that look alike", "warning"), ("misspelt class", "error")},
        ),
        (("A+", "A-"), {("classes that look alike", "warning")}),
        (("Cat", "cat", "CAT"), {("classes that look alike", "warning")}),
        (("\u0439", "\u0438\u0306"), {("classes that look alike", "warning")}),
        (("-", "--", "+", "x", ":", "="), set()),
        (("size 10", "size 11"), set()),
    ],
)
def test_names_near_to_others(devkit, names, found):
    assert named_objects(devkit, *names) == found


def test_no_advice_to_merge_names_that_differ_in_signs(devkit):
    named_objects(devkit, "A+", "A-")
    (one,) = (one for one in check(devkit)[2] if one.kind == "classes that look alike")
    assert "class_map" not in one.message
    assert "two classes" in one.message


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("size", "told"), [((90, 120), (90, 120)), ((90, 90), (90, 90)), ((90, 120), None)])
def test_photos_whose_frame_cannot_be_told(devkit, orientation, size, told):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(devkit / "JPEGImages" / "t0.jpg", exif=exif)
    text = "" if told is None else f"<size><width>{told[1]}</width><height>{told[0]}</height></size>"
    (devkit / "Annotations" / "t0.xml").write_text(f"<annotation>{text}{GOOD}</annotation>")
    found = [one for one in check(devkit)[2] if one.kind == "rotated image"]
    assert [(one.severity, Path(one.file).name) for one in found] == (
        [("warning", "t0.jpg")] if orientation > 1 else []
    )
    is_guess = orientation > 1 and (orientation < 5 or size[0] == size[1] or told is None)
    assert any("do not tell" in one.message for one in found) == is_guess
    problems = Problems()
    load_annotations([DatasetSource(root=str(devkit), split="trainval")], ["cat", "dog"], problems)
    assert any(": 1 photos have an EXIF rotation" in one for one in problems.notes) == is_guess


def trained(devkit, **settings):
    lines, faults = training_faults(DatasetSettings(root=str(devkit), **settings))
    return lines, [(one.kind, one.severity, one.message) for one in faults]


def test_what_training_does_is_told(devkit):
    assert trained(devkit) == (
        ["training would learn 2 classes from 25 images: trainval", "and be measured on 2 images: test"],
        [],
    )
    (devkit / "ImageSets" / "Main" / "test.txt").write_text("t0\n")
    ((kind, severity, message),) = trained(devkit)[1]
    assert (kind, severity, message) == ("test image that is trained on", "warning", "1 images: t0")


def test_what_training_refuses_is_an_error_in_its_words(devkit, tmp_path):
    (tmp_path / "names.txt").write_text("cow\n")
    for settings, words in (
        ({"classes": str(tmp_path / "names.txt")}, "expected objects of cow to train on, got none"),
        ({"class_map": {"cat": None, "dog": None}}, "expected annotated objects, got none"),
        ({"train": (DatasetSource(split="absent"),)}, "'absent'"),
    ):
        ((kind, severity, message),) = trained(devkit, **settings)[1]
        assert (kind, severity) == ("training refuses the set", "error")
        assert words in message
    (devkit / "ImageSets" / "Main" / "trainval.txt").write_text("\n")
    assert {one.kind for one in check(devkit)[2]} >= {"split that cannot be read"}
    assert "got an empty split" in trained(devkit)[1][0][2]


def opened(monkeypatch):
    """How often files are opened, by name; filled as they are."""
    counts, plain = Counter(), Path.open

    def counting(path, *arguments, **more):
        counts[path.name] += 1
        return plain(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", counting)
    return counts


@pytest.mark.parametrize("format", ["voc", "folder", "yolo"])
@pytest.mark.parametrize("splits", [("trainval", "test"), ("all",)])
def test_a_label_file_is_read_once(devkit, tmp_path, monkeypatch, format, splits):
    """By check and what it says of training together; twice where the format was found by it, or it is damaged."""
    images = load_labelled([DatasetSource(root=str(devkit), split=one) for one in ("trainval", "test")], Problems())
    parts = [images] if splits == ("all",) else [images[:25], images[25:]]
    root, end = tmp_path / "out", ".txt" if format == "yolo" else ".xml"
    write_dataset(root, format, dict(zip(splits, parts, strict=True)), ["cat", "dog"])
    next(root.rglob(f"t3{end}")).write_bytes(b"\xe9")
    counts = opened(monkeypatch)
    found = find_set(root).remembering()
    checked = read_for_checking(found, usual_splits(found), None, {})
    checked.census.lines()
    lines, faults = training_faults(DatasetSettings(root=str(root)), found)
    assert [one.kind for one in checked.faults] == [f"malformed {'label file' if format == 'yolo' else 'annotation'}"]
    assert not faults
    assert len(lines) >= 2
    labels = {name: count for name, count in counts.items() if re.fullmatch(rf"[te]\d+{end}", name)}
    assert len(labels) == 27
    assert labels.pop(f"t3{end}") == 2
    assert sum(labels.values()) - len(labels) <= 1
    assert max(labels.values()) <= 2


def test_what_is_remembered_is_what_is_read(devkit):
    """Also of a split that is opened twice, and with the faults of each file."""
    (devkit / "Annotations" / "t1.xml").write_text(f"<annotation>{GOOD}{GOOD.replace('50', '5000')}</annotation>")
    found, problems = find_set(devkit).remembering(), []
    for reader in (find_set(devkit).opener("trainval")(), found.opener("trainval")(), found.opener("trainval")()):
        said = Problems()
        seen = [reader.labels(one, size, said) for one in reader.image_ids(said) for size in (None, (9, 9), None)]
        problems.append((seen, said.records))
    assert problems[0] == problems[1] == problems[2]


def test_thousands_of_names_take_no_longer_each(make_devkit):
    """A file of names in place of classes: names are compared with others as long as they are few."""
    names = [("".join(chr(97 + int(one)) for one in str(number)), (10, 10, 40, 50)) for number in range(6000)]
    root = make_devkit({"trainval": {"a": names}})
    found = find_set(root)
    begun = time.process_time()
    checked = read_for_checking(found, usual_splits(found), None, {})
    assert time.process_time() - begun < 10  # 45 s where every name was compared with every other
    assert len(checked.classes) == 6000


def test_lists_that_a_plain_folder_is_not_divided_by_are_told(devkit, tmp_path):
    images = load_labelled([DatasetSource(root=str(devkit), split="test")], Problems())
    write_dataset(tmp_path / "out", "folder", {"all": images}, ["cat"])
    for name in ("train.txt", "readme.txt"):
        (tmp_path / "out" / name).write_text("e0\n")
    checked, _, faults = check(tmp_path / "out")
    assert found_by(faults) == {("list of a split that is not read", "train.txt", 0, "warning")}
    assert [one for one in checked.census.lines() if "passed over" in one] == [
        "  passed over: 1 lists, names and read-me files: readme.txt"
    ]
