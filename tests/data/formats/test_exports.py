"""Sets exactly as tools lay them out: every split is read, with its photos, boxes and names.

Made by hand after the tools' documentation and files that they wrote; docs/data.md lists them.
"""

import exports_of_sets
import numpy as np
import pytest
from export_parts import LAYOUTS, NAMES, Photo, Sets, copy, put

from detection.data import Problems, load_labelled
from detection.data.checking import read_for_checking, usual_splits
from detection.data.digits import write_digits
from detection.data.formats.finding import find_set
from detection.data.settings import DatasetSource

# Faults of the small set, not of how it is laid out.
OF_THE_DIGITS = {"class without objects", "class without training objects"}
# What an inventory of the folder tells.
OF_THE_FOLDER = {"image in no split", "labels without an image"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Sets:
    root = write_digits(tmp_path_factory.mktemp("digits") / "digits", trainval=5, test=1)
    sources = [DatasetSource(root=str(root), split=split) for split in ("trainval", "test")]
    photos = [
        Photo(one.path, one.size, tuple((item.name, tuple(map(int, item.box))) for item in one.objects))
        for one in load_labelled(sources, Problems(strict=True))
    ]
    return {"train": photos[:3], "valid": photos[3:5], "test": photos[5:]}


@pytest.mark.parametrize("one", LAYOUTS, ids=[one.write.__name__ for one in LAYOUTS])
def test_an_export_is_read_as_it_arrives(tmp_path, sets, one):
    expected = one.write(tmp_path / "set", sets)
    found = find_set(tmp_path / "set")
    assert found.format == one.format
    assert usual_splits(found) == list(expected)
    checked = read_for_checking(found, usual_splits(found), None, {})
    faults = [fault for fault in checked.faults if fault.kind not in OF_THE_DIGITS]
    assert {fault.kind for fault in faults} - OF_THE_FOLDER == one.faults
    assert {fault.severity for fault in faults} <= {"warning"}
    for split, photos in expected.items():
        images = {image.path.read_bytes(): image for image in checked.splits[split]}
        assert len(checked.splits[split]) == len(images) == len(photos)
        for photo in photos:
            image = images[photo.path.read_bytes()]
            assert image.size == photo.size
            assert [item.name for item in image.objects] == [name for name, _ in photo.objects]
            boxes = np.array([item.box for item in image.objects])
            assert np.abs(boxes - [box for _, box in photo.objects]).max(initial=0) < 1e-3
    if one.format != "voc" and one.format != "folder":
        assert set(NAMES) <= set(checked.classes)


def test_every_export_can_be_trained_on(tmp_path, sets):
    """The two splits that settings ask for are there, and no photo is in both."""
    for one in LAYOUTS:
        root = tmp_path / one.write.__name__
        one.write(root, sets)
        ids = {}
        for split in ("trainval", "test"):
            source = DatasetSource(root=str(root), split=split, format=one.format)
            problems = Problems()
            ids[split] = {image.path for image in load_labelled([source], problems)}
        assert ids["trainval"], one.tool
        assert ids["test"], one.tool
        assert ids["trainval"].isdisjoint(ids["test"]), one.tool


def test_pictures_that_are_no_photos_are_told(tmp_path, sets):
    for write, folder in (
        (exports_of_sets.oxford_pet, "annotations/trimaps"),
        (exports_of_sets.labelme2voc, "AnnotationsVisualization"),
    ):
        root = tmp_path / write.__name__
        write(root, sets)
        reader = find_set(root).whole()
        names = {path.relative_to(root).parent.as_posix(): why for path, why in reader.passed_over().items()}
        assert list(names) == [folder]
        assert "is the photo that" in names[folder]


def test_read_me_files_are_no_labels(tmp_path, sets):
    exports_of_sets.roboflow_yolo(tmp_path, sets)
    reader = find_set(tmp_path).splits["train"]()
    reader.image_ids(Problems(strict=True))
    assert sorted(path.name for path in reader.passed_over()) == ["README.dataset.txt", "README.roboflow.txt"]


OWN_KINDS = {
    "CVAT for images": (
        "annotations.xml",
        '<?xml version="1.0"?>\n<annotations>\n<version>1.1</version><image id="0"/>',
    ),
    "CVAT for video": ("annotations.xml", "<annotations><version>1.1</version><track id='0' label='a'/></annotations>"),
    "VGG Image Annotator": ("via.json", '{"a.jpg1": {"filename": "a.jpg", "regions": [], "file_attributes": {}}}'),
    "VGG Image Annotator's": ("via_project.json", '{"_via_settings": {}, "_via_img_metadata": {}}'),
    "VoTT": ("vott-json-export/x-export.json", '{"name": "x", "visitedAssets": [], "assets": {"1": {"regions": []}}}'),
    "LabelMe": ("a.json", '{"version": "5.0", "flags": {}, "shapes": [{"points": []}], "imagePath": "a.jpg"}'),
    "Label Studio": ("project-1.json", '[{"id": 1, "annotations": [{"id": 1, "result": []}], "file_upload": "a.jpg"}]'),
    "Datumaro": (
        "annotations/train.json",
        '{"infos": {}, "categories": {"label": {}}, "items": [{"annotations": []}]}',
    ),
    "CreateML": ("a.json", '[{"image": "a.jpg", "annotations": [{"label": "a", "coordinates": {"x": 1}}]}]'),
    "FiftyOne": ("samples.json", '{"samples": [{"filepath": "a.jpg"}]}'),
}


@pytest.mark.parametrize("tool", OWN_KINDS)
def test_a_tools_own_kind_is_named_with_the_export_that_is_read(tmp_path, sets, tool):
    name, text = OWN_KINDS[tool]
    copy(sets["train"][0], tmp_path / "images")
    put(tmp_path / name, text)
    path_end = name.rpartition("/")[2]
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(ValueError, match=rf"{path_end} is .*{tool}.*which is not read; export it (in|with) "):
            find_set(path)
