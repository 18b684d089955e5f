"""Labels of one photo written over: what was not changed stays, whatever the format."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from PIL import Image

from detection.data import Problems
from detection.data.formats.finding import find_set
from detection.data.labels import ImageObjects, LabelledObject, LabelReader
from detection.data.usable import labelled_image

RICH = """<annotation verified="yes">
  <folder>f</folder><filename>a.jpg</filename><source><database>mine</database></source>
  <size><width>80</width><height>60</height><depth>3</depth></size>
  <object><name>person</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
    <bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40.5</xmax><ymax>50</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>12</xmin><ymin>22</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></part>
  </object>
  <Object><Name>dog</Name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></Object>
  <owner><name>me</name></owner>
</annotation>"""


def photo(path, size=(80, 60), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.jpg")
    (tmp_path / "a.xml").write_text(RICH)
    return tmp_path


def opened(folder, split="all"):
    reader = find_set(folder).opener(split)()
    reader.image_ids(Problems())
    return reader


def read(reader, image_id="a"):
    problems = Problems()
    found = labelled_image(reader, image_id, problems)
    assert not [one for one in problems if one.action == "left out"]
    return found


def changed(image, **by_index):
    """The image with some objects changed or (None) taken away."""
    objects = []
    for item in image.objects:
        change = by_index.get(f"_{item.index}", {})
        if change is not None:
            objects.append(replace(item, **change))
    return replace(image, objects=tuple(objects))


def test_an_xml_keeps_all_that_was_not_changed(folder):
    reader = opened(folder)
    image = read(reader)
    reader.save(changed(image, _1={"box": (10.0, 20.0, 44.0, 50.0)}), {2})
    root = ElementTree.parse(folder / "a.xml").getroot()
    assert root.get("verified") == "yes"
    assert [one.tag for one in root] == ["folder", "filename", "source", "size", "owner", "object", "object"]
    assert root.findtext("source/database") == "mine"
    person = root.find("object")
    assert (person.findtext("pose"), person.findtext("truncated"), person.findtext("part/name")) == (
        "Left",
        "1",
        "head",
    )
    assert person.findtext("part/bndbox/xmax") == "20"
    assert [one.text for one in person.find("bndbox")] == ["11", "21", "44", "50"]
    again = read(opened(folder))
    assert [(one.name, one.box) for one in again.objects] == [
        ("person", (10, 20, 44, 50)),
        ("dog", (0, 0, 20, 30)),
    ]


def test_an_xml_whose_objects_are_taken_away_renamed_and_added(folder):
    reader = opened(folder)
    image = changed(read(reader), _1=None, _2={"name": "fox & co", "difficult": True})
    new = replace(image.objects[0], index=0, name="кошка", box=(1.25, 2, 30, 40), difficult=False)
    reader.save(replace(image, objects=(*image.objects, new)))
    again = read(opened(folder))
    assert [(one.name, one.box, one.difficult) for one in again.objects] == [
        ("fox & co", (0, 0, 20, 30), True),
        ("кошка", (1.25, 2, 30, 40), False),
    ]


def test_several_boxes_of_an_object_become_objects(folder):
    text = RICH.replace(
        "</bndbox></Object>",
        "</bndbox>" + "<bndbox><xmin>31</xmin><ymin>1</ymin><xmax>50</xmax><ymax>9</ymax></bndbox></Object>",
    )
    (folder / "a.xml").write_text(text)
    reader = opened(folder)
    image = read(reader)
    assert [one.index for one in image.objects] == [1, 2, 2]
    reader.save(image, {1})
    assert [(one.name, one.box) for one in read(opened(folder)).objects] == [
        (one.name, one.box) for one in image.objects
    ]


def test_a_new_xml_lies_beside_the_photo_and_is_found(folder):
    reader = opened(folder)
    image = changed(read(reader), _1=None)
    reader.save(replace(image, image_id="b", path=folder / "b.jpg"))
    assert reader.label_file("b") == folder / "b.xml"
    assert [one.name for one in read(reader, "b").objects] == ["dog"]
    assert [one.name for one in read(opened(folder), "b").objects] == ["dog"]
    assert sorted(one.name for one in folder.iterdir()) == ["a.jpg", "a.xml", "b.jpg", "b.xml"]


def test_two_photos_that_differ_in_their_ending_have_a_file_each(folder):
    photo(folder / "b.png")
    reader = opened(folder)
    image = read(reader)
    assert reader.image_ids(Problems()) == ["a", "b.jpg", "b.png"]
    for name in ("b.jpg", "b.png"):
        objects = (replace(image.objects[0], index=0, name=name),)
        reader.save(replace(image, image_id=name, path=folder / name, objects=objects))
    again = opened(folder)
    assert [read(again, name).objects[0].name for name in ("b.jpg", "b.png")] == ["b.jpg", "b.png"]


def test_a_devkit_has_its_own_place(tmp_path, write_set):
    root = write_set(tmp_path / "kit", {"trainval": {"a": [("cat", (10, 20, 60, 80))], "b": []}})
    reader = opened(root, "trainval")
    (root / "VOC2007" / "Annotations" / "b.xml").unlink()
    image = read(reader)
    reader.save(replace(image, image_id="b"))
    assert reader.label_file("b") == root / "VOC2007" / "Annotations" / "b.xml"
    assert [one.name for one in read(opened(root, "trainval"), "b").objects] == ["cat"]


@pytest.fixture
def yolo(tmp_path):
    for name in "ab":
        photo(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.5 0.1 0.5 0.6\n")
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [cat, dog]\n")
    return tmp_path


def test_yolo_keeps_lines_that_were_not_changed(yolo):
    reader = opened(yolo, "train")
    image = read(reader)
    reader.save(changed(image, _1={"name": "cat", "box": (0.0, 0.0, 40.0, 30.0)}), {2})
    lines = (yolo / "labels" / "a.txt").read_text().split("\n")
    assert lines[0].split()[0] == "0"
    assert [float(one) for one in lines[0].split()[1:]] == [0.25, 0.25, 0.5, 0.5]
    assert lines[1:] == ["0 0.1 0.1 0.5 0.1 0.5 0.6", ""]


def test_yolo_without_a_file_gets_one(yolo):
    reader = opened(yolo, "train")
    assert not reader.label_file("b").exists()
    reader.save(replace(read(reader), image_id="b", path=yolo / "images" / "b.jpg"))
    assert [one.name for one in read(reader, "b").objects] == ["dog", "cat"]
    assert (yolo / "labels" / "b.txt").is_file()


def test_yolo_takes_no_class_without_a_number(yolo):
    reader = opened(yolo, "train")
    before = (yolo / "labels" / "a.txt").read_bytes()
    with pytest.raises(ValueError, match=r"data\.yaml: expected one of the classes cat, dog, got 'cow': add it"):
        reader.save(changed(read(reader), _1={"name": "cow"}))
    assert (yolo / "labels" / "a.txt").read_bytes() == before


def test_points_of_a_box_that_is_moved_stay(yolo):
    (yolo / "data.yaml").write_text("train: images\nval: images\nnames: [cat, dog]\nkpt_shape: [1, 2]\n")
    (yolo / "labels" / "a.txt").write_text("1 0.5 0.5 0.25 0.5 0.3 0.4\n")
    reader = opened(yolo, "train")
    reader.save(changed(read(reader), _1={"box": (0.0, 0.0, 40.0, 30.0)}))
    assert (yolo / "labels" / "a.txt").read_text().split() == ["1", "0.25", "0.25", "0.5", "0.5", "0.3", "0.4"]


def test_a_turned_photo_is_written_in_its_frame(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(tmp_path / "a.jpg", exif=exif)
    reader = find_set(tmp_path, "folder").opener("all")()
    assert reader.label_file("a") == tmp_path / "a.xml"
    box = (5.0, 6.0, 50.0, 70.0)
    image = ImageObjects("a", tmp_path / "a.jpg", (80, 60), (LabelledObject(0, "cat", box, False),), tmp_path)
    reader.save(image)
    again = read(opened(tmp_path))
    assert (again.size, again.objects[0].box) == ((80, 60), box)
    (tmp_path / "a.xml").write_text((tmp_path / "a.xml").read_text().replace("<width>60", "<width>0"))
    reader.save(replace(again, objects=again.objects), {1})
    assert ElementTree.parse(tmp_path / "a.xml").findtext("size/width") == "60"


def test_a_format_that_is_read_alone_refuses(folder):
    image = read(opened(folder))
    reader = LabelReader()
    reader.path = folder / "all.json"
    assert reader.label_file("a") is None
    with pytest.raises(ValueError, match=r"all\.json: labels of 'a' cannot be written"):
        reader.save(image)
