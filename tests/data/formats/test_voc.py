import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.data import VOC_CLASSES, DataError, Problems, read_dataset
from detection.data.formats import voc_xml as module
from detection.data.formats.finding import find_set
from detection.data.formats.voc import VocFolder, read_split_file
from detection.data.formats.voc_xml import annotation_xml, read_annotation


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def split_of(tmp_path, content, problems=None):
    folder = VocFolder(tmp_path, "Y")
    write(folder.split_path("train"), content)
    return read_split_file(folder, "train", Problems() if problems is None else problems)


def annotation_of(tmp_path, objects, head="<annotation>", problems=None):
    path = write(tmp_path / "a.xml", f"{head}{objects}</annotation>")
    return read_annotation(path, Problems() if problems is None else problems)


def one_object(xmin, ymin, xmax, ymax, name="cat", more=""):
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def test_the_devkits_classes():
    assert len(VOC_CLASSES) == 20
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)


def test_split_lines(tmp_path):
    problems = Problems()
    content = b"\xef\xbb\xbf000001\r\n\r\n  sub dir/img 1  \r\n000001\r\nlast.jpg"
    assert split_of(tmp_path, content, problems) == ["000001", "sub dir/img 1", "last.jpg"]
    assert [record.kind for record in problems] == ["image id listed again"]
    assert split_of(tmp_path, "a\nb\n".encode("utf-16")) == ["a", "b"]


@pytest.mark.parametrize("bad", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "\\x", "a\\..\\x"])
def test_ids_that_leave_the_folder_are_left_out(tmp_path, bad):
    problems = Problems()
    assert split_of(tmp_path, f"{bad}\nok\n", problems) == ["ok"]
    assert [record.kind for record in problems] == ["image id that leaves the folder"]
    with pytest.raises(DataError):
        split_of(tmp_path, bad, Problems(strict=True))


def test_a_label_column_is_dropped_only_where_every_line_has_one(tmp_path):
    assert split_of(tmp_path, "000005 -1\n000007  1\n000009  0\n") == ["000005", "000007", "000009"]
    assert split_of(tmp_path, "000005 -1\n000007\n") == ["000005 -1", "000007"]
    assert split_of(tmp_path, "img 1\n") == ["img"]
    write(tmp_path / "Y" / "JPEGImages" / "img 1.jpg", b"")
    assert split_of(tmp_path, "img 1\n") == ["img 1"]


@pytest.mark.parametrize("content", ["", "\n \r\n", "\ufeff\n"])
def test_an_empty_split_names_the_file(tmp_path, content):
    with pytest.raises(ValueError, match=r"train\.txt: .*empty split"):
        split_of(tmp_path, content)


def test_a_split_that_is_not_text(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"train\.txt: malformed list of images: expected UTF-8 text, got the byte 0xe9 at position 0, line 1",
    ):
        split_of(tmp_path, b"\xe9\n")


@pytest.mark.parametrize(
    ("files", "image_id", "found"),
    [
        (["a.jpg"], "a", "a.jpg"),
        (["a.JPG"], "a", "a.JPG"),
        (["a.png", "a.JPEG"], "a", "a.JPEG"),
        (["a.webp"], "a.webp", "a.webp"),
        (["a.BMP"], "a.bmp", "a.BMP"),
        (["a.png"], "a.jpg", "a.png"),
        (["a.b.png"], "a.b", "a.b.png"),
        (["s p/i 1.jpg"], "s p/i 1", "s p/i 1.jpg"),
        (["a.txt", "ab.jpg"], "a", None),
        ([], "absent folder/a", None),
        ([], "n" * 300, None),
    ],
)
def test_where_an_image_lies(tmp_path, files, image_id, found):
    base = tmp_path / "Y" / "JPEGImages"
    for name in files:
        write(base / name, b"")
    assert VocFolder(tmp_path, "Y").image_path(image_id) == (base / found if found else None)


def test_where_an_annotation_lies(tmp_path):
    folder, base = VocFolder(tmp_path, "Y"), tmp_path / "Y" / "Annotations"
    assert folder.annotation_path("sub/a") == base / "sub" / "a.xml"
    assert folder.annotation_path("a.v2") == base / "a.v2.xml"
    assert folder.annotation_path("a.JPG") == base / "a.xml"
    write(base / "a.JPG.xml", "")
    assert folder.annotation_path("a.JPG") == base / "a.JPG.xml"


def test_an_annotation_by_hand(tmp_path):
    size = "<size><width>500</width><height>375</height></size>"
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    text = size + one_object(1, 2, 30, 40.5) + one_object(5, 5, 5, 5, "dog", f"<difficult>1</difficult>{part}")
    problems = Problems()
    found = annotation_of(tmp_path, text, problems=problems)
    assert found.size == (375, 500)
    assert [(item.name, item.box, item.difficult) for item in found.objects] == [
        ("cat", (0, 1, 30, 40.5), False),
        ("dog", (4, 4, 5, 5), True),
    ]
    assert len(problems) == 0
    assert annotation_of(tmp_path, "").objects == ()
    assert annotation_of(tmp_path, "").size is None


@pytest.mark.parametrize(
    ("text", "kind", "boxes"),
    [
        (one_object(30, 40, 1, 2), "box with swapped corners", [(0, 1, 30, 40)]),
        (one_object(10, 5, 9, 8), "empty box", []),
        (one_object("nan", 1, 2, 2), "box that is not four numbers", []),
        (one_object(1, 1, "inf", 2), "box that is not four numbers", []),
        (one_object(1, 1, "1e999", 2), "box that is not four numbers", []),
        (one_object(1, "ten", 2, 2), "box that is not four numbers", []),
        (one_object(1, "", 2, 2), "box that is not four numbers", []),
        ("<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>", "box that is not four numbers", []),
        ("<object><name>cat</name></object>", "object without a box", []),
        (one_object(1, 1, 2, 2, name=" "), "object without a name", []),
        ("<object><bndbox/></object>", "object without a name", []),
        (one_object(1, 1, 2, 2, name="\n a  cat "), "blanks in a class name", [(0, 0, 2, 2)]),
        (one_object(1, 1, 2, 2, more="<difficult>x</difficult>"), "difficult neither 0 nor 1", [(0, 0, 2, 2)]),
    ],
)
def test_faulty_objects(tmp_path, text, kind, boxes):
    problems = Problems()
    good = one_object(3, 3, 4, 4)
    found = annotation_of(tmp_path, text + good, problems=problems)
    assert [item.box for item in found.objects] == [*boxes, (2, 2, 4, 4)]
    assert [record.kind for record in problems] == [kind]
    assert "object 1" in problems.records[0].message
    with pytest.raises(DataError, match=r"a\.xml"):
        annotation_of(tmp_path, text, problems=Problems(strict=True))


def test_a_name_is_cleaned(tmp_path):
    assert annotation_of(tmp_path, one_object(1, 1, 2, 2, name="\n a \t cat ")).objects[0].name == "a cat"


BOMB = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><annotation><folder>&b;</folder></annotation>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation><folder>&x;</folder></annotation>'


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "expected XML"),
        ("<annotation><object>", "expected XML"),
        ("{}", "expected XML"),
        (b"\xff\x00\x01", "expected XML"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "expected XML"),
        ("<html/>", "expected the root <annotation>"),
        (BOMB, "no document type declaration"),
        (OUTSIDE, "no document type declaration"),
        ('<!DOCTYPE annotation SYSTEM "http://localhost/a.dtd"><annotation/>', "no document type declaration"),
        ("<annotation>&undefined;</annotation>", "expected XML"),
    ],
)
def test_malformed_annotations(tmp_path, content, match):
    with pytest.raises(DataError, match=match) as caught:
        read_annotation(write(tmp_path / "bad.xml", content), Problems())
    assert caught.value.kind == "malformed annotation"
    assert caught.value.file == str(tmp_path / "bad.xml")


def test_missing_and_huge_annotations(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="missing annotation"):
        read_annotation(tmp_path / "absent.xml", Problems())
    with pytest.raises(DataError, match="unreadable annotation"):
        read_annotation(tmp_path, Problems())
    monkeypatch.setattr(module, "MAX_LABEL_BYTES", 10)
    with pytest.raises(DataError, match="annotation too large"):
        read_annotation(write(tmp_path / "a.xml", "<annotation/>"), Problems())


@pytest.mark.parametrize("head", ['\ufeff<?xml version="1.0"?><annotation>', '\n <?xml version="1.0"?>\n<annotation>'])
def test_marks_and_blanks_before_the_declaration(tmp_path, head):
    assert len(annotation_of(tmp_path, one_object(1, 1, 2, 2), head).objects) == 1


coordinates = st.floats(2**-29, 4000, width=32) | st.just(0.0)
names = st.text(st.characters(exclude_categories=["C"]) | st.just("\n"), min_size=1, max_size=20)


@given(st.lists(st.tuples(names, st.tuples(*[coordinates] * 4), st.booleans()), max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path, items):
    objects = []
    for name, (x1, y1, x2, y2), difficult in items:
        box = (min(x1, x2), min(y1, y2), max(x1, x2) + 1, max(y1, y2) + 1)
        objects.append((" ".join(name.split()) or "x", np.array(box, np.float32), difficult))
    problems = Problems()
    path = write(tmp_path / "a.xml", annotation_xml("a&b.jpg", (10, 20), objects, source="<me>"))
    found = read_annotation(path, problems)
    assert found.size == (10, 20)
    assert problems.records == ()
    for item, (name, box, difficult) in zip(found.objects, objects, strict=True):
        assert (item.name, item.difficult) == (name, difficult)
        assert np.array_equal(np.float32(item.box), box)


def devkit(root, lists, photos=(), xmls=()):
    """lists: name -> text; photos: names of files; xmls: (name, the photo it says it is of)."""
    for name, text in lists.items():
        write(root / "ImageSets" / "Main" / f"{name}.txt", text)
    (root / "JPEGImages").mkdir()
    for name in photos:
        Image.new("RGB", (32, 24)).save(root / "JPEGImages" / name)
    for name, photo in xmls:
        write(root / "Annotations" / name, annotation_xml(photo, (24, 32), [("cat", (1, 2, 9, 9), False)]))
    return root


def test_the_annotation_says_which_picture_of_a_name_is_the_photo(tmp_path):
    photos = ("a.jpg", "a.png", "b.jpg", "b.png", "c.jpg", "c.png")
    xmls = (("a.xml", "a.jpg"), ("b.xml", "B.PNG"), ("c.xml", "other.bmp"))
    root = devkit(tmp_path, {"train": "a\nb\nc\n"}, photos, xmls)
    reader = find_set(root).splits["train"]()
    ids = reader.image_ids(Problems())
    assert [reader.image_path(one).name for one in ids] == ["a.jpg", "b.png", "c.jpg"]
    others = {path.name: why.rpartition("/")[2] for path, why in reader.passed_over().items()}
    assert others == {f"{one}": f"{photo} is the photo of that name" for one, photo in (
        ("a.png", "a.jpg"), ("b.jpg", "b.png"), ("c.png", "c.jpg"),
    )}  # fmt: skip


def test_twins_that_are_listed_by_their_whole_names(tmp_path):
    names = ("x.jpg", "x.png", "x.jpg.jpg")
    root = devkit(tmp_path, {"train": "\n".join(names)}, names, [(f"{one}.xml", one) for one in names])
    reader = find_set(root).splits["train"]()
    ids = reader.image_ids(Problems())
    assert [reader.image_path(one).name for one in ids] == list(names)
    assert [reader.folder.annotation_path(one).name for one in ids] == [f"{one}.xml" for one in names]
    assert reader.passed_over() == {}


def test_a_devkit_in_any_case(tmp_path):
    root = devkit(tmp_path / "set", {"Train": "A\n"}, ("a.JPG",), (("A.XML", "a.JPG"),))
    for old, new in (("ImageSets/Main", "ImageSets/MAIN"), ("ImageSets", "imagesets")):
        (root / old).rename(root / new)
    (root / "JPEGImages").rename(root / "jpegimages")
    (root / "Annotations").rename(root / "annotations")
    (root / "imagesets" / "MAIN" / "Train.txt").rename(root / "imagesets" / "MAIN" / "Train.TXT")
    found = find_set(tmp_path)
    assert (found.format, list(found.splits)) == ("voc", ["Train"])
    images = read_dataset(root, "train", problems=Problems(strict=True)).images
    assert [(one.image_id, one.path.name, len(one.boxes)) for one in images] == [("A", "a.JPG", 1)]


def test_lists_of_classes_make_the_splits_where_there_are_no_others(tmp_path):
    lists = {f"{name}_{split}": f"{image}.jpg {mark}\n" for split, image in (("train", "a"), ("val", "b"))
             for name, mark in (("cat", 1), ("dog", -1))}  # fmt: skip
    root = devkit(tmp_path, lists, ("a.jpg", "b.jpg"), (("a.xml", "a.jpg"), ("b.xml", "b.jpg")))
    found = find_set(root)
    assert found.own_splits == ["train", "val"]
    assert [found.splits[one]().image_ids(Problems()) for one in ("train", "val")] == [["a.jpg"], ["b.jpg"]]
    write(root / "ImageSets" / "Main" / "sunny_day.txt", "a\n")
    write(root / "ImageSets" / "Main" / "day.txt", "b\n")
    assert find_set(root).own_splits == ["train", "val", "day", "sunny_day"]


def test_long_lines_of_a_list_are_cut_in_messages(tmp_path):
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(["../" + "x" * 9000, "y" * 4000, "y" * 4000]))
    problems = Problems()
    assert read_split_file(VocFolder(tmp_path, ""), "train", problems) == ["y" * 4000]
    assert [len(one.message) < 400 for one in problems.records] == [True, True]
