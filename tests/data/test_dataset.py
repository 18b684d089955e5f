import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from detection.data import (
    VOC_CLASSES,
    DataError,
    DatasetSettings,
    DatasetSource,
    Problems,
    classes_without_objects,
    collect_classes,
    dataset_classes,
    load_annotations,
    load_training,
    read_class_names,
    read_image,
    result_numbers,
    shared_ids,
    split_ids,
)

CAT, DOG = ("cat", (10, 20, 60, 80)), ("dog", (0, 0, 120, 90))


def source(root, split="trainval", year="VOC2007"):
    return DatasetSource(year=year, split=split, root=str(root))


def load(root, classes=("cat", "dog"), problems=None):
    return load_annotations([source(root)], classes, Problems() if problems is None else problems)


def edit(root, old, new, image_id="a"):
    path = root / "VOC2007" / "Annotations" / f"{image_id}.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_small_devkit_by_hand(make_devkit):
    root = make_devkit({"trainval": {"a": [CAT, (*DOG, True)], "sub dir/img 2": []}})
    first, second = load(root)
    assert (first.image_id, first.size) == ("a", (90, 120))
    assert first.path == root / "VOC2007" / "JPEGImages" / "a.jpg"
    assert first.boxes.tolist() == [[10, 20, 60, 80], [0, 0, 120, 90]]
    assert first.labels.tolist() == [0, 1]
    assert first.difficult.tolist() == [False, True]
    assert (second.image_id, second.boxes.shape) == ("sub dir/img 2", (0, 4))


@pytest.mark.parametrize(
    ("marks", "expected"),
    [((None, None), None), (("1", None), [True, False]), ((None, "0"), [False, False]), (("true", "1"), [True, True])],
)
def test_marks_of_truncated_objects(make_devkit, marks, expected):
    root = make_devkit({"trainval": {"a": [CAT, DOG], "b": []}})
    for (name, _), mark in zip((CAT, DOG), marks, strict=True):
        text = "" if mark is None else f"<truncated>{mark}</truncated>"
        edit(root, f"<name>{name}</name><truncated>0</truncated>", f"<name>{name}</name>{text}")
    first, second = load(root)
    assert (None if first.truncated is None else first.truncated.tolist()) == expected
    assert second.truncated.tolist() == []


def test_classes(make_devkit, tmp_path):
    root = make_devkit({"trainval": {"a": [DOG, CAT], "b": []}, "test": {"c": [("cow", (1, 1, 5, 5))]}})
    settings = DatasetSettings(root=str(root))
    assert collect_classes(settings.train_sources, Problems()) == ("cat", "dog")
    assert dataset_classes(settings, Problems()) == ("cat", "dog")
    assert dataset_classes(DatasetSettings(root=str(root), classes="voc"), Problems()) == VOC_CLASSES
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfdog\r\n\r\n big  cat \r\n")
    assert dataset_classes(DatasetSettings(classes=str(tmp_path / "names.txt")), Problems()) == ("dog", "big cat")
    names = ("cow", "cat", "dog")
    assert classes_without_objects(load(root, names), names) == ["cow"]
    assert classes_without_objects([], ("cow",)) == ["cow"]
    with pytest.raises(ValueError, match="expected annotated objects"):
        collect_classes([source(make_devkit({"trainval": {"n": []}}, root=tmp_path / "none"))], Problems())


@pytest.mark.parametrize("content", ["", "\n", "cat\ndog\ncat\n"])
def test_bad_class_files(tmp_path, content):
    (tmp_path / "names.txt").write_text(content)
    with pytest.raises(ValueError, match=r"names\.txt: expected class names"):
        read_class_names(tmp_path / "names.txt")


def test_unknown_classes_are_counted_with_the_nearest_name(make_devkit):
    problems = Problems()
    root = make_devkit({"trainval": {"a": [("doog", DOG[1]), ("doog", CAT[1]), CAT]}})
    assert load(root, problems=problems)[0].labels.tolist() == [0]
    assert problems.summary() == ["2 left out: unknown class 'doog', nearest known 'dog': a.xml"]


@pytest.mark.parametrize(
    ("box", "kind", "kept"),
    [
        ((-5, 20, 60, 95), "box reaching outside the image", [[0, 20, 60, 90]]),
        ((200, 20, 260, 80), "box wholly outside the image", []),
        ((-9, 0, 0, 9), "box wholly outside the image", []),
        ((0.25, 0.5, 119.5, 89.75), None, [[0.25, 0.5, 119.5, 89.75]]),
    ],
)
def test_boxes_are_clipped(make_devkit, box, kind, kept):
    problems = Problems()
    root = make_devkit({"trainval": {"a": [("cat", box)]}})
    assert load(root, problems=problems)[0].boxes.tolist() == kept
    assert [record.kind for record in problems] == ([kind] if kind else [])


def test_the_images_size_wins(make_devkit):
    root = make_devkit({"trainval": {"a": [CAT]}})
    edit(root, "<width>120", "<width>60")
    problems = Problems()
    assert load(root, problems=problems)[0].size == (90, 120)
    assert [record.kind for record in problems] == ["image size that is not the image's"]
    edit(root, "<size><width>60</width><height>90</height><depth>3</depth></size>", "")
    problems = Problems()
    assert load(root, problems=problems)[0].boxes.tolist() == [[10, 20, 60, 80]]
    assert len(problems) == 0


@pytest.mark.parametrize("size", [(90, 120), (120, 90)])
def test_a_turned_photo_is_read_in_the_frame_of_its_annotation(make_devkit, size):
    root = make_devkit({"trainval": {"a": [("cat", (10, 20, 60, 80))]}})
    path = root / "VOC2007" / "JPEGImages" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)
    edit(root, "<width>120</width><height>90</height>", f"<width>{size[1]}</width><height>{size[0]}</height>")
    problems = Problems()
    found = load(root, problems=problems)[0]
    assert found.size == size
    assert read_image(found.path, found.size).shape[:2] == size
    assert len(problems) == 0


def spoil_image(root):
    (root / "VOC2007" / "JPEGImages" / "a.jpg").write_bytes(b"\xff\xd8\xff")


def remove_image(root):
    (root / "VOC2007" / "JPEGImages" / "a.jpg").unlink()


def remove_annotation(root):
    (root / "VOC2007" / "Annotations" / "a.xml").unlink()


def cut_annotation(root):
    (root / "VOC2007" / "Annotations" / "a.xml").write_text("<annotation>")


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (spoil_image, "unreadable image"),
        (remove_image, "missing image"),
        (remove_annotation, "missing annotation"),
        (cut_annotation, "malformed annotation"),
    ],
)
def test_a_bad_image_is_left_out_and_listed(make_devkit, spoil, kind):
    root = make_devkit({"trainval": {"a": [CAT], "b": [DOG]}})
    spoil(root)
    problems = Problems()
    assert [image.image_id for image in load(root, problems=problems)] == ["b"]
    assert [record.kind for record in problems] == [kind]
    with pytest.raises(DataError, match=kind):
        load(root, problems=Problems(strict=True))


def test_an_image_with_more_pixels_than_the_setting_is_left_out(make_devkit):
    root = make_devkit({"trainval": {"one": [CAT]}}, size=(90, 120))
    settings = DatasetSettings(root=str(root), max_pixels=90 * 120)
    assert len(load_annotations(settings.train_sources, ("cat",), Problems())) == 1
    problems = Problems()
    with pytest.raises(ValueError, match="usable"):
        load_annotations(replace(settings, max_pixels=90 * 120 - 1).train_sources, ("cat",), problems)
    assert [one.kind for one in problems] == ["image too large"]
    with pytest.raises(ValueError, match=r"dataset.max_pixels: expected a number of at least 1, got 0"):
        replace(settings, max_pixels=0)


def test_no_usable_image_is_an_error(make_devkit):
    root = make_devkit({"trainval": {"a": [CAT]}})
    remove_image(root)
    with pytest.raises(ValueError, match=r"at least one usable image(.|\n)*missing image"):
        load(root)


def test_an_image_under_two_names_is_kept_once(make_devkit):
    root = make_devkit({"trainval": {"a": [CAT], "b": []}})
    (root / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").write_text("a\nb\na.jpg\n")
    problems = Problems()
    assert [image.image_id for image in load(root, problems=problems)] == ["a", "b"]
    assert [record.kind for record in problems] == ["image id listed again"]


def test_sources_are_joined_and_may_not_share_an_id(make_devkit):
    root = make_devkit({"trainval": {"a": [CAT]}, "val": {"a": [CAT], "b": []}})
    make_devkit({"trainval": {"c": [DOG]}}, year="other year")
    both = [source(root), source(root, year="other year")]
    assert [image.image_id for image in load_annotations(both, ("cat", "dog"), Problems())] == ["a", "c"]
    with pytest.raises(ValueError, match=r"image 'a'.*VOC2007 trainval.*VOC2007 val"):
        load_annotations([source(root), source(root, "val")], ("cat", "dog"), Problems())


def test_a_wrong_root_says_what_is_there(make_devkit, tmp_path):
    root = make_devkit({"trainval": {"a": [CAT]}})

    def message(*arguments):
        with pytest.raises(ValueError, match=r"expected the list of a split's images") as caught:
            load_annotations([source(*arguments)], ("cat",), Problems())
        return str(caught.value)

    assert "no folder" in message(tmp_path / "absent")
    assert f"use root {root} and year VOC2007" in message(root / "VOC2007")
    assert f"Did you mean root {root}?" in message(root.parent)
    assert "has the years: VOC2007" in message(root, "trainval", "VOC2012")
    with pytest.raises(ValueError, match="expected the split 'val', got the splits: trainval"):
        load_annotations([source(root, "val")], ("cat",), Problems())
    (tmp_path / "other" / "x").mkdir(parents=True)
    assert "holds: x" in message(tmp_path / "other")
    shutil.rmtree(root / "VOC2007" / "JPEGImages")
    with pytest.raises(ValueError, match="JPEGImages: expected a folder"):
        load(root)


def test_settings_are_checked():
    settings = DatasetSettings(root="here", train=(DatasetSource(), DatasetSource("VOC2012", root="there")))
    assert [item.root for item in settings.train_sources] == ["here", "there"]
    assert [item.split for item in settings.test_sources] == ["test"]
    with pytest.raises(ValueError, match=r"dataset\.train"):
        DatasetSettings(train=())
    with pytest.raises(ValueError, match="year"):
        DatasetSource(year=" ")
    with pytest.raises(ValueError, match=r"dataset\.classes"):
        DatasetSettings(classes="")


@pytest.mark.parametrize(
    ("name", "counts", "objects"), [("voc-animals", (500, 300), None), ("voc-mini", (197, 100), 14)]
)
def test_real_photos(shared_data, name, counts, objects):
    settings = DatasetSettings(root=str(shared_data / name / "VOCdevkit"))
    problems = Problems()
    classes = dataset_classes(settings, problems)
    found = [load_annotations(part, classes, problems) for part in (settings.train_sources, settings.test_sources)]
    assert tuple(map(len, found)) == counts
    if objects is None:
        assert (classes, problems.summary()) == (("cat", "cow", "dog", "horse", "sheep"), [])
    else:
        assert "cow" not in classes
        assert all(line.startswith(f"{objects} left out: unknown class 'cow'") for line in problems.summary())
    image = found[0][0]
    assert read_image(image.path, image.size).shape == (*image.size, 3)
    assert all(np.isfinite(image.boxes).all() for part in found for image in part)


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, detection.data; print([name for name in ('torch', 'cv2', 'sklearn') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_sources_own_mapping_comes_before_the_data_sets():
    own = DatasetSource(split="trainval", class_map={"cat": "tiger"})
    settings = DatasetSettings(class_map={"cat": "lion", "dog": "wolf"}, train=(own,))
    assert settings.train_sources[0].class_map == {"cat": "tiger", "dog": "wolf"}


def test_nothing_to_train_on_is_refused(make_devkit):
    root = make_devkit({"trainval": {"a": [CAT], "b": []}})
    assert len(load_training([source(root)], ["cat", "dog"], Problems())) == 2
    with pytest.raises(ValueError, match="expected objects of cow, horse to train on, got none"):
        load_training([source(root)], ["cow", "horse"], Problems())


def test_one_id_for_two_pictures_of_training_and_test(make_devkit, tmp_path):
    roots = [make_devkit({"trainval": {"a": [CAT]}}, root=tmp_path / str(n), seed=n // 2) for n in range(3)]
    images = list(map(load, roots))
    assert shared_ids(images[0], images[0]) == shared_ids(images[0], images[1]) == ["a"]
    assert shared_ids(images[0], []) == []
    with pytest.raises(ValueError, match=r"image 'a': .* dataset.test: \[\{split: test, name: test\}\]"):
        shared_ids(images[0], images[2])


@pytest.mark.parametrize("kind", [DatasetSettings, DatasetSource])
def test_names_of_a_class_map_are_cleaned_or_refused(kind):
    assert kind(class_map={" a\n b ": "c\td", "NO": None}).class_map == {"a b": "c d", "NO": None}
    for wrong in ({"a\x1b": "b"}, {"a": "\ud800"}, {"a": ""}, {"x" * 201: "b"}):
        with pytest.raises(DataError, match="class_map"):
            kind(class_map=wrong)
    with pytest.raises(ValueError, match=r"class_map: expected each name once"):
        kind(class_map={"a": "b", " a": "c"})


def test_numbers_of_images_in_results(tmp_path):
    for split, first in (("train", 1), ("val", 2)):
        images = [{"id": first + k, "file_name": f"{split}{k}.jpg", "height": 9, "width": 9} for k in range(2)]
        content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    sources = [
        DatasetSource(root=str(tmp_path / f"{split}.json"), split="all", name=split) for split in ("train", "val")
    ]
    assert result_numbers(sources[:1], Problems()) == {"1": "train/train0", "2": "train/train1"}
    assert result_numbers(sources, Problems()) == {"1": "train/train0", "3": "val/val1"}


def test_a_file_name_that_is_no_utf_8_becomes_an_id_that_is(make_devkit, tmp_path):
    devkit = make_devkit({"trainval": {"one": [CAT]}})
    folder = tmp_path / "photos"
    folder.mkdir()
    name = os.fsdecode(b"sch\xf6n")
    try:
        shutil.copyfile(devkit / "VOC2007/JPEGImages/one.jpg", folder / f"{name}.jpg")
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    shutil.copyfile(devkit / "VOC2007/Annotations/one.xml", folder / f"{name}.xml")
    (image,) = load_annotations([source(folder, "all", "")], ("cat",), Problems())
    assert image.image_id == r"sch\udcf6n"
    assert read_image(image.path).shape == (90, 120, 3)
    assert split_ids([source(folder, "all", "")], Problems()) == [r"sch\udcf6n"]
