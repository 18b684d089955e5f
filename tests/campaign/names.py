"""Hostile names of classes and files: the same from every door to every file, screen and page, or refused in a line."""

import csv
import json
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from detection.data import Problems, read_dataset
from tests.campaign.calls import Call, Done, do
from tests.campaign.readers import pixels
from tests.campaign.runs import Material
from tests.campaign.trials import Job, Trial
from tests.conftest import run_options

# Values to YAML, formulas to spreadsheets, markup to pages and to rich, paths to disks, orders to terminals.
CLASS_NAMES = (
    "NO", "yes", "off", "007", "1:30", "null", "~", "1e3", "0x10", "2024-01-01", "a,b", 'a"b', "a'b", "a: b", "# a",
    "- a", "=cmd|' /C calc'!A0", "=1+1", "+1", "-1", "-", "--", "@x", "<script>alert(1)</script>", "<b>&amp;", "]]>",
    "[bold]x[/bold]", "[/]", "{x}", "{0}", "%s", "%2F", "a/b", "..", ".", "../x", "C:\\x", "\\", "|", "CON",
    "background", "test_cat", "\u00e9", "e\u0301", "\u65e5\u672c", "\U0001f408", "x" * 200, "x" * 201, "  a   b  ",
    "\x1b[31mred\x1b[0m", "\x9b31m", "a\nb", "a\rb", "a\tb", "a\x00b", "\x7f", "\u0085", "\u2028", "\u202ecba",
    "\ufeffa", "\ufffe", "\ud800", "",
)  # fmt: skip
FILE_NAMES = (
    "-rf", "--help", "a b", " a", "a ", "a%20b", "a%2Fb", "\u00e9", "e\u0301", "\u65e5\u672c", "\U0001f408", "a,b",
    "a;b", 'a"b', "a'b", "=1+1", "<img src=x onerror=alert(1)>", "[bold]x", "{0}", "$(x)", "`x`", "#1", "a?b", "a*b",
    "a|b", "a\\b", "CON", "x.jpg", "x.y.z", "x" * 240, "007", "7", "a\x1b[31mb", "a\nb", "a\tb", "a\rb", "\x7f",
    "\u202ecba", "\udcff\udcfe",
)  # fmt: skip
FORMATS = ("voc", "coco", "yolo")
_LONGEST_NAME = 200
# They turn the direction of what follows.
_TURNING = "\u202a\u202b\u202d\u202e\u2066\u2067"


def jobs(material: Material, seed: int, share: float) -> Iterator[Job]:
    """A job for each name: there is nothing to draw but which of them are tried in a sample."""
    for number, name in enumerate(CLASS_NAMES):
        if _is_tried(number, seed, share):
            for fmt in ("coco", "yolo"):
                work = partial(_try_class, name=name, fmt=fmt, in_a_run=fmt == "coco")
                yield Job("names", f"class {name!r} in {fmt}", work)
    for number, name in enumerate(FILE_NAMES):
        if _is_tried(number, seed, share):
            yield Job("names", f"file {name!r}", partial(_try_file, name=name, material=material))


def _is_tried(number: int, seed: int, share: float) -> bool:
    return int((number + seed) * share) > int((number + seed - 1) * share)


def written(folder: Path, fmt: str, classes: tuple[str, str], stems: list[str]) -> Path:
    """A set of two splits as another program could have written it, with an object of each class on each picture."""
    root = folder / "set"
    for split in ("train", "val"):
        pictures = root / "images" / split
        pictures.mkdir(parents=True)
        for number, stem in enumerate(stems):
            Image.fromarray(pixels(number + 100 * (split == "val"))).save(pictures / f"{stem}.png")
            if fmt == "yolo":
                label = root / "labels" / split / f"{stem}.txt"
                label.parent.mkdir(parents=True, exist_ok=True)
                label.write_text("0 0.3 0.5 0.2 0.5\n1 0.7 0.5 0.2 0.5\n")
        if fmt == "coco":
            boxes = [[6, 10, 12, 20], [36, 10, 12, 20]]
            rows = [{"id": 2 * image + one + 1, "image_id": image + 1, "category_id": one + 1, "bbox": boxes[one]}
                    for image in range(len(stems)) for one in range(2)]  # fmt: skip
            images = [{"id": image + 1, "file_name": f"{split}/{stem}.png", "width": 60, "height": 40}
                      for image, stem in enumerate(stems)]  # fmt: skip
            names = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
            path = root / "annotations" / f"instances_{split}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"images": images, "annotations": rows, "categories": names}))
    if fmt == "yolo":
        # Bare where a person would write it so.
        words = [one if one.replace(":", "").isalnum() and one.isascii() else json.dumps(one) for one in classes]
        text = f"train: images/train\nval: images/val\nnames: [{', '.join(words)}]\n"
        (root / "data.yaml").write_text(text)
    return root


def read(root: Path) -> tuple[tuple[str, ...], Counter]:
    """(classes, (split, class) -> objects) of a set of two splits, whatever they are called."""
    problems, count, classes = Problems(), Counter(), ()
    for split in ("train", "val"):
        found = read_dataset(root, split, problems=problems)
        classes = found.classes
        for image in found.images:
            count.update((split, found.classes[label]) for label in image.labels)
            count[split, "pictures"] += 1
    return classes, count


def screen_fault(done: Done) -> str:
    """What is wrong with what stands on the terminal."""
    text = done.out + done.errors
    # Of one that is not UTF-8, the escaped bytes are no letters of ours.
    raw = {
        one
        for one in text
        if one != "\n" and (unicodedata.category(one) == "Cc" or one in "\u202a\u202b\u202d\u202e\u2066")
    }
    if raw:
        return f"raw control characters on the terminal: {sorted(map(ascii, raw))}"
    return f"a traceback: {done.errors[-1500:]}" if "Traceback" in text else ""


def _try_class(folder: Path, name: str, fmt: str, in_a_run: bool) -> Iterator[Trial]:
    root = written(folder, fmt, (name, "disc"), ["a", "b"])
    yield from _try_set(folder, root, f"class {name!r} in {fmt}", _class_fault(name, root))
    if in_a_run:
        options = [one for one in run_options(root) if "min_examples" not in one]
        call = Call(
            "run_pipeline", (*options, "--run=run", "--dataset.train=[{split: train}]", "--dataset.test=[{split: val}]")
        )
        done = do(call, folder)
        fault = screen_fault(done) or (_run_fault(folder / "run", name) if done.status == 0 else done.refusal_fault())
        yield Trial(f"class {name!r} in a run", fault, str(call), (root,) if fault else ())


def _class_fault(name: str, root: Path) -> str:
    """Where a reader makes another name of one that is sound."""
    clean = " ".join(name.split())
    try:
        classes, _ = read(root)
    except ValueError as error:
        return "" if not _is_sound(clean) else f"a sound name was refused: {error}"
    if _is_sound(clean) and clean not in classes:
        return f"expected the class {clean!r}, got {classes}"
    bad = [one for one in classes if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in one)]
    return f"control characters or surrogates in the classes {bad}" if bad else ""


def _is_sound(name: str) -> bool:
    wrong = ("Cc", "Cs", "Cf", "Cn", "Zl", "Zp")
    return 0 < len(name) <= _LONGEST_NAME and not any(unicodedata.category(letter) in wrong for letter in name)


def _try_set(folder: Path, root: Path, what: str, first: str) -> Iterator[Trial]:
    """Check and convert a set; what is read from the converted ones equals what was read from it."""
    check = Call("dataset", ("check", str(root.relative_to(folder))))
    done = do(check, folder)
    fault = first or screen_fault(done) or (done.refusal_fault() if done.status not in (0, 1) else "")
    yield Trial(f"{what}: check", fault, str(check), (root,) if fault else ())
    for to in FORMATS:
        convert = Call("dataset", ("convert", root.name, f"--to={to}", f"--out={to}"))
        done = do(convert, folder)
        fault = screen_fault(done)
        if not fault and done.status != 0:
            fault = done.refusal_fault()
        elif not fault and "lost, because the format cannot hold it: nothing" in done.out:
            fault = _round_trip_fault(root, folder / to)
        yield Trial(f"{what}: to {to}", fault, str(convert), (root,) if fault else ())
        shutil.rmtree(folder / to, ignore_errors=True)


def _round_trip_fault(root: Path, converted: Path) -> str:
    try:
        (classes, count), (others, back) = read(root), read(converted)
    except (ValueError, OSError) as error:
        return f"converted with nothing lost, and not to be read: {error}"
    if set(classes) != set(others) or count != back:
        return f"converted with nothing lost: {classes} and {dict(count)} became {others} and {dict(back)}"
    return ""


def _run_fault(run: Path, name: str) -> str:
    page = (run / "report.html").read_text(encoding="utf-8")
    if "<" in name and name in page:
        return "the name stands in the report as markup"
    for path in sorted(run.rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                for cell in row:
                    if cell[:1] in ("=", "@", "\t", "\r") or (cell[:1] in ("+", "-") and not _is_number(cell)):
                        return f"{path.relative_to(run)}: a cell that a spreadsheet takes for a formula: {cell!r}"
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _try_file(folder: Path, name: str, material: Material) -> Iterator[Trial]:
    root = written(folder, "yolo", ("cat", "disc"), [name, "b"])
    yield from _try_set(folder, root, f"file {name!r}", "")
    photos = Path(os.path.relpath(root, folder)) / "images/train"
    detect = Call("detect", (f"--model={material.finished / 'detector'}", str(photos), "--out=out", "--workers=1"))
    done = do(detect, folder)
    fault = screen_fault(done)
    drawn = len(list((folder / "out").glob("*.jpg"))) if (folder / "out").exists() else 0
    if not fault and done.status == 0 and (drawn < 2 or not (folder / "out/detections.json").is_file()):
        fault = f"exit status 0 with {drawn} of 2 pictures drawn: {done.out[-300:]}{done.errors[-300:]}"
    elif not fault and done.status != 0:
        fault = done.refusal_fault() or ("" if drawn == 2 else f"one name stopped all: {done.errors[-500:]}")
    yield Trial(f"file {name!r}: detect", fault, str(detect), (root,) if fault else ())
