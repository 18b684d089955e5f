"""Damaged and hostile label files: each is read, or refused with a message that names it; none crashes or hangs."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from detection.data import Problems, read_dataset
from detection.data.labels import ImageObjects, LabelledObject
from detection.data.writing import write_dataset

KINDS = {
    "voc": ("Annotations/a.xml",),
    "coco": ("annotations/instances_train.json",),
    "yolo": ("labels/train/a.txt", "data.yaml"),
}
# In all 2,000.
COUNTS = {
    "Annotations/a.xml": 700,
    "annotations/instances_train.json": 600,
    "labels/train/a.txt": 500,
    "data.yaml": 200,
}
SPLICES = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"<!DOCTYPE a>", b"&x;", b"<object>", b"]]>", b"..", b"../../../etc/passwd",
    b"/etc/passwd", b"1e999", b"-1", b"NaN", b"Infinity", b"9" * 400, b"null", b"[", b"]", b"{", b"}", b'"', b",", b":",
    b"true", b"\r\n", b"\n", b"\xc3\x28", b"*a", b"&a", b"!!python/object/apply:os.getcwd []", b"0.5 0.5", b"\\u0000",
)  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """format -> folder of a small set, beside a picture that no file may reach."""
    folder = tmp_path_factory.mktemp("mutations")
    picture = folder / "outside.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(picture)
    items = tuple(
        LabelledObject(n, name, (n, 2.5, n + 9, 30), n == 2, extras={"pose": "Left"})
        for n, name in enumerate(["cat", "dog", "big cat"], start=1)
    )
    images = [ImageObjects("a", picture, (40, 60), items, picture), ImageObjects("b", picture, (40, 60), (), picture)]
    for fmt in KINDS:
        write_dataset(folder / fmt, fmt, {"train": images}, ["big cat", "cat", "dog"])
    return folder


def mutated(content: bytes, rng: random.Random) -> bytes:
    text = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        what = rng.randrange(6)
        if what == 0:
            del text[at : min(end, at + 30)]
        elif what == 1:
            text[at:at] = rng.choice(SPLICES)
        elif what == 2 and at < len(text):
            text[at] = rng.randrange(256)
        elif what == 3:
            text[at:at] = text[at : min(end, at + 60)] * rng.randint(1, 5)
        elif what == 4:
            del text[at:]
        elif at < len(text):
            text[at : at + 4] = rng.choice(SPLICES)
    return bytes(text)


@pytest.mark.parametrize("name", COUNTS)
def test_mutated_files_are_read_or_refused_by_name(sets, name):
    fmt = next(one for one, names in KINDS.items() if name in names)
    path = sets / fmt / name
    original = path.read_bytes()
    rng = random.Random(name)
    refused = told = 0
    try:
        for _ in range(COUNTS[name]):
            path.write_bytes(mutated(original, rng))
            found, problems, error = read(sets / fmt, fmt)
            if found is None:
                refused += 1
                # Where no class or no image is left, the reasons name the file.
                assert path.name in error or any(path.name in one.file for one in problems), error
                assert len(error) < 3000
            else:
                assert all(one.path.resolve().is_relative_to((sets / fmt).resolve()) for one in found.images)
            told += found is None or len(problems) > 0
            assert all(len(one.message) < 1000 for one in problems)
    finally:
        path.write_bytes(original)
    assert refused < COUNTS[name]
    assert told > 0


def read(folder, fmt):
    problems = Problems()
    try:
        found = read_dataset(folder, "train", fmt, problems=problems)
    except ValueError as error:
        return None, problems, str(error)
    return found, problems, ""


@pytest.fixture
def changed(sets):
    """``changed(format, name, content)`` replaces a file for one test."""
    kept = {}

    def change(fmt, name, content):
        path = sets / fmt / name
        kept.setdefault(path, path.read_bytes())
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return sets / fmt

    yield change
    for path, content in kept.items():
        path.write_bytes(content)


def xml_object(name):
    box = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def test_names_of_ten_megabytes(changed):
    name = "x" * 10_000_000
    texts = {
        ("voc", "Annotations/a.xml"): f"<annotation>{xml_object(name)}{xml_object('cat')}</annotation>",
        ("coco", "annotations/instances_train.json"): json.dumps(
            {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": [{"id": 1, "name": name}]}
        ),
        ("yolo", "labels/train/a.txt"): f"{name} 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1",
        ("yolo", "data.yaml"): f"names: [{name}]\ntrain: images/train\n",
    }
    for (fmt, file), text in texts.items():
        found, problems, error = read(changed(fmt, file, text), fmt)
        assert found is None or len(problems) == 1
        told = error + "".join(f"{one.file} {one.message}" for one in problems)
        assert file.rpartition("/")[2] in told
        assert len(told) < 5000


def test_a_file_name_of_ten_megabytes(changed):
    content = {"images": [{"id": 1, "file_name": "x/" * 5_000_000}, {"id": 2, "file_name": "b.png"}]}
    content |= {"annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    found, problems, _ = read(changed("coco", "annotations/instances_train.json", json.dumps(content)), "coco")
    assert [one.image_id for one in found.images] == ["b"]
    assert len(problems) == 1


def test_many_objects(changed):
    line = "1 0.5 0.5 0.25 0.25\n"
    found, problems, _ = read(changed("yolo", "labels/train/a.txt", line * 200_000), "yolo")
    assert len(found.images[0].boxes) == 200_000
    assert len(problems) == 0


def test_a_million_objects_of_xml_are_too_many(changed):
    text = f"<annotation>{xml_object('cat') * 1_000_000}</annotation>"
    found, problems, _ = read(changed("voc", "Annotations/a.xml", text), "voc")
    assert found is None or [one.image_id for one in found.images] == ["b"]
    assert {one.kind for one in problems} == {"annotation too large"}


ENTITIES = "".join(f'<!ENTITY {b} "{f"&{a};" * 9}">' for a, b in pairwise("abcdefghi"))
BOMB = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{ENTITIES}]><annotation>&i;</annotation>'


@pytest.mark.parametrize(
    "text",
    [
        "<annotation>" + "<a>" * 200_000,
        "<annotation>" + "<a>" * 100_000 + "</a>" * 100_000 + "</annotation>",
        BOMB,
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><annotation/>',
        '<?xml version="1.0" encoding="latin-1"?><annotation><object><name>\xe9</name></object></annotation>',
        '<?xml version="1.0" encoding="utf-16"?><annotation/>',
        "<annotation " + " ".join(f'a{n}="1"' for n in range(100_000)) + "/>",
    ],
    ids=["open", "deep", "bomb", "outside", "latin", "wrong", "attributes"],
)  # fmt: skip
def test_hostile_xml(changed, text):
    _, problems, _ = read(changed("voc", "Annotations/a.xml", text.encode("latin-1")), "voc")
    assert all(one.file.endswith("a.xml") for one in problems)


def test_latin_names_are_read_as_their_declaration_says(changed):
    head = '<?xml version="1.0" encoding="ISO-8859-1"?>'
    name = "caf\xe9"
    text = f"{head}<annotation>{xml_object(name)}</annotation>".encode("latin-1")
    assert read(changed("voc", "Annotations/a.xml", text), "voc")[0].classes == (name,)


def test_many_missing_images_and_many_classes(sets, changed):
    count = 20_000
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(count)] + [{"id": -1, "file_name": "b.png"}],
        "annotations": [{"id": n, "image_id": -1, "category_id": n, "bbox": [1, 1, 2, 2]} for n in range(count)],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(count)],
    }
    found, problems, _ = read(changed("coco", "annotations/instances_train.json", json.dumps(content)), "coco")
    assert len(found.images[0].boxes) == len(found.classes) == len(problems) == count
