import numpy as np
import pytest
from PIL import Image

from detection.data import DataError
from detection.data.formats.image_folders import (
    MAP_EXTENSIONS,
    image_folder_classes,
    labelled_images,
    read_image_folder,
    read_map,
)
from detection.types import AnnotatedImage


@pytest.fixture
def folder(tmp_path):
    for name in ("dog/b.jpg", "dog/deep/a.PNG", "cat/1.jpeg", "cat/notes.txt", "cat/.hidden.jpg", ".git/x.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x") if path.suffix == ".txt" else Image.new("RGB", (4, 3)).save(path)
    return tmp_path


def test_folders_are_classes(folder):
    classes = image_folder_classes(folder)
    assert classes == ("cat", "dog")
    images = read_image_folder(folder, classes)
    assert [(one.image_id, one.presence.tolist()) for one in images] == [
        ("cat/1.jpeg", [1, -1]), ("dog/b.jpg", [-1, 1]), ("dog/deep/a.PNG", [-1, 1]),
    ]  # fmt: skip
    assert images[0].path == folder / "cat" / "1.jpeg"


def test_faults_of_folders(folder, tmp_path):
    with pytest.raises(ValueError, match="found none"):
        read_image_folder(folder / "nowhere", ("cat", "dog"))
    with pytest.raises(ValueError, match=r"expected folders of the classes cat, got dog"):
        read_image_folder(folder, ("cat",))
    with pytest.raises(ValueError, match=r"bird: expected files .* found none"):
        read_image_folder(folder, ("bird", "cat", "dog"))
    with pytest.raises(ValueError, match="at least two classes, got none"):
        image_folder_classes(folder / "dog" / "deep")


def test_objects_tell_what_an_image_shows(tmp_path):
    boxes = np.tile(np.array([0, 0, 2, 2], np.float32), (4, 1))
    labels, difficult = np.array([0, 0, 1, 3]), np.array([True, False, True, False])
    image = AnnotatedImage("a", tmp_path / "a.jpg", (4, 4), boxes, labels, difficult)
    empty = AnnotatedImage("b", tmp_path / "b.jpg", (4, 4), boxes[:0], labels[:0], difficult[:0])
    found = labelled_images([image, empty], 4)
    assert [one.presence.tolist() for one in found] == [[1, 0, -1, 1], [-1, -1, -1, -1]]


def test_maps(tmp_path):
    values = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    np.save(tmp_path / "cat" / "a.npy", values)
    np.save(tmp_path / "dog" / "flat.npy", values[0])
    np.save(tmp_path / "dog" / "object.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "dog" / "nan.npy", np.full((1, 2, 2), np.nan))
    found = read_image_folder(tmp_path, ("cat", "dog"), MAP_EXTENSIONS)
    assert len(found) == 4
    assert np.array_equal(read_map(found[0].path), values)
    for name in ("flat.npy", "object.npy", "nan.npy", "none.npy"):
        with pytest.raises(DataError, match=name):
            read_map(tmp_path / "dog" / name)
