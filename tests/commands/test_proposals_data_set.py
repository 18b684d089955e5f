"""sppnet proposals over a data set: processes, resuming, odd and bad images, every fault, every figure."""

import csv
import json

import numpy as np
import pytest

from detection.commands.proposals import main
from detection.storage import read_arrays

OBJECT = [("cat", (10, 20, 60, 80))]


def blobs(seed, size=(90, 120)):
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), 120, np.uint8)
    for _ in range(5):
        x, y = rng.integers(0, size[1] - 40), rng.integers(0, size[0] - 40)
        image[y : y + 38, x : x + 38] = rng.integers(0, 255, 3)
    return image


@pytest.fixture
def call(tmp_path, capsys):
    """Runs the tool on tmp_path/VOCdevkit; returns (exit status, what it printed)."""

    def run(command, *options, folder="run", workers=1):
        common = ["--dataset.root", str(tmp_path / "VOCdevkit"), "--run", str(tmp_path / folder)]
        status = main([command, *common, "--workers", str(workers), *map(str, options)])
        printed = capsys.readouterr()
        return status, " ".join((printed.out + printed.err).split())

    return run


def proposals_of(folder):
    return {path.stem: read_arrays(path)[0]["boxes"] for path in sorted((folder / "proposals").glob("*.safetensors"))}


def test_several_processes_make_the_proposals_of_one(call, make_devkit, tmp_path):
    train = {f"{number:06d}": OBJECT for number in range(5)}
    make_devkit({"trainval": train, "test": {"000009": OBJECT}}, images={one: blobs(int(one)) for one in train})
    assert call("generate", folder="one")[0] == 0
    assert "made 6, kept 0" in call("generate", folder="two", workers=2)[1]
    one, two = proposals_of(tmp_path / "one"), proposals_of(tmp_path / "two")
    assert list(one) == list(two) == [*sorted(train), "000009"]
    for image_id, boxes in one.items():
        assert len(boxes) > 3
        assert boxes.tobytes() == two[image_id].tobytes()


def test_odd_images_have_proposals(call, make_devkit, tmp_path):
    """One px, one row, one column, one colour, grey values alone."""
    grey = np.repeat(blobs(3)[..., :1], 3, axis=2)
    shapes = {"point": (1, 1), "row": (1, 300), "column": (300, 1), "flat": (60, 80)}
    images = {name: np.full((*size, 3), 77, np.uint8) for name, size in shapes.items()} | {"grey": grey}
    objects = {name: OBJECT if name == "grey" else [] for name in images}
    make_devkit({"trainval": objects, "test": {"000009": OBJECT}}, images=images)
    status, printed = call("generate", "--proposals.min_side", 0)
    assert status == 0, printed
    found = proposals_of(tmp_path / "run")
    for name, (height, width) in shapes.items():
        assert found[name].tolist() == [[0, 0, width, height]]
    assert len(found["grey"]) > 3
    # At the default of 20 px, an image without proposals is no error.
    assert call("generate", folder="other")[0] == 0
    assert {name for name, boxes in proposals_of(tmp_path / "other").items() if len(boxes) == 0} == {
        "point", "row", "column",
    }  # fmt: skip


def test_bad_images_are_listed_at_the_end_and_made_when_they_are_repaired(call, make_devkit, tmp_path):
    names = ["000001", "000002", "000003", "000004"]
    root = make_devkit({"trainval": dict.fromkeys(names, OBJECT), "test": {"000009": OBJECT}})
    photos = root / "VOC2007" / "JPEGImages"
    whole = {name: (photos / f"{name}.jpg").read_bytes() for name in names}
    (photos / "000002.jpg").write_bytes(whole["000002"][: len(whole["000002"]) // 2])
    (photos / "000004.jpg").write_bytes(b"no image")
    _, printed = call("generate")
    assert list(proposals_of(tmp_path / "run")) == ["000001", "000003", "000009"]
    for name in ("000002", "000004"):
        assert printed.rfind(f"{name}.jpg") > printed.rfind("proposals:")
    before = proposals_of(tmp_path / "run")
    for name, content in whole.items():
        (photos / f"{name}.jpg").write_bytes(content)
    status, printed = call("generate")
    assert status == 0
    assert "made 2, kept 3" in printed
    after = proposals_of(tmp_path / "run")
    assert list(after) == [*names, "000009"]
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_check_lists_every_fault_and_fix_leaves_none(call, make_devkit, tmp_path):
    names = [f"{number:06d}" for number in range(1, 6)]
    make_devkit({"trainval": dict.fromkeys(names, OBJECT), "test": {"000009": OBJECT}})
    good = [[0, 0, 120, 90], [10, 20, 60, 81], [3, 4, 40, 50]]
    proposals = dict.fromkeys([*names, "000009"], good)
    proposals["000001"] = [*good, [-5, 0, 10, 95], [7, 7, 7, 9], [20, 15, 10, 5], [3, 4, 40, 50]]
    proposals["000002"] = [[float("nan"), 0, 1, 1], *good]
    proposals["000003"] = []
    (tmp_path / "old.json").write_text(json.dumps(proposals))
    status, printed = call("check", "--windows", tmp_path / "old.json", "--fix")
    assert status == 1
    with (tmp_path / "run" / "proposals" / "faults.csv").open() as file:
        rows = {(row["image_id"], row["fault"], row["row"]) for row in csv.DictReader(file)}
    assert rows == {
        ("000001", "outside", "3"),
        ("000001", "empty", "4"),
        ("000001", "swapped", "5"),
        ("000001", "duplicate", "6"),
        ("000002", "not finite", "0"),
        ("000003", "no proposals", ""),
    }
    assert "3 proposals dropped, 2 images changed" in printed
    fixed = tmp_path / "old.fixed.npz"
    status, printed = call("check", "--windows", fixed)
    assert status == 1
    assert "1 no proposals" in printed
    assert (tmp_path / "run" / "proposals" / "faults.csv").read_text().split()[1:] == ["000003,no", "proposals,"]


def test_report_has_every_figure(call, make_devkit, tmp_path):
    images = {"small": (10, 10, 30, 30), "medium": (0, 0, 60, 60), "large": (0, 0, 120, 90)}
    objects = {name: [("cat" if name == "small" else "dog", box)] for name, box in images.items()}
    make_devkit({"trainval": {"000001": [*OBJECT, ("dog", (0, 0, 50, 50))]}, "test": objects})
    # Overlaps 1, 0.5 and 0.75.
    proposals = {"small": [[10, 10, 30, 30]], "medium": [[0, 0, 60, 30]], "large": [[0, 0, 90, 90]]}
    (tmp_path / "some.json").write_text(json.dumps(proposals))
    assert call("report", "--windows", tmp_path / "some.json")[0] == 0
    with (tmp_path / "run" / "proposals" / "figures.csv").open() as file:
        figures = {row["figure"]: float(row["some.json"]) for row in csv.DictReader(file)}
    recall = [1, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3]
    for step, value in enumerate(recall):
        assert figures[f"recall at IoU {round(0.5 + 0.05 * step, 2):g}"] == pytest.approx(value)
    assert figures["average recall"] == pytest.approx(np.mean(recall))
    assert figures["MABO"] == pytest.approx((1 + 0.625) / 2)
    assert figures["best overlap, dog"] == pytest.approx(0.625)
    for name, value in (("small", 1), ("medium", 0.5), ("large", 0.75)):
        assert figures[f"objects, {name}"] == 1
        assert figures[f"best overlap, {name}"] == pytest.approx(value)
    with (tmp_path / "run" / "proposals" / "recall_by_iou.csv").open() as file:
        rows = list(csv.reader(file))
    assert [float(one) for one in rows[1]] == pytest.approx([0.5, 1])
    assert [float(one) for one in rows[-1]] == pytest.approx([1, 1 / 3])
