"""What the tests of wiring share: small sets, and what is seen in a run under other settings."""

import json
import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.storage import file_fingerprint, read_json, write_arrays

# Lets the tests of this folder import wires.py and one another.
sys.path.insert(0, str(Path(__file__).parent))

GOLDEN = Path(__file__).parents[1] / "golden"
CAT, DOG = ("cat", (10, 20, 60, 80)), ("dog", (0, 0, 100, 70), True)


@pytest.fixture(scope="session")
def sets(write_set, tmp_path_factory):
    """A folder of tiny sets: see the names. Not to be changed."""
    root = tmp_path_factory.mktemp("sets")
    few = {"trainval": {"a": [CAT], "b": [DOG]}, "test": {"c": [CAT, DOG]}, "extra": {"x": [DOG], "w": [DOG]}}
    write_set(root / "years", few)
    write_set(root / "years", {"trainval": {"z": [CAT]}, "test": {"y": [DOG]}}, year="VOC2012")
    ten = {f"p{one}": [(CAT, DOG)[one % 2]] for one in range(10)}
    devkit = write_set(root / "plain", {"trainval": ten, "test": {"q": [CAT]}}) / "VOC2007"
    for part in ("JPEGImages", "Annotations"):
        shutil.copytree(devkit / part, root / "photos", dirs_exist_ok=True)
    large = np.zeros((120, 100, 3), np.uint8)
    write_set(root / "sizes", few, images={"b": large, "x": large})
    faulty = write_set(root / "faulty", few) / "VOC2007" / "Annotations" / "a.xml"
    faulty.write_text(faulty.read_text().replace("<xmax>60", "<xmax>xx"))
    _write_yolo_inside(write_set(root / "both", few) / "VOC2007")
    _write_coco(root / "coco.json")
    shutil.copytree(devkit / "JPEGImages", root / "images")
    (root / "black").mkdir()
    for number in range(1, 4):
        Image.new("RGB", (120, 90), (number, 0, 0)).save(root / "black" / f"p{number}.jpg")
    (root / "boxes.csv").write_text("image_id,x1,y1,x2,y2\ntest1,1,2,30,40\n")
    rows = read_json(GOLDEN / "run" / "detections" / "test.json")
    (root / "few.json").write_text(json.dumps(rows[:9]))
    for name, old, new in (("truth", "<difficult>0", "<difficult>1"), ("faulty-truth", "<xmax>", "<xmax>x")):
        shutil.copytree(GOLDEN / "images" / "VOCdevkit", root / name)
        changed = root / name / "VOC2007" / "Annotations" / "test1.xml"
        changed.write_text(changed.read_text().replace(old, new, 1))
    (root / "broken.jpg").write_bytes(b"no picture")
    (root / "names.txt").write_text("box\ndisc\n")
    (root / "swapped.txt").write_text("disc\nbox\n")
    whole = {one: [[0, 0, 160, 100], [10, 20, 60, 80]] for one in _ids()}
    for name, boxes in (("windows", whole), ("others", {one: [[0, 0, 50, 300], [5, 5, 90, 70]] for one in whole})):
        (root / f"{name}.json").write_text(json.dumps(boxes))
    (root / "lists.pkl").write_bytes(pickle.dumps([np.float32([[10, 20, 60, 80]])] * 5))
    _write_named(root)
    (root / "cat.txt").write_text("cat\n")
    (root / "classes.txt").write_text("dog\ncat\ncow\n")
    for name, shape, seed in (("head", (432, 6, 5), 0), ("other", (432, 6, 5), 1), ("start", (6048, 8, 6), 2)):
        write_arrays(root / f"{name}.safetensors", _head(*shape, np.random.default_rng(seed)), {})
    return root


def _write_named(root: Path) -> None:
    """Folders of photos named by class, and of maps."""
    rng = np.random.default_rng(3)
    for part in ("train", "test"):
        for label, name in enumerate(("box", "disc")):
            photos, maps = (root / folder / part / name for folder in ("named", "maps"))
            for number in range(2):
                photos.mkdir(parents=True, exist_ok=True)
                maps.mkdir(parents=True, exist_ok=True)
                np.save(maps / f"{number}.npy", rng.random((4, 5, 6)) + label)
                noise = rng.integers(0, 100 + 99 * label, (64, 80, 3)).astype(np.uint8)
                Image.fromarray(noise).save(photos / f"{number}.png")


def _ids():
    return [f"train{n}" for n in range(8)] + ["sub dir/test 0", *(f"test{n}" for n in range(1, 5))]


def _write_yolo_inside(folder: Path) -> None:
    """A YOLO set in the folder of a VOC set: what it is read as depends on the format."""
    for split, image in (("train", "a"), ("val", "c")):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        shutil.copy(folder / "JPEGImages" / f"{image}.jpg", folder / "images" / split / f"yolo-{split}.jpg")
        (folder / "labels" / split / f"yolo-{split}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [zebra]\n")


def _write_coco(path: Path) -> None:
    images = [{"id": one, "file_name": f"p{one}.jpg", "width": 120, "height": 90} for one in range(1, 4)]
    boxes = [{"id": one, "image_id": one, "category_id": 1, "bbox": [10, 20, 50, 40]} for one in range(1, 4)]
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}))


def _head(length: int, fc6: int, fc7: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"fc6.weight": (fc6, length), "fc6.bias": (fc6,), "fc7.weight": (fc7, fc6), "fc7.bias": (fc7,)}
    return {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def difficult_set(shapes, tmp_path_factory):
    """A copy of `shapes` in which the first object of every second image is marked difficult."""
    root = Path(shutil.copytree(shapes, tmp_path_factory.mktemp("difficult") / "VOCdevkit"))
    for path in sorted((root / "VOC2007" / "Annotations").rglob("*.xml"))[::2]:
        path.write_text(path.read_text().replace("<difficult>0", "<difficult>1", 1))
    return root


@pytest.fixture(scope="session")
def _seen(finished, difficult_set, open_run, sets, tmp_path_factory):
    """``seen(look, options, fresh)``: what a look sees in the run under options, made once for each of them."""
    known, places = {}, {"{sets}": str(sets), "{difficult}": str(difficult_set)}

    def seen(look, options, fresh):
        for name, place in places.items():
            options = tuple(one.replace(name, place) for one in options)
        if (look, options, fresh) not in known:
            run = tmp_path_factory.mktemp("copies") / "run"
            if not fresh:
                shutil.copytree(finished, run)
            known[look, options, fresh] = look(open_run(run, *options))
            shutil.rmtree(run, ignore_errors=True)
        return known[look, options, fresh]

    return seen


@pytest.fixture
def before_and_after(_seen):
    """``before_and_after(name, wire)``: what the wire's look sees without the setting's change and with it."""

    def both(name, wire):
        return [_seen(wire.look, options, wire.fresh) for options in (wire.given, (*wire.given, wire.option(name)))]

    return both


# Files that tell settings, keys and times: a change there is no effect.
_OF_SETTINGS = ("run.yaml", "detector.yaml", "report.html", "run.lock")


@pytest.fixture(scope="session")
def _called(finished, sets, load_tool, tmp_path_factory):
    """``called(command, arguments, capsys)``: what a call printed, wrote and returned, made once for each."""
    known = {}

    def call(command, arguments, capsys):
        if (command, arguments) not in known:
            folder = tmp_path_factory.mktemp("calls")
            places = {"out": folder / "out", "run": folder / "run", "sets": sets, "golden": GOLDEN}
            (folder / "out").mkdir()
            if any("{run}" in one for one in arguments):
                shutil.copytree(finished, folder / "run")
            words = list(arguments)
            for name, place in places.items():
                words = [one.replace(f"{{{name}}}", str(place)) for one in words]
            capsys.readouterr()
            status = load_tool(command).main(words)
            said = capsys.readouterr()
            text = (said.out + said.err).replace(str(folder), "")
            # Times that a stage took.
            text = re.sub(r"\d+\.\d s|\d+ s", "", text)
            written = {
                str(path.relative_to(folder)): (_content(path), path.stat().st_nlink)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.name not in _OF_SETTINGS
            }
            known[command, arguments] = status, text, written
            shutil.rmtree(folder)
        return known[command, arguments]

    return call


def _content(path):
    if path.name == "figures.json":
        return {name: one for name, one in read_json(path).items() if name not in ("settings", "metric")}
    if path.name == "tuning.json":
        # What was tried is no effect: what came of it is.
        return [(one["mean_ap"], one["by_fold"]) for one in read_json(path)["trials"]]
    return file_fingerprint(path)


@pytest.fixture
def check_call(_called, capsys, monkeypatch):
    """``check_call(wire)`` fails unless an option changes what a call writes, or where it writes nothing, says."""
    monkeypatch.setenv("COLUMNS", "200")

    def check(wire):
        before, after = (_called(wire.command, arguments, capsys) for arguments in (wire.before, wire.after))
        assert before[0] in wire.begins, before[1]
        assert after[0] in wire.ends, after[1]
        both_work = before[0] < 2 and after[0] < 2
        # What files hold counts for more than what is said: words may just repeat the option.
        assert before[2] != after[2] if both_work and (before[2] or after[2]) else before != after

    return check
