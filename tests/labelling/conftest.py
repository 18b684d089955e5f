"""Folders of photos that are labelled in part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data import DatasetSettings
from detection.data.formats.voc_xml import annotation_xml
from detection.labelling.session import Session

SIZE = (60, 80)


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
