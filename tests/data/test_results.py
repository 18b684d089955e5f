import json
from pathlib import Path

import numpy as np
import pytest

from detection.data import Problems, write_coco_results, write_comp4
from detection.data.matching_ids import images_by_ids
from detection.data.results import find_results, read_results
from detection.types import AnnotatedImage, Detections

CLASSES = ("cat", "dog house")


def image(image_id, size=(100, 200)):
    none = np.zeros(0, bool)
    boxes, labels = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    return AnnotatedImage(image_id, Path("images", f"{image_id}.jpg"), size, boxes, labels, none)


IMAGES = [image("000001"), image("sub/x y", (50, 60))]
FOUND = [
    Detections(
        "000001",
        np.array([[10, 20, 30, 60], [0, 0, 200, 100]], np.float32),
        np.array([0.75, 0.5], np.float32),
        np.array([1, 0]),
    ),
    Detections("sub/x y", np.array([[6, 5, 12, 10]], np.float32), np.array([0.25], np.float32), np.array([0])),
]


def read(path, numbers=None, problems=None, images=IMAGES, classes=CLASSES, split="test", **more):
    problems = Problems() if problems is None else problems
    return read_results(find_results(path, split), images, classes, numbers, split, problems, **more)


def same(got, expected):
    assert sorted(one.image_id for one in got) == sorted(one.image_id for one in expected)
    for one in expected:
        (other,) = [record for record in got if record.image_id == one.image_id]
        assert other.boxes.tolist() == one.boxes.tolist()
        assert other.scores.tolist() == one.scores.tolist()
        assert other.labels.tolist() == one.labels.tolist()


def test_coco_results(tmp_path):
    write_coco_results(tmp_path / "a.json", FOUND)
    same(read(tmp_path / "a.json", {1: "cat", 2: "dog house"}), FOUND)
    same(read(tmp_path, {1: "cat", 2: "dog house"}), FOUND)


def test_cocos_own_numbers(tmp_path):
    rows = [{"image_id": 7, "category_id": 90, "bbox": [6, 5, 6, 5], "score": 0.25}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    numbers = {90: "cat", 3: "dog house"}
    same(read(tmp_path / "a.json", numbers, source_ids={"sub/x y": "7", "000001": "000001"}), FOUND[1:])
    rows[0]["category_id"] = 91
    (tmp_path / "a.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"a.json: row 1: expected a class number of 3 to 90, got 91"):
        read(tmp_path / "a.json", numbers)


@pytest.mark.parametrize("salt", ["comp4_", "comp3_", "comp4_d3f0_"])
def test_the_devkits_files(tmp_path, salt):
    write_comp4(tmp_path, "test", FOUND, CLASSES)
    for path in tmp_path.iterdir():
        path.rename(path.with_name(path.name.replace("comp4_", salt, 1).replace("%20", " ")))
    assert find_results(tmp_path).classes("test") == CLASSES
    same(read(tmp_path), FOUND)


def test_the_devkits_files_of_a_split_among_others(tmp_path):
    write_comp4(tmp_path, "val", FOUND[:1], CLASSES)
    write_comp4(tmp_path, "test", FOUND[1:], CLASSES)
    same(read(tmp_path, split="test"), FOUND[1:])
    same(read(tmp_path, split="val"), FOUND[:1])


def test_yolo(tmp_path):
    (tmp_path / "labels/sub").mkdir(parents=True)
    (tmp_path / "labels/classes.txt").write_text("cat\ndog house\n")
    (tmp_path / "labels/000001.txt").write_text("1 0.1 0.4 0.1 0.4 0.75\n0 0.5 0.5 1 1 0.5\n\n")
    (tmp_path / "labels/x y.txt").write_text("0 0.15 0.15 0.1 0.1 0.25\n")
    found = find_results(tmp_path / "labels")
    assert found.format == "yolo"
    got = read(tmp_path / "labels", {0: "cat", 1: "dog house"})
    for one, other in zip(got, FOUND, strict=True):
        assert one.image_id == other.image_id
        assert one.boxes == pytest.approx(other.boxes, abs=1e-4)
        assert one.labels.tolist() == other.labels.tolist()
    (tmp_path / "labels/x y.txt").rename(tmp_path / "labels/sub/x y.txt")
    assert [one.image_id for one in read(tmp_path / "labels", {0: "cat", 1: "dog house"})] == ["000001", "sub/x y"]


def test_yolo_of_an_unknown_image_stays_in_shares(tmp_path):
    (tmp_path / "z.txt").write_text("0 0.5 0.5 0.5 0.5 0.75")
    (one,) = read(tmp_path / "z.txt", {0: "cat"})
    assert (one.image_id, one.boxes.tolist()) == ("z", [[0.25, 0.25, 0.75, 0.75]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.5 0.5", "got '0 0.5 0.5 0.5 0.5'; the confidence is missing"),
        ("cat 0.5 0.5 0.5 0.5 0.5", "expected 'class x y width height confidence'"),
        ("0 0.5 0.5 nan 0.5 0.5", "expected 'class x y width height confidence'"),
        ("7 0.5 0.5 0.5 0.5 0.5", "expected a class number of 0 to 0, got 7"),
    ],
)
def test_bad_yolo_lines(tmp_path, line, message):
    (tmp_path / "000001.txt").write_text("0 0.5 0.5 0.5 0.5 0.75\n" + line)
    with pytest.raises(ValueError, match=rf"000001.txt: line 2: .*{message}"):
        read(tmp_path, {0: "cat"})


def test_box_without_area_is_kept_and_told(tmp_path):
    rows = [{"image_id": "000001", "category_id": 1, "bbox": [6, 5, 0, 5], "score": 0.25}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    problems = Problems()
    (one,) = read(tmp_path / "a.json", {1: "cat"}, problems)
    assert one.boxes[0, 2] == np.nextafter(np.float32(6), np.float32(7))
    assert [(record.action, record.kind) for record in problems] == [
        ("repaired", "detection without area, a false positive")
    ]


def test_unknown_classes_are_left_out_and_told(tmp_path):
    write_comp4(tmp_path, "test", FOUND, CLASSES)
    problems = Problems()
    got = read(tmp_path, problems=problems, classes=("cat",))
    assert sum(len(one.labels) for one in got) == 2
    assert [(record.action, record.message) for record in problems] == [("left out", "1 detections")]
    assert "'dog house'" in next(iter(problems)).kind


def test_numbers_without_names(tmp_path):
    write_coco_results(tmp_path / "a.json", FOUND)
    with pytest.raises(ValueError, match=r"a.json: row 1: the class is number 2, .* --classes FILE"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("content", ["", "[]"])
def test_no_detection_at_all(tmp_path, content):
    path = tmp_path / ("a.json" if content else "000001.txt")
    path.write_text(content)
    assert read(path, {0: "cat", 1: "dog house"}) == []


def test_nothing_usable(tmp_path):
    with pytest.raises(ValueError, match="found nothing there"):
        find_results(tmp_path / "absent")
    with pytest.raises(ValueError, match="expected COCO results"):
        find_results(tmp_path)
    for name in ("a", "b"):
        write_coco_results(tmp_path / f"{name}.json", FOUND)
    with pytest.raises(ValueError, match=r"expected one json of COCO results, got a.json, b.json"):
        find_results(tmp_path, "test")
    assert find_results(tmp_path, "b").files[""].name == "b.json"


def test_run_folder_stands_for_its_detections(tmp_path):
    write_coco_results(tmp_path / "detections/test.json", FOUND)
    same(read(tmp_path, {1: "cat", 2: "dog house"}), FOUND)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a.jpg", "b.png"], {"a.jpg": "a", "b.png": "b"}),
        (["x/train/a.jpg", "C:\\x\\b.JPG"], {"x/train/a.jpg": "a", "C:\\x\\b.JPG": "b"}),
        (["x/sub/c.jpg", "sub/c"], {"sub/c": "sub/c"}),  # the names as they are go first
        (["x/sub/c.jpg"], {"x/sub/c.jpg": "sub/c"}),
        (["val/c.jpg"], {}),  # another folder's
        (["1/a.jpg", "2/a.jpg"], {}),  # two pictures are not one
        (["a", "b.jpg"], {"b.jpg": "b", "a": "a"}),
    ],
)
def test_ids_that_are_files(given, expected):
    assert images_by_ids(given, {"a", "b", "sub/c"}, {}) == expected
