import json
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from detection.data import read_dataset
from detection.data.draft_labels import PROBABILITY, check_drafts, draft_formats, write_drafts
from detection.data.labels import ImageObjects, LabelledObject

CLASSES = ("black & white", 'say "cat"', "Käse <3")
BOXES = [(10.0, 5.0, 60.0, 45.0), (1.5, 2.25, 30.0, 40.0)]


@pytest.fixture
def images(tmp_path):
    found = []
    for image_id in ("a photo", "sub folder/b"):
        path = tmp_path / "photos" / f"{image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 50), (9, 99, 199)).save(path)
        objects = tuple(
            LabelledObject(n, CLASSES[n], box, False, extras={PROBABILITY: 0.25 + n / 2}) for n, box in enumerate(BOXES)
        )
        found.append(ImageObjects(image_id, path, (50, 80), objects if image_id == "a photo" else (), path))
    return found


@pytest.mark.parametrize("format", ["voc", "coco", "yolo", "folder"])
def test_data_sets_are_read_again(format, images, tmp_path):
    write_drafts(tmp_path / "out", format, images, CLASSES)
    found = read_dataset(tmp_path / "out")
    assert [one.image_id for one in found.images] == [one.image_id for one in images]
    np.testing.assert_allclose(found.images[0].boxes, BOXES, atol=1e-3)
    assert [found.classes[label] for label in found.images[0].labels] == list(CLASSES[:2])
    assert found.images[1].path.read_bytes() == images[1].path.read_bytes()


def test_cvat(images, tmp_path):
    write_drafts(tmp_path / "out", "cvat", images, CLASSES)
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    # Datumaro refuses a file without <meta>, and knows the labels from it alone.
    assert [one.text for one in root.findall("meta/task/labels/label/name")] == list(CLASSES)
    first, second = root.findall("image")
    assert first.attrib == {"id": "0", "name": "a photo.png", "width": "80", "height": "50"}
    assert second.attrib["name"] == "sub folder/b.png"
    boxes = first.findall("box")
    assert [one.attrib["label"] for one in boxes] == list(CLASSES[:2])
    corners = [[float(one.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")] for one in boxes]
    assert corners == [list(one) for one in BOXES]
    assert {one.attrib["occluded"] for one in boxes} == {"0"}
    assert not second.findall("box")


def test_label_studio(images, tmp_path):
    write_drafts(tmp_path / "out", "labelstudio", images, CLASSES)
    first, second = json.loads((tmp_path / "out/tasks.json").read_text(encoding="utf-8"))
    # Label Studio shows no photo that lies in the document root itself.
    path, _, place = second["data"]["image"].partition("?d=")
    assert (path, unquote(place)) == ("/data/local-files/", "photos/sub folder/b.png")
    assert (tmp_path / "out" / unquote(place)).read_bytes() == images[1].path.read_bytes()
    (prediction,) = first["predictions"]
    one = prediction["result"][0]
    assert (one["original_width"], one["original_height"], one["score"]) == (80, 50, 0.25)
    value = one["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == [12.5, 10, 62.5, 80]
    assert value["rectanglelabels"] == [CLASSES[0]]
    config = ElementTree.parse(tmp_path / "out/config.xml").getroot()
    assert (one["from_name"], one["to_name"]) == (
        config.find("RectangleLabels").get("name"),
        config.find("Image").get("name"),
    )
    assert [label.get("value") for label in config.iter("Label")] == list(CLASSES)
    assert second["predictions"][0]["result"] == []


@pytest.mark.parametrize("format", draft_formats())
def test_what_may_have_been_corrected_is_not_replaced(format, images, tmp_path):
    write_drafts(tmp_path / "out", format, images, CLASSES)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="may have been corrected"):
        write_drafts(tmp_path / "out", format, images[:1], CLASSES)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_an_unknown_format(tmp_path):
    with pytest.raises(
        ValueError, match=r"--labels: expected one of voc, coco, yolo, folder, cvat, labelstudio, got 'x'"
    ):
        check_drafts(tmp_path / "out", "x")
