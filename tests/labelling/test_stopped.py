"""The program stopped in the middle of a save: labels are the old or the new ones, and nothing else is left."""

import contextlib
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from detection.commands import labelling
from detection.data.formats.voc_xml import annotation_xml
from tests.labelling.pages import FAST, PATIENCE, Program

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL and SIGTERM are POSIX signals")

SIZE = (60, 80)
CAT, DOG = ("cat", (10, 20, 40, 50)), ("dog", (1, 2, 30, 40))
# The command, which dwells before or after it moves a file of this name to its place, and says so, until it is let go.
DWELLS = """
import os, sys, time
from pathlib import Path
from detection.commands import labelling
when, name, sign = sys.argv[1:4]
move = os.replace

def dwelling(source, target):
    for moment in ("before", "after"):
        if (moment, Path(target).name) == (when, name) and not Path(sign).exists():
            Path(sign).touch()
            while not Path(sign + "-go").exists():
                time.sleep(0.01)
        if moment == "before":
            move(source, target)

os.replace = dwelling
sys.exit(labelling.main(sys.argv[4:]))
"""


def xml_set(root):
    (root / "a.xml").write_text(annotation_xml("a.jpg", SIZE, [(*CAT, False)]), encoding="utf-8")
    return root, root / "a.xml"


def yolo_set(root):
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: .\nval: .\n")
    (root / "a.txt").write_text(f"0 {25 / 80} {35 / 60} {30 / 80} {30 / 60}\n")
    return root, root / "a.txt"


def coco_set(root):
    photo = {"id": 7, "file_name": "a.jpg", "width": SIZE[1], "height": SIZE[0]}
    cat = {"id": 3, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 30], "area": 900, "iscrowd": 0}
    content = {"images": [photo], "annotations": [cat], "categories": [{"id": 1, "name": "cat"}]}
    (root / "labels.json").write_text(json.dumps(content))
    return root / "labels.json", root / "labels.json"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.jpg")
    return folder


def asked(address, content=None):
    """What the server answers; a content is put there."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, body, method="GET" if body is None else "PUT")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def save(address):
    """Save the photo with another box, in a thread: nobody may be there to answer."""
    before = asked(f"{address}photos/0")
    dog = {"index": 0, "name": DOG[0], "box": DOG[1], "difficult": False}
    content = {"version": before["version"], "objects": [*before["objects"], dog], "complete": False, "rejected": []}

    def put():
        with contextlib.suppress(OSError, urllib.error.URLError):
            asked(f"{address}photos/0", content)

    thread = threading.Thread(target=put)
    thread.start()
    return thread


def stopped(place, folder, run, how, moment, name):
    """(exit status, what was said) of a program that is stopped in that moment of a save."""
    sign, said = run.with_name("sign"), run.with_name("said")
    with said.open("w") as stderr:
        program = Program(place, run, ("-c", DWELLS, moment, name, str(sign)), stderr=stderr)
        thread = save(program.address)
        ends = time.monotonic() + PATIENCE
        while not sign.exists():
            assert time.monotonic() < ends
            time.sleep(0.01)
        status = program.end(how, lambda: let_go(sign.with_name("sign-go")))
        thread.join()
    return status, said.read_text()


def let_go(sign):
    time.sleep(0.3)  # it has heard the signal
    sign.touch()


def begun_again(place, run, monkeypatch):
    """What the page shows of the photo once the command is given again."""
    seen = []

    def serve(app, listening):
        token = app.routes[0].path
        seen.append(TestClient(app).get(f"{token}/photos/0").json())

    monkeypatch.setattr("detection.labelling.server.serve", serve)
    assert labelling.main(["label", str(place), f"--run={run}", "--workers=1", *FAST]) == 0
    return seen[0]


def shown(content):
    return [(one["name"], tuple(np.round(one["box"], 3))) for one in content["objects"]]


def leftovers(*folders):
    return [path for one in folders for path in one.rglob("*") if path.name.startswith(".")]


KILLED = [
    (xml_set, "before", "photos.json"),
    (xml_set, "before", "a.xml"),
    (xml_set, "after", "a.xml"),
    (yolo_set, "before", "a.txt"),
    (coco_set, "before", "labels.json"),
    (coco_set, "after", "labels.json"),
]


@pytest.mark.parametrize(("make", "moment", "name"), KILLED)
def test_killed_while_it_saves(folder, tmp_path, monkeypatch, make, moment, name):
    place, labels = make(folder)
    before, files, run = labels.read_bytes(), set(folder.iterdir()), tmp_path / "run"
    status, _ = stopped(place, folder, run, signal.SIGKILL, moment, name)
    assert status == -signal.SIGKILL
    assert (labels.read_bytes() == before) == (moment == "before")
    assert leftovers(folder, run)
    content = begun_again(place, run, monkeypatch)
    assert shown(content) == ([CAT] if moment == "before" else [CAT, DOG])
    # Whatever was kept of it: drawn in part, as it was to become, it never counts as complete by new labels.
    assert content["complete"] == (name == "photos.json")
    assert set(folder.iterdir()) == files
    assert not leftovers(folder, run)


@pytest.mark.parametrize("make", [xml_set, yolo_set, coco_set])
def test_told_to_end_while_it_saves(folder, tmp_path, monkeypatch, make):
    place, labels = make(folder)
    files, run = set(folder.iterdir()), tmp_path / "run"
    status, said = stopped(place, folder, run, signal.SIGTERM, "before", labels.name)
    assert status == 143
    assert said.splitlines()[-1].endswith("terminated: the same command goes on from here")
    assert "Traceback" not in said
    assert set(folder.iterdir()) == files
    assert not leftovers(folder, run)
    assert shown(begun_again(place, run, monkeypatch)) == [CAT, DOG]
