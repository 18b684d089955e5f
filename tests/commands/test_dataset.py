"""The command dataset from the command line."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.commands import dataset_stats
from detection.commands.dataset_stats import ObjectTable, object_table, picture, size_bins
from detection.data import read_dataset, read_image
from detection.data.checking import read_for_checking
from detection.data.formats.finding import find_set


@pytest.fixture
def tool(load_tool, capsys, monkeypatch):
    """``tool(*arguments)``: (exit status, what was printed)."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        status = load_tool("dataset").main([str(one) for one in arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


@pytest.fixture
def photos(make_devkit, tmp_path):
    """A plain folder of 10 photos with XML beside them."""
    objects = [("cat", (10, 20, 60, 80)), ("dog", (0, 0, 100, 70), True)]
    devkit = make_devkit({"trainval": {f"p{number}": objects[: 1 + number % 2] for number in range(10)}}) / "VOC2007"
    folder = tmp_path / "photos"
    shutil.copytree(devkit / "JPEGImages", folder)
    shutil.copytree(devkit / "Annotations", folder, dirs_exist_ok=True)
    shutil.rmtree(devkit.parent)
    return folder


def test_check(tool, photos, tmp_path):
    status, said = tool("check", photos)
    assert status == 0
    assert f"{photos}: format folder" in said
    assert "no fault that makes training wrong" in said
    path = photos / "p1.xml"
    path.write_text(path.read_text().replace("<xmax>60", "<xmax>600"))
    Image.open(photos / "p2.jpg").save(photos / "p2.jpg")
    cut = (photos / "p2.jpg").read_bytes()
    (photos / "p2.jpg").write_bytes(cut[: len(cut) // 2])
    status, said = tool("check", photos, "--fix", tmp_path / "fixed")
    assert status == 1
    assert "p1.xml:5: error: box reaching outside the image" in said
    assert "p2.jpg: error: unreadable image" in said
    assert "training would be wrong" in said
    listed = (tmp_path / "fixed" / "faults.txt").read_text()
    assert "-> repaired" in listed
    assert "-> left out" in listed
    assert len(read_dataset(tmp_path / "fixed").images) == 9
    assert tool("check", tmp_path / "fixed")[0] == 0
    assert tool("check", photos, "--fix", tmp_path / "fixed")[0] == 2


def test_convert_and_split(tool, photos, tmp_path):
    original = {one.image_id: one.boxes.tolist() for one in read_dataset(photos).images}
    status, said = tool("convert", photos, "--to", "yolo", "--out", tmp_path / "y")
    assert status == 0
    assert "lost, because the format cannot hold it: difficult: 5" in said
    status, said = tool("convert", tmp_path / "y", "--to", "coco", "--out", tmp_path / "c")
    assert {one.image_id: one.boxes.tolist() for one in read_dataset(tmp_path / "c").images} == original
    assert "lost, because the format cannot hold it: nothing" in said
    assert tool("convert", photos, "--to", "auto", "--out", tmp_path / "a")[0] == 2
    status, said = tool("split", tmp_path / "c", "--out", tmp_path / "s", "--share", "0.4", "--seed", "3")
    assert status == 0
    assert "dog: 3 objects in trainval, 2 in test" in said
    parts = [read_dataset(tmp_path / "s", split) for split in ("trainval", "test")]
    assert [len(one.images) for one in parts] == [6, 4]
    assert sorted(image.image_id for one in parts for image in one.images) == sorted(original)
    assert tool("split", tmp_path / "c", "--out", tmp_path / "s")[0] == 2


def test_class_map(tool, photos, tmp_path):
    status, _ = tool(
        "convert", photos, "--to", "coco", "--out", tmp_path / "c", '--class_map={"cat": "puss", "dog": null}'
    )
    assert status == 0
    assert read_dataset(tmp_path / "c").classes == ("puss",)


def test_show_and_stats(tool, photos, tmp_path):
    status, said = tool("show", photos, "--count", "4", "--columns", "2", "--out", tmp_path / "sheet.png")
    assert (status, "4 of 10 images" in said) == (0, True)
    sheet = read_image(tmp_path / "sheet.png")
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 100
    options = ["--sample", "2", "--proposals.preset", "single", "--out", tmp_path / "stats.png"]
    status, said = tool("stats", photos, *options)
    assert status == 0
    assert "objects an image: mean 1.5, most 2, none in 0" in said
    rows = [line.split() for line in said.splitlines()]
    assert next(row for row in rows if row[:1] == ["dog"])[1:4] == ["5", "5", "5"]
    assert next(row for row in rows if row[:3] == ["48", "to", "64"])[3:5] == ["10", "66.7%"]
    assert read_image(tmp_path / "stats.png").shape == (840, 1120, 3)


def test_sizes_are_counted_once(photos):
    found = find_set(photos)
    images = read_for_checking(found, ["all"], None, {}).splits["all"]
    table = object_table(images, {images[1].path: np.array([0.25, 0.75])})
    assert table.side[:2].tolist() == [np.sqrt(50 * 60), np.sqrt(50 * 60)]
    assert np.isnan(table.overlap[0])
    assert table.overlap[1:3].tolist() == [0.25, 0.75]
    assert sum(rows.sum() for _, _, rows in size_bins(table.side)) == len(table.side) == 15
    assert object_table([], {}).side.shape == (0,)


def charts_of(monkeypatch, table, per_image):
    """Title -> (axis across, name of a line -> its points) of the charts of the picture."""
    charts = {}

    def drawn(title, across, up, lines, legend=None):
        charts[title] = across, {one.name: list(zip(one.x, one.y, strict=True)) for one in lines}
        return np.zeros((2, 3, 3), np.uint8)

    monkeypatch.setattr(dataset_stats, "line_chart", drawn)
    assert picture(table, per_image).shape == (4, 6, 3)
    return charts


def test_what_the_charts_show(monkeypatch):
    table = ObjectTable(
        name=np.array(["cat", "dog", "dog", "dog"], dtype=object),
        difficult=np.zeros(4, bool),
        side=np.array([100.0, 20, 10, 20]),
        aspect=np.array([2.0, 1, 0.5, 4]),
        overlap=np.array([0.5, 0.7, np.nan, 0.6]),
        image=np.array([0, 0, 0, 1]),
        images=3,
    )
    charts = charts_of(monkeypatch, table, np.array([3, 1, 0]))
    sizes, shapes = (charts[f"Objects of at most this {one}"][1] for one in ("size", "shape"))
    assert list(sizes) == list(shapes) == ["all", "dog", "cat"]  # classes by their objects
    assert sizes["all"] == [(10, 0.25), (20, 0.5), (20, 0.75), (100, 1)]
    assert sizes["cat"] == [(100, 1)]
    assert np.allclose(shapes["dog"], [(0.5, 1 / 3), (1, 2 / 3), (4, 1)])
    # Of sizes that were searched, at their middle: 20 px found at 0.7 and 0.6, 100 px at 0.5.
    assert charts["Recall of proposals by size"][1] == {
        "IoU at least 0.5": [(20, 1), (100, 1)],
        "IoU at least 0.7": [(20, 0.5), (100, 0)],
    }
    crowding, lines = charts["Images with at most so many objects"]
    assert (crowding.low, crowding.high, list(crowding.ticks)) == (0, 3, [0, 1, 2, 3])
    assert np.allclose(lines["images"], [(0, 1 / 3), (1, 2 / 3), (3, 1)])


@pytest.mark.parametrize(
    ("per_image", "ticks"), [([12, 1], [0, 3, 6, 9, 12]), ([2], [0, 1, 2]), ([1], [0, 1]), ([0], [0, 1]), ([], [0, 1])]
)
def test_crowding_reaches_to_the_fullest_image(monkeypatch, per_image, ticks):
    charts = charts_of(monkeypatch, object_table([], {}), np.array(per_image, np.int64))
    axis = charts["Images with at most so many objects"][0]
    assert (axis.high, list(axis.ticks)) == (ticks[-1], ticks)


def test_wrong_calls(tool, tmp_path):
    assert tool("nothing")[0] == 2
    status, said = tool("check", tmp_path / "absent")
    assert (status, "found nothing there" in said) == (2, True)
    status, said = tool("stats", tmp_path)
    assert (status, "expected a data set" in said) == (2, True)


@pytest.mark.parametrize("command", ["check", "stats", "convert", "split", "show"])
def test_help(load_tool, capsys, command):
    with pytest.raises(SystemExit) as end:
        load_tool("dataset").main([command, "--help"])
    assert end.value.code == 0
    assert "--class_map" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["dataset", "download_voc"])
def test_the_tool_starts_without_torch(name):
    path = Path(__file__).resolve().parents[2] / "tools" / f"{name}.py"
    code = f"import runpy, sys; runpy.run_path({str(path)!r}); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("command", ["check", "stats", "convert", "split", "show"])
def test_every_command_tells_the_sum(tool, photos, tmp_path, command):
    out = {"convert": ["--to", "coco"], "stats": ["--sample", "0"]}.get(command, [])
    out += ["--out", tmp_path / "out.png"] if command in ("convert", "split", "show") else []
    _, said = tool(command, photos, *out)
    assert f"{photos}: 10 pictures found = 10 read + 0 left out" in said
    assert f"{photos}: 15 objects found = 15 read + 0 left out" in said
    if command in ("convert", "split"):
        assert "10 pictures read = 10 written + 0 left out" in said
        assert "15 objects read = 15 written + 0 left out" in said
    if command == "check":
        assert "training would learn 2 classes from" in said


def test_what_is_not_written_is_in_the_sum(tool, photos, tmp_path):
    cut = (photos / "p2.jpg").read_bytes()
    (photos / "p2.jpg").write_bytes(cut[: len(cut) // 2])
    shutil.copy(photos / "p3.jpg", photos / "p4.jpg")
    text = (photos / "p5.xml").read_text()
    one = text[text.index("<object>") : text.index("</object>") + len("</object>")]
    (photos / "p5.xml").write_text(text.replace(one, one + one))
    status, said = tool("check", photos, "--fix", tmp_path / "fixed")
    assert status == 1
    assert "16 objects found = 16 read + 0 left out" in said
    assert "10 pictures read = 9 written + 1 left out (1 unreadable image)" in said
    assert "16 objects read = 14 written + 2 left out (1 object given twice, 1 unreadable image)" in said


def test_exit_status(tool, photos, tmp_path):
    assert tool("check", photos)[0] == 0
    for path in photos.glob("*.xml"):
        path.write_text("<annotation></annotation>")
    status, said = tool("check", photos)
    assert status == 1
    assert "error: training refuses the set" in said
    assert "expected annotated objects, got none" in said
    assert tool("check", tmp_path / "absent")[0] == 2


def test_names_on_the_command_line_are_text(tool, photos, tmp_path):
    status, _ = tool("convert", photos, "--to", "yolo", "--out", tmp_path / "y", "--class_map={cat: NO, dog: 007}")
    assert status == 0
    assert read_dataset(tmp_path / "y", "train").classes == ("007", "NO")
    status, said = tool("check", photos, '--class_map={"cat": "a\\u001bb"}')
    assert status == 2
    assert r"class name that no file can hold: expected letters, digits and signs, got '\x1b'" in said


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("cls_operators", 0, ["50 objects found = 50 read"]),
        ("cls_blood", 0, ["warning: classes that look alike"]),
        ("exif3_stored", 0, ["8 warning: rotated image"]),
        ("rf_coco", 0, ["12 pictures found = 12 read", "trainval is train and valid"]),
        ("coco_no_annotations", 1, ["expected annotated objects, got none"]),
        ("yolo_same_names3", 1, ["dataset.train: [{split: train, name: train}"]),
        ("convert_surrogate_message", 1, [r"x.json:1: error: class name that no file can hold", r"'a\ud800b'"]),
    ],
)
def test_samples(tool, shared_faults, name, status, words):
    found, said = tool("check", shared_faults / name / "input")
    assert found == status
    for one in words:
        assert one in said


def test_samples_are_converted_whole(tool, shared_faults, tmp_path):
    status, said = tool("convert", shared_faults / "yolo_same_names3" / "input", "--to", "voc", "--out", tmp_path / "v")
    assert status == 0
    assert "12 pictures read = 12 written + 0 left out" in said
    assert said.count(" is written as ") == 4
    assert tool("split", shared_faults / "yolo_same_names3" / "input", "--out", tmp_path / "s")[0] == 0
    assert len(list((tmp_path / "s" / "images").rglob("*.jpg"))) == 12
    assert tool("convert", shared_faults / "yaml_norway" / "input", "--to", "yolo", "--out", tmp_path / "y")[0] == 0
    assert read_dataset(tmp_path / "y", "train").classes == ("SE", "NO")


@pytest.mark.parametrize("command", [("convert", "--to", "folder"), ("split",), ("check", "--fix")])
def test_a_split_that_cannot_be_read_is_not_lost(tool, photos, tmp_path, command):
    """Nothing is written without it, unless the others are named."""
    name, *rest = command
    assert tool("split", photos, "--out", tmp_path / "parts")[0] == 0
    assert tool("convert", tmp_path / "parts", "--to", "coco", "--out", tmp_path / "coco")[0] == 0
    content = tmp_path / "coco/annotations/instances_test.json"
    content.write_text(content.read_text()[:-9])
    out = (*rest, tmp_path / "out") if "--fix" in rest else (*rest, "--out", tmp_path / "out")
    status, said = tool(name, tmp_path / "coco", *out)
    assert status == 2
    assert "split that cannot be read: test: " in said
    assert "instances_test.json" in said
    assert "nothing is written; --splits names those to write" in said
    assert not (tmp_path / "out").exists()
    status, said = tool(name, tmp_path / "coco", *out, "--splits", "trainval")
    assert status != 2
    assert (tmp_path / "out").is_dir()
