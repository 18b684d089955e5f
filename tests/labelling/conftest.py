"""Folders of photos that are labelled in part."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from uvicorn import Config, Server

from detection.data import DatasetSettings
from detection.data.formats.voc_xml import annotation_xml
from detection.labelling.server import application
from detection.labelling.session import Session
from detection.labelling.teacher import Suggestion

SIZE = (60, 80)
TOKEN = "token"
SUGGESTED = Suggestion("cat", (1.0, 2.0, 30.0, 40.0), 0.5, True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of five photos, a to e, without labels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in "abcde":
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(folder / f"{name}.jpg")
    return folder


@pytest.fixture
def label() -> Callable[..., Path]:
    """``label(photo, objects)`` writes the XML of a photo beside it."""

    def write(photo: Path, objects) -> Path:
        path = photo.with_suffix(".xml")
        text = annotation_xml(photo.name, SIZE, [(*one, False) for one in objects])
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def open_folder(tmp_path: Path) -> Callable[..., Session]:
    """``open_folder(root)``: the session of a folder; its marks outlive it."""
    return lambda root: Session(DatasetSettings(str(root)), tmp_path / "run" / "labelling" / "photos.json")


class FakeTeacher:
    """Suggests the same boxes in every photo, and notes what it is told."""

    def __init__(self):
        self.told, self.found, self.reason = [], (SUGGESTED,), "uncertain"

    def look(self, number):
        self.told.append(("look", number))

    def saved(self, number):
        self.told.append(("saved", number))

    def suggestions(self, number):
        return self.found

    def is_fresh(self, number):
        return True

    def next_photos(self):
        return [(3, self.reason)]

    def state(self):
        return {"revision": 7, "waiting": 0, "doing": "", "trouble": "", "problems": {}, "curve": []}


@pytest.fixture
def teacher() -> FakeTeacher:
    """What the server of `client` asks."""
    return FakeTeacher()


@pytest.fixture
def client(photos: Path, open_folder: Callable[..., Session], teacher: FakeTeacher) -> Iterator[TestClient]:
    """A client of the server on five photos, the last of which cannot be read."""
    (photos / "e.jpg").write_bytes(b"no picture")
    app = application(open_folder(photos), teacher, TOKEN)
    with TestClient(app, base_url=f"http://127.0.0.1/{TOKEN}/", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def serve_folder(open_folder: Callable[..., Session], teacher: FakeTeacher) -> Iterator[Callable[[Path], str]]:
    """``serve_folder(root)``: the address of the page on a folder, for a browser."""
    with ExitStack() as stack:
        yield lambda root: stack.enter_context(_served(application(open_folder(root), teacher, TOKEN)))


@contextmanager
def _served(app) -> Iterator[str]:
    server = Server(Config(app, log_config=None, access_log=False, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/{TOKEN}/"
        finally:
            server.should_exit = True
            thread.join()
