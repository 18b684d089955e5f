"""The samples of faults beside the repository: sets as they came from tools, read or refused as their README says."""

import shutil

import pytest
import yaml

from detection.data import Problems, load_labelled
from detection.data.checking import read_for_checking, usual_splits
from detection.data.dataset import read_class_names
from detection.data.formats.finding import find_set
from detection.data.settings import DatasetSource

HALF = {"train": (8, 36), "val": (4, 14)}
ALL = {"all": (12, 50)}
# Sample -> format, images and objects of each split, and kinds of faults that the reader tells.
READ = {
    "rf_coco": ("coco", {"train": (8, 36), "valid": (2, 6), "test": (2, 8)}, set()),
    "rf_case": ("yolo", HALF, set()),
    "rf_yolo": ("yolo", {"train": (8, 36), "val": (2, 6), "test": (2, 8)}, set()),
    "coco_same_image_id": (
        "coco",
        {"annotations": (0, 0)},
        {"id given again", "annotation of an id given again"},
    ),
    "coco_dup_images": ("coco", {"instances": (12, 50)}, {"image listed under two ids"}),
    "coco_no_annotations": ("coco", {"annotations": (12, 0)}, set()),
    "ext_mixed": ("folder", {"all": (8, 36)}, set()),
    "xml_two_bndbox": ("folder", ALL, {"further box in an object"}),
    "same_stem_mask": ("folder", {"all": (8, 36)}, set()),
    "image_ids_twins/input/twins": ("folder", {"all": (3, 3)}, set()),
    "image_ids_twins/input/twinscoco": ("coco", {"x": (3, 3)}, set()),
    "yolo_roboflow_pip": ("yolo", {"train": (8, 36), "val": (2, 6), "test": (2, 8)}, set()),
    "yolo_list_cvat": ("yolo", HALF, set()),
    "yolo_partial_labels": ("yolo", {"train": (12, 50)}, set()),
    "cvat_voc_default": ("voc", {"default": (12, 50)}, set()),
    "voc_train_val": ("voc", {"train": (9, 40), "val": (3, 10)}, set()),
    "ls_yolo": ("yolo", ALL, set()),
    "ls_coco_dotdot": ("coco", {"result": (12, 50)}, {"image found by its last part"}),
    "lvis": ("coco", {"train": (12, 50)}, {"image found by its last part"}),
    "via_coco": ("coco", {"via_export_coco": (12, 50)}, set()),
    "fiftyone_voc": ("folder", ALL, set()),
    "oxford_pet": ("folder", ALL, set()),
    "pair_photos_annotations": ("folder", ALL, set()),
    "darknet/input/data": ("yolo", {"train": (8, 36), "valid": (4, 14)}, set()),
    "labelme2voc": ("folder", ALL, set()),
    "xml_size0": ("folder", ALL, set()),
}
# What the inventory of a folder and the classes tell, which is not the reader's.
NOT_OF_THE_READER = {
    "image in no split",
    "labels without an image",
    "class without objects",
    "class without training objects",
    "misspelt class",
    "object given twice",
    "set without objects",
}


@pytest.mark.parametrize("sample", READ)
def test_a_sample_is_read(shared_faults, sample):
    format, splits, kinds = READ[sample]
    found = find_set(shared_faults / (sample if "/" in sample else f"{sample}/input"))
    assert found.format == format
    checked = read_for_checking(found, usual_splits(found), None, {})
    counts = {name: (len(images), sum(len(one.objects) for one in images)) for name, images in checked.splits.items()}
    assert counts == splits
    assert {one.kind for one in checked.faults} - NOT_OF_THE_READER == kinds


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("yolo_names_str", r"data\.yaml: names: expected a list of names, or number: name, got 'eight, five"),
        ("cvat_images", r"annotations\.xml is CVAT's own XML .*'PASCAL VOC 1\.1', 'COCO 1\.0' or 'Ultralytics YOLO"),
    ],
)
def test_a_sample_is_refused_with_its_cause(shared_faults, sample, message):
    with pytest.raises(ValueError, match=message):
        find_set(shared_faults / sample / "input")


def test_a_tab_behind_a_colon(shared_faults):
    """libyaml reads it, as YAML 1.2 has it; PyYAML's own loader does not, and says where it is."""
    root = shared_faults / "yolo_tab_yaml" / "input"
    if hasattr(yaml, "CSafeLoader"):
        assert list(find_set(root).splits) == ["train", "val"]
    else:
        with pytest.raises(ValueError, match=r"data\.yaml: expected YAML, got .*line 1"):
            find_set(root)


def test_class_names_in_utf_16(shared_faults):
    names = read_class_names(shared_faults / "classes_utf16" / "input" / "classes_utf16.txt")
    assert names == ("eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero")


@pytest.mark.parametrize("sample", ["rf_coco", "yolo_list_cvat", "fiftyone_voc", "cvat_voc_default"])
def test_the_path_may_be_a_link_hold_dots_and_be_relative(shared_faults, sample, tmp_path, monkeypatch):
    shutil.copytree(shared_faults / sample / "input", tmp_path / "set")
    (tmp_path / "below").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "below")
    counts = {
        len(load_labelled([DatasetSource(root=root, split=split)], Problems(strict=True)))
        for root in (str(tmp_path / "set"), "../set", "../link", f"{tmp_path}/below/../set", "../set/../link/.")
        for split in ("trainval",)
    }
    assert len(counts) == 1
