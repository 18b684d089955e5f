"""YOLO sets as tools lay them out: where splits, lists, labels and names are found."""

import json

import pytest
from PIL import Image

from detection.data import Problems, read_dataset
from detection.data.census import SetTally
from detection.data.checking import read_for_checking, usual_splits
from detection.data.formats.finding import find_set, possible_formats
from detection.data.formats.yolo_set import YoloSet, find_yaml
from detection.data.usable import labelled_images

LINE = "0 0.5 0.5 0.5 0.5\n"


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 24)).save(path)


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def labelled(root, *names, labels="labels"):
    for name in names:
        photo(root / name)
        put(root / name.replace("images", labels).replace(".jpg", ".txt"), LINE)


def objects(root, split, kinds=()):
    problems = Problems()
    found = read_dataset(root, split, problems=problems)
    assert [one.kind for one in problems] == list(kinds)
    return {one.image_id: len(one.labels) for one in found.images}


@pytest.mark.parametrize(
    "value", ["digits-1/train/images", "../train/images", "/content/digits-1/train/images", "TRAIN/Images", "x/y/train"]
)
def test_a_split_is_found_by_the_last_parts_of_its_path(tmp_path, value):
    labelled(tmp_path, "train/images/a.jpg")
    put(tmp_path / "data.yaml", f"names: [cat]\ntrain: {value}\n")
    assert objects(tmp_path, "train") == {"a": 1}


def test_a_split_is_not_found_by_less_than_its_name(tmp_path):
    """valid/images that was not downloaded is not the set's folder images."""
    labelled(tmp_path, "train/images/a.jpg", "images/b.jpg")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: x/train/images\nval: x/valid/images\n")
    assert objects(tmp_path, "train", ["split that is not there"]) == {"a": 1}
    with pytest.raises(ValueError, match="expected the split 'val', got the splits: train"):
        objects(tmp_path, "val")


def test_two_splits_are_not_found_in_one_place(tmp_path):
    labelled(tmp_path, "images/a.jpg")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: one/images\nval: two/images\n")
    data = YoloSet(tmp_path)
    assert list(data.splits) == ["train"]
    assert "val: expected a place of its own, got 'two/images', found as train's" in data.faults[0].message
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: images\nval: images\n")
    assert (list(YoloSet(tmp_path).splits), YoloSet(tmp_path).faults) == (["train", "val"], [])


def test_a_split_that_is_not_there_is_an_error_of_the_check(tmp_path):
    labelled(tmp_path, "train/images/a.jpg")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: train/images\nvalid: valid/images\ntest:\n")
    found = find_set(tmp_path)
    faults = read_for_checking(found, usual_splits(found), None, {}).faults
    assert [(one.severity, one.kind) for one in faults] == [("error", "split that is not there")]
    assert "valid: expected a folder or file inside" in faults[0].message
    assert "'valid/images'" in faults[0].message


def test_lists_whose_lines_begin_with_folders_of_elsewhere(tmp_path):
    labelled(tmp_path, "images/train/a.jpg", "images/train/b.jpg", "images/train/c.jpg")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: train.txt\n")
    lines = ["data/images/train/a.jpg", "/content/set/images/train/b.jpg", "Images/TRAIN/C.jpg", "data/images/gone.jpg"]
    put(tmp_path / "train.txt", "\n".join(lines))
    problems = Problems()
    found = read_dataset(tmp_path, "train", problems=problems)
    assert [one.image_id for one in found.images] == ["train/a", "train/b", "train/c"]
    assert [(one.kind, one.line) for one in problems] == [("missing image", 4)]
    (note,) = [one for one in problems.notes if "ends of their paths" in one]
    assert "2 lines" in note
    assert "'data/images/train/a.jpg' as images/train/a.jpg" in note


def test_absolute_lists_of_a_set_whose_path_holds_dots(tmp_path, monkeypatch):
    labelled(tmp_path / "set", "images/a.jpg")
    put(tmp_path / "set" / "data.yaml", f"names: [cat]\npath: {json.dumps(str(tmp_path / 'set'))}\ntrain: train.txt\n")
    put(tmp_path / "set" / "train.txt", f"{tmp_path}/set/images/a.jpg\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert objects("../set", "train") == objects(tmp_path / "set", "train") == {"a": 1}


@pytest.mark.parametrize("labels", ["labels", "Labels", "LABELS"])
def test_labels_in_any_case(tmp_path, labels):
    photo(tmp_path / "Images" / "sub" / "a.JPG")
    put(tmp_path / labels / "Sub" / "A.TXT", LINE)
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: images\n")
    assert objects(tmp_path, "train") == {"sub/a": 1}


# The least likely first.
LABELS_OF_PHOTOS_TRAIN = ["photos/train", "labels/train", "photos/labels", "photos/train/labels", "labels/photos/train"]


@pytest.mark.parametrize("labels", LABELS_OF_PHOTOS_TRAIN)
def test_labels_beside_photos_of_any_folder(tmp_path, labels):
    photo(tmp_path / "photos" / "train" / "a.jpg")
    put(tmp_path / labels / "a.txt", LINE)
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: photos/train\n")
    assert objects(tmp_path, "train") == {"a": 1}


def test_labels_in_several_folders_are_those_of_the_likeliest(tmp_path):
    photo(tmp_path / "photos" / "train" / "a.jpg")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: photos/train\n")
    for count, labels in enumerate(LABELS_OF_PHOTOS_TRAIN, start=1):
        put(tmp_path / labels / "a.txt", "".join(f"0 0.5 0.5 0.{one} 0.5\n" for one in range(1, count + 1)))
        assert objects(tmp_path, "train") == {"a": count}


def test_labels_in_place_of_images_are_not_of_another_folder(tmp_path):
    labelled(tmp_path, "images/a.jpg")
    photo(tmp_path / "scans" / "a.jpg")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: [images, scans]\n")
    assert objects(tmp_path, "train") == {"images/a": 1, "scans/a": 0}


def test_folders_that_are_links_are_read_where_they_are_named(tmp_path):
    labelled(tmp_path / "store", "images/a.jpg")
    for one in ("images", "labels"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / one).symlink_to(tmp_path / "store" / one)
    put(tmp_path / "set" / "data.yaml", "names: [cat]\ntrain: images\n")
    assert objects(tmp_path / "set", "train") == {"a": 1}


def test_a_label_file_is_of_one_photo(tmp_path):
    labelled(tmp_path, "images/a.jpg", "images/b.jpg")
    photo(tmp_path / "images" / "a.png")
    photo(tmp_path / "images" / "negative.png")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: images\n")
    assert objects(tmp_path, "train") == {"a": 1, "b": 1, "negative": 0}
    reader = find_set(tmp_path).splits["train"]()
    reader.image_ids(Problems())
    assert reader.passed_over() == {tmp_path / "images" / "a.png": "images/a.jpg is the photo that labels/a.txt is of"}
    # A list says that it is a photo: it is told that the labels are not its own.
    put(tmp_path / "train.txt", "images/a.jpg\nimages/a.png\n")
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: train.txt\n")
    assert objects(tmp_path, "train", ["image without annotation"]) == {"a.jpg": 1}


def test_twins_with_labels_of_their_own(tmp_path):
    for name in ("x.jpg", "x.png", "x.jpg.jpg"):
        photo(tmp_path / "images" / name)
        put(tmp_path / "labels" / f"{name}.txt", LINE)
    put(tmp_path / "data.yaml", "names: [cat]\ntrain: images\n")
    assert objects(tmp_path, "train") == {"x.jpg": 1, "x.jpg.jpg": 1, "x.png": 1}


def test_which_yaml_file_is_meant(tmp_path):
    put(tmp_path / "hyp.yaml", "lr0: 0.01\n")
    assert find_yaml(tmp_path) is None
    put(tmp_path / "Set.YML", '{"names": ["cat"], "train": "images"}')
    assert find_yaml(tmp_path) == tmp_path / "Set.YML"
    put(tmp_path / "data.yaml", "names:\n\t- cat\n")
    labelled(tmp_path, "images/a.jpg")
    with pytest.raises(ValueError, match=r"data\.yaml: expected YAML, got .*line 2"):
        find_set(tmp_path)


@pytest.mark.parametrize(("value", "got"), [("cat", "cat"), ("3", "3"), ("", "")])
def test_names_that_are_no_list(tmp_path, value, got):
    put(tmp_path / "data.yaml", f"names: {value}\ntrain: images\n")
    with pytest.raises(ValueError, match=rf"data\.yaml: names: expected a list of names, or number: name, got '{got}'"):
        YoloSet(tmp_path)


def test_darknets_data_file(tmp_path):
    labelled(tmp_path, "obj/a.jpg", "obj/b.jpg")
    put(tmp_path / "obj.names", "cat\n\n dog \n")
    put(tmp_path / "obj.data", "classes=2\n  train = data/train.txt\nvalid=data/gone.txt\nnames\t=\tdata/obj.names\n")
    put(tmp_path / "train.txt", "data/obj/a.jpg\n")
    assert possible_formats(tmp_path / "obj.data") == possible_formats(tmp_path) == ["yolo"]
    data = YoloSet(tmp_path)
    assert (data.names, list(data.splits)) == ({0: "cat", 1: "dog"}, ["train"])
    assert "valid: expected a folder or file inside" in data.faults[0].message
    put(tmp_path / "obj.data", "train = data/train.txt\nnames = data/absent.names\n")
    with pytest.raises(ValueError, match=r"obj\.data: .*names: expected a folder or file inside .*absent\.names"):
        YoloSet(tmp_path)


def test_lists_and_names_in_utf_16(tmp_path):
    labelled(tmp_path, "images/a.jpg", "images/b.jpg")
    for name, text in (("obj.names", "cat\n"), ("train.txt", "images/a.jpg\r\n"), ("valid.txt", "images/b.jpg\r\n")):
        (tmp_path / name).write_text(text, encoding="utf-16", newline="")
    assert (objects(tmp_path, "trainval"), objects(tmp_path, "test")) == ({"a": 1}, {"b": 1})


def test_folders_of_splits_with_years(tmp_path):
    labelled(tmp_path, "images/train2017/a.jpg", "images/val2017/b.jpg")
    put(tmp_path / "classes.txt", "cat\n")
    assert list(find_set(tmp_path).splits) == ["train2017", "val2017"]
    assert (objects(tmp_path, "trainval"), objects(tmp_path, "test")) == ({"a": 1}, {"b": 1})


@pytest.mark.parametrize("blanks", [" ", "\n", ", ", "{ \n"])
def test_a_large_file_of_blanks_is_looked_at_once(tmp_path, blanks):
    for name in ("data.yaml", "obj.data"):
        put(tmp_path / name, blanks * 500_000)
    assert find_yaml(tmp_path) is None
    assert possible_formats(tmp_path) == []
    put(tmp_path / "obj.data", f"names = a.names\ntrain = {' ' * 100_000}x{' ' * 100_000}\n")
    put(tmp_path / "a.names", "cat\n")
    with pytest.raises(ValueError, match=r"obj\.data: split that is not there: train: .*got 'x'"):
        YoloSet(tmp_path)


@pytest.mark.parametrize("names", ["classes.txt", "labels.txt", "names.txt"])
def test_a_list_of_classes_beside_xml_makes_no_yolo_set(tmp_path, names):
    labelled(tmp_path, "a.jpg")
    put(tmp_path / names, "cat\n")
    assert possible_formats(tmp_path) == ["yolo"]
    put(tmp_path / "a.txt", "")
    assert possible_formats(tmp_path) == ["yolo"]
    put(tmp_path / "a.xml", "<annotation/>")
    assert possible_formats(tmp_path) == ["folder"]
    put(tmp_path / "b.txt", LINE)
    assert possible_formats(tmp_path) == ["yolo"]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_labels_and_names_in_any_coding(tmp_path, coding):
    """Those that belong to no image are still told as labels, and not as texts."""
    photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_bytes("é\n".encode(coding))
    for name, lines in (("a", 1), ("gone", 2)):
        (tmp_path / "labels" / f"{name}.txt").write_bytes((LINE * lines).encode(coding))
    found = find_set(tmp_path)
    tally = SetTally(found)
    (one,) = labelled_images(found.opener("all")(), Problems(), None, {}, tally=tally)
    assert [item.name for item in one.objects] == ["é"]
    census = tally.census()
    assert census.adds_up
    assert (census.objects.found, census.objects.left_out) == (3, {"labels without an image": 2})
