"""VOC's annotation files as tools write them: tags in any case, several boxes an object, sizes that are not known."""

import pytest

from detection.data import DataError, Problems
from detection.data.formats.voc_xml import photo_name, read_annotation

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"


def read(tmp_path, text, kinds=()):
    path = tmp_path / "a.xml"
    path.write_text(text)
    problems = Problems()
    found = read_annotation(path, problems)
    assert [one.kind for one in problems] == list(kinds)
    return [(item.index, item.name, item.box[2]) for item in found.objects], found.size


def test_each_box_of_an_object_is_an_object(tmp_path):
    boxes = "\n".join(BOX.format(right) for right in (5, 6, 7))
    text = f"<annotation>\n<object><name>cat</name>\n{boxes}\n</object><object><name>dog</name>{BOX.format(8)}</object>"
    objects, _ = read(tmp_path, f"{text}</annotation>", ["further box in an object"] * 2)
    assert objects == [(1, "cat", 5), (1, "cat", 6), (1, "cat", 7), (2, "dog", 8)]


def test_an_object_of_several_names_is_left_out(tmp_path):
    text = f"<annotation><object><name>cat</name>{BOX.format(5)}<name>dog</name>{BOX.format(6)}</object>"
    again = f"<object><name>cat</name><name> cat</name>{BOX.format(7)}</object></annotation>"
    told = ["further box in an object", "object of several names", "object of several names"]
    assert read(tmp_path, text + again, told)[0] == [(2, "cat", 7)]


def test_a_bad_box_of_several_is_left_out_alone(tmp_path):
    text = f"<annotation><object><name>cat</name>{BOX.format(5)}{BOX.format('x')}</object></annotation>"
    objects, _ = read(tmp_path, text, ["further box in an object", "box that is not four numbers"])
    assert objects == [(1, "cat", 5)]


@pytest.mark.parametrize(
    "text",
    [
        "<annotation><objects><object><name>cat</name>{}</object></objects></annotation>",
        "<annotation><a><b><object><name>cat</name>{}</object></b></a></annotation>",
        "<annotation><Object><Name>cat</Name>{}</Object></annotation>",
        "<Annotation><OBJECT><name>cat</name><shape>{}</shape></OBJECT></Annotation>",
    ],
)
def test_objects_are_found_in_any_case_and_at_any_depth(tmp_path, text):
    assert read(tmp_path, text.format(BOX.format(5)))[0] == [(1, "cat", 5)]
    upper = BOX.format(5).replace("bndbox", "BndBox").replace("xmin", "XMin").replace("ymax", "Ymax")
    assert read(tmp_path, text.format(upper))[0] == [(1, "cat", 5)]


def test_objects_in_an_object_are_objects(tmp_path):
    inner = f"<object><name>wheel</name>{BOX.format(3)}</object>"
    text = f"<annotation><object><name>car</name>{inner}{BOX.format(9)}</object></annotation>"
    assert read(tmp_path, text)[0] == [(1, "car", 9), (2, "wheel", 3)]


def test_a_parts_box_is_not_its_objects(tmp_path):
    part = f"<part><name>head</name>{BOX.format(3)}</part>"
    assert read(tmp_path, f"<annotation><object><name>cat</name>{part}{BOX.format(9)}</object></annotation>")[0] == [
        (1, "cat", 9)
    ]
    text = f"<annotation><object><name>cat</name>{part}</object></annotation>"
    assert read(tmp_path, text, ["object without a box"])[0] == []


@pytest.mark.parametrize(
    ("width", "height", "size", "kinds"),
    [
        (0, 0, None, []),
        ("0.0", "0", None, []),
        (0, 1, (1, 0), []),
        (20, 10, (10, 20), []),
        ("", "10", None, ["image size that is not the image's"]),
        ("1e999", "10", None, ["image size that is not the image's"]),
    ],
)
def test_sizes(tmp_path, width, height, size, kinds):
    text = f"<annotation><size><width>{width}</width><height>{height}</height></size></annotation>"
    assert read(tmp_path, text, kinds) == ([], size)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<filename>a.jpg</filename>", "a.jpg"),
        ("<Filename> C:\\photos\\a b.jpg\n</Filename>", "a b.jpg"),
        ("<filename>../x/a.jpg</filename>", "a.jpg"),
        ("<filename/>", None),
        ("", None),
        ("<filename>", None),
    ],
)
def test_the_photo_that_a_file_says_it_is_of(tmp_path, text, name):
    path = tmp_path / "a.xml"
    path.write_text(f"<annotation>{text}</annotation>")
    assert photo_name(path) == name
    assert photo_name(tmp_path / "absent.xml") is None


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_codings(tmp_path, coding):
    path = tmp_path / "a.xml"
    path.write_bytes(f"<annotation><object><name>é</name>{BOX.format(5)}</object></annotation>".encode(coding))
    assert [one.name for one in read_annotation(path, Problems()).objects] == ["é"]


def test_an_encoding_that_is_declared(tmp_path):
    text = f"<annotation><object><name>é</name>{BOX.format(5)}</object></annotation>"
    path = tmp_path / "a.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="windows-1252"?>{text}'.encode("cp1252"))
    assert [one.name for one in read_annotation(path, Problems()).objects] == ["é"]
    for head in ("", '<?xml version="1.0" encoding="UTF-8"?>'):
        path.write_bytes((head + text).encode("cp1252"))
        with pytest.raises(DataError, match=r"a\.xml:1: .* the byte 0xe9 at position .*save the file as UTF-8"):
            read_annotation(path, Problems())
    path.write_bytes(f'<?xml version="1.0" encoding="windows-1252"?>{text}<'.encode("cp1252"))
    with pytest.raises(DataError, match="expected XML, got"):
        read_annotation(path, Problems())
