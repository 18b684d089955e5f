import json
from types import SimpleNamespace

import numpy as np
import pytest

from detection.classification.classify import load_classifier

SMALL = [
    "--features.backbone=timm/mobilenetv3_small_050", "--features.weights=random", "--features.stages=[16]",
    "--features.levels=[2,1]", "--intervals.resamples=20", "--workers=1",
]  # fmt: skip


@pytest.fixture
def train(load_tool, tmp_path, capsys):
    """Runs the tool in tmp_path/run; returns (exit status, what it printed, run folder)."""

    def run(*arguments):
        status = load_tool("train_classifier").main([*SMALL, f"--run={tmp_path / 'run'}", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err, tmp_path / "run"

    return run


@pytest.fixture
def devkit(make_devkit):
    boxes = {"red": [("red", (0, 0, 60, 60))], "blue": [("blue", (0, 0, 60, 60))]}
    splits, images = {}, {}
    rng = np.random.default_rng(0)
    for split, count in (("trainval", 12), ("test", 8)):
        splits[split] = {}
        for number in range(count):
            name = ("red", "blue")[number % 2]
            splits[split][f"{split}{number}"] = boxes[name]
            noise = rng.integers(0, 90, (64, 80, 3))
            noise[:, :, 0 if name == "red" else 2] += 150
            images[f"{split}{number}"] = noise.astype(np.uint8)
    return make_devkit(splits, images=images)


def test_softmax_at_several_sizes_and_views(train, devkit):
    status, printed, run = train(
        "--dataset.root", devkit, "--classifier.sizes=[64,48]", "--classifier.epochs=40", "--classifier.widths=[16,16]",
        "--classifier.batch_size=4", "--classifier.dropout=0.1",
        "--views", "full", "crop", "ten", "multi", "--multi_sizes", 64, 80,
    )  # fmt: skip
    assert status == 0, printed
    assert "12 training and 8 test images, 2 classes" in printed
    found = json.loads((run / "classifier" / "evaluation.json").read_text())
    assert [(one["view"], one["sizes"]) for one in found] == [
        ("full", [64]), ("full", [48]), ("crop", [64]), ("crop", [48]), ("ten", [64]), ("ten", [48]),
        ("multi", [64, 80]),
    ]  # fmt: skip
    assert found[0]["accuracy"] == 1
    assert found[0]["mAP"] == pytest.approx(1)
    assert found[1]["against_the_first"]["verdict"] in ("undecided", "worse")
    log = (run / "classifier" / "log.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in log[:4]] == [["epoch", "size"], ["1", "64"], ["2", "48"], ["3", "64"]]
    classifier, classes = load_classifier(run / "classifier" / "classifier.safetensors")
    assert classes == ("blue", "red")
    length = len(classifier.arrays["shift"])
    assert classifier.score(np.zeros((3, length), np.float32)).shape == (3, 2)


def test_pyramids_of_svms_on_a_folder_of_images(train, devkit, tmp_path):
    for part, split in (("train", "trainval"), ("test", "test")):
        for name in ("red", "blue"):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(0 if name == "red" else 1, 6, 2):
                source = devkit / "VOC2007" / "JPEGImages" / f"{split}{number}.jpg"
                (folder / source.name).write_bytes(source.read_bytes())
    status, printed, run = train(
        "--folder", tmp_path / "photos", "--classifier.method=svm", "--classifier.sizes=[64]", "--views", "crop",
        "full", "--pyramids", "1", "2,1",
    )  # fmt: skip
    assert status == 0, printed
    found = json.loads((run / "classifier" / "pyramids.json").read_text())
    assert [one["view"] for one in found] == ["crop 1", "full 1", "crop 2,1", "full 2,1"]
    assert all(one["mAP"] == pytest.approx(1) for one in found)


def test_maps_of_ones_own(train, tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 4)):
        for label, name in enumerate(("a", "b")):
            for number in range(count):
                values = rng.random((4, 3 + number, 5)).astype(np.float16)
                values[label, 1, 1] += 2
                path = tmp_path / "maps" / part / name / f"{number}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, values)
    options = ("--maps", tmp_path / "maps", "--classifier.method=svm", "--views", "full", "--classifier.svm_c=10")
    status, printed, run = train(*options)
    assert status == 0, printed
    (found,) = json.loads((run / "classifier" / "evaluation.json").read_text())
    assert found["accuracy"] == 1
    (tmp_path / "maps" / "test" / "a" / "0.npy").write_bytes(b"no array")
    status, printed, _ = train(*options)
    assert status == 2
    assert "0.npy" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--maps", "nowhere"], "--maps: expected --classifier.method svm"),
        (["--folder", "nowhere"], "nowhere"),
        (["--folder", "nowhere", "--classifier.epochs", "0"], "classifier.epochs"),
    ],
)
def test_what_cannot_be_used(train, options, message):
    status, printed, _ = train(*options)
    assert status == 2
    assert message in printed


def test_a_run_whose_classes_were_added_or_dropped():
    """Its training labels count in the list before, its test labels in that of now."""
    from detection.commands.train_classifier import data_of

    edits = [["rename", "cat", "tiger"], ["add", "cow"], ["drop", "dog"]]
    experiment = SimpleNamespace(edits=edits, run=SimpleNamespace(path="runs/a"))
    with pytest.raises(
        ValueError, match=r"runs/a: classes were changed \(add cow, drop dog\): classify in a run of its"
    ):
        data_of(experiment, SimpleNamespace(folder=None, maps=None))
