"""Results as other programs write them: their ids, units and orders, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from detection.data import Problems
from detection.data.results import find_results, read_results
from detection.types import AnnotatedImage

NUMBERS = {0: "cat", 1: "dog"}


def image(image_id, size=(100, 200)):
    none = np.zeros(0, bool)
    boxes, labels = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    return AnnotatedImage(image_id, Path("images", f"{image_id}.jpg"), size, boxes, labels, none)


def write_rows(tmp_path, rows):
    """(image id, box) rows as COCO results of class 1."""
    keys = ("image_id", "category_id", "bbox", "score")
    path = tmp_path / "found.json"
    path.write_text(json.dumps([dict(zip(keys, (one, 1, box, 0.5), strict=True)) for one, box in rows]))
    return path


def read(path, images, source_ids=None, problems=None):
    found = find_results(path, "test", [one.image_id for one in images])
    problems = Problems() if problems is None else problems
    return read_results(found, images, ("cat", "dog"), NUMBERS, "test", problems, source_ids)


BOX = [6, 5, 10, 10]


@pytest.mark.parametrize(
    ("names", "numbers", "ids", "meant"),
    [
        # Every number is some image's name as well: integers are the annotations' numbers, text is a name.
        (("1", "2", "3"), (3, 1, 2), (1, 2, 3), ("2", "3", "1")),
        (("1", "2", "3"), (3, 1, 2), ("1", "2", "3"), ("1", "2", "3")),
        (("a", "b"), (7, 9), (9, 7), ("b", "a")),
        (("a", "b"), (7, 9), ("9", "7"), ("b", "a")),
        # Ultralytics' numbers of names, some of which are another image's number.
        (("000001", "000002", "000003"), (2, 3, 4), (1, 2, 3), ("000001", "000002", "000003")),
        (("000201", "x"), (1, 2), (201,), ("000201",)),
        # One name and its digits, or two names of the same digits: nothing is guessed.
        (("01", "001"), (5, 6), (1,), ("1",)),
        (("000201",), (1,), ("201", "0201"), ("201", "0201")),
        # Of other images, one of which has a number that is a name here.
        (("7", "8"), (1, 2), (1, 2, 7), ("7", "8", "number 7")),
    ],
)
def test_what_ids_mean(tmp_path, names, numbers, ids, meant):
    images = [image(one) for one in names]
    source_ids = dict(zip(names, map(str, numbers), strict=True))
    found = read(write_rows(tmp_path, [(one, BOX) for one in ids]), images, source_ids)
    assert [one.image_id for one in found] == list(meant)


def test_a_byte_order_mark(tmp_path):
    path = write_rows(tmp_path, [("a", BOX)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(path, [image("a")])[0].boxes) == 1
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbf1 0.5 0.5 0.5 0.5 0.9\n")
    assert len(read(tmp_path / "b.txt", [image("b")])[0].boxes) == 1


def test_numbers_beyond_all_bounds_name_their_row(tmp_path):
    for key, value in (
        ("bbox", [0, 0, 10**400, 1]),
        ("score", 10**400),
        ("category_id", 10**400),
        ("image_id", 10**400),
    ):
        rows = [{"image_id": "a", "category_id": 1, "bbox": BOX, "score": 1}] * 2
        rows[1] = {**rows[1], key: value}
        path = tmp_path / "found.json"
        path.write_text(json.dumps(rows))
        with pytest.raises(ValueError, match=r"found\.json: row 2: expected .*inf"):
            read(path, [image("a")])


def test_a_few_negative_sides_are_false_positives_and_many_are_another_order(tmp_path):
    def rows(negative):
        return [("a", BOX)] * (40 - negative) + [("a", [20, 5, -4, 10])] * negative

    for negative in (1, 4):
        problems = Problems()
        (found,) = read(write_rows(tmp_path, rows(negative)), [image("a")], problems=problems)
        assert len(found.boxes) == 40
        assert (found.boxes[-1] == [20, 5, np.nextafter(np.float32(20), np.float32(99)), 15]).all()
        assert [one.kind for one in problems] == ["detection without area, a false positive"] * negative
    with pytest.raises(ValueError, match=r"row 36: .* as 5 of 40 in .*found\.json do: .*another order"):
        read(write_rows(tmp_path, rows(5)), [image("a")])


@pytest.mark.parametrize("kind", ["coco", "devkit", "classes"])
def test_shares_where_px_are_expected(tmp_path, kind):
    def written(shares, px):
        if kind == "coco":
            return write_rows(tmp_path, [("a", [0.2, 0.2, 0.5, 0.5])] * shares + [("a", BOX)] * px)
        folder = tmp_path / "found"
        folder.mkdir(exist_ok=True)
        text = "a 0.5 0.2 0.2 0.7 0.7\n" * shares + "a 0.5 6 5 16 15\n" * px
        (folder / ("comp4_det_test_cat.txt" if kind == "devkit" else "cat.txt")).write_text(text)
        return folder

    assert len(read(written(1, 1), [image("a")])[0].boxes) == 2
    assert len(read(written(3, 0), [image("a", (8, 8))])[0].boxes) == 3
    with pytest.raises(ValueError, match=r"found.*: 2 of 3 boxes end within 2 px .* seem to be shares of the image"):
        read(written(2, 1), [image("a")])


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("0 0.97 20.5 60 50 80", "class confidence left top right bottom"),
        ("0 0.97 0 20.5 0.5 80", "class confidence left top right bottom"),
        ("0 35 70 30 20 0.97", "class x y width height confidence"),
    ],
)
def test_px_where_shares_are_expected(tmp_path, line, order):
    path = tmp_path / "a.txt"
    path.write_text("1 0.5 0.5 0.5 0.5 0.9\n" + line)
    read(path, [image("a")])
    path.write_text(f"1 0.5 0.5 0.5 0.5 0.9\n{line}\n{line}")
    with pytest.raises(ValueError, match=rf"a\.txt: line 2: expected shares .* 2 of 3 lines .* seem to be '{order}'"):
        read(path, [image("a")])


def test_files_of_classes(tmp_path):
    """Detectron2's: CLASS.txt with id, score and corners, 1-based and inclusive."""
    folder = tmp_path / "found"
    folder.mkdir()
    (folder / "cat.txt").write_text("000001 0.75 11 21 30 60\nx y 0.5 1 1 200 100\n")
    (folder / "traffic_light.txt").write_text("000001 0.25 1 1 2 2\n")
    (folder / "dog.txt").write_text("")
    images = [image("000001"), image("x y")]
    found = find_results(folder, "test", ["000001", "x y"])
    assert (found.format, found.classes("test")) == ("classes", ("cat", "dog", "traffic_light"))
    problems = Problems()
    first, second = read(folder, images, problems=problems)
    assert (first.image_id, first.boxes.tolist(), second.image_id) == ("000001", [[10, 20, 30, 60]], "x y")
    assert [one.kind for one in problems] == ["detections of the unknown class 'traffic_light'"]


def test_files_of_images_are_no_files_of_classes(tmp_path):
    """The numbers of classes may be names of images too."""
    for name in ("1", "2"):
        (tmp_path / f"{name}.txt").write_text("1 0.5 0.5 0.5 0.5 0.9\n")
    assert find_results(tmp_path, "test", ["1", "2"]).format == "yolo"
    assert find_results(tmp_path, "test", ["3"]).format == "yolo"
    assert find_results(tmp_path, "test").format == "yolo"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("ev_padilla_px", "seem to be 'class confidence left top right bottom'"),
        ("detections_json_hugeint", "row 1: expected a finite score and box"),
    ],
)
def test_shared_faults(shared_faults, name, fault):
    folder = shared_faults / name / "input"
    (path,) = [one for one in folder.iterdir() if one.name != "instances_test.json"]
    with pytest.raises(ValueError, match=fault):
        read_results(find_results(path), [], ("a",), dict.fromkeys(range(20), "a"), None, Problems())
