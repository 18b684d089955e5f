"""Every reader of a file that somebody else may have written: a sample to change, what is asked of the answer."""

import json
import os
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.io
from PIL import Image

from detection.config import read_settings
from detection.data import (
    Problems,
    read_boxes,
    read_class_names,
    read_coco_results,
    read_comp4,
    read_dataset,
    read_image,
    read_video,
    video_rate,
    write_coco_results,
    write_comp4,
    write_video,
)
from detection.data.foreign.child import ForeignReader
from detection.data.labels import ImageObjects, LabelledObject
from detection.data.results import find_results, read_results
from detection.data.writing import write_dataset
from detection.detector import Detector
from detection.proposals.foreign import formats, read_proposals, write_proposals
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage, Detections
from tests.campaign.runs import Material

CLASSES = ("big cat", "cat", "dog")
SIZE = (40, 60)


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file.

    write: makes a sample in a folder, and gives the file that is to be changed. read: reads it; raises AssertionError
    for an answer that cannot be right. also: what an error may name besides the changed file.
    """

    name: str
    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    also: tuple[str, ...] = ()


def pixels(seed: int = 0) -> np.ndarray:
    """A small picture."""
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def _data_set(folder: Path, fmt: str, file: str) -> Path:
    picture = folder / "a.png"
    Image.fromarray(pixels()).save(picture)
    items = tuple(
        LabelledObject(n, name, (n, 2.5, n + 9, 30), n == 2, extras={"pose": "Left"})
        for n, name in enumerate(("cat", "dog", "big cat"), start=1)
    )
    images = [ImageObjects("a", picture, SIZE, items, picture), ImageObjects("b", picture, SIZE, (), picture)]
    write_dataset(folder / "set", fmt, {"train": images}, CLASSES)
    return folder / "set" / file


def _pairs(folder: Path) -> Path:
    """Photos and their VOC labels in one folder."""
    voc = _data_set(folder, "voc", "Annotations/a.xml")
    (folder / "pairs").mkdir()
    Image.fromarray(pixels()).save(folder / "pairs/a.png")
    voc.rename(folder / "pairs/a.xml")
    return folder / "pairs/a.xml"


def _read_set(file: Path, fmt: str, root: Path, split: str | None) -> None:
    problems = Problems()
    try:
        found = read_dataset(root, split, fmt, problems=problems)
    except ValueError as error:
        # Where nothing is left of a set, the reasons name the file.
        raise ValueError("\n".join([str(error), *dict.fromkeys(one.file for one in problems)])) from error
    _sound(all(one.path.resolve().is_relative_to(root.resolve()) for one in found.images), "a picture outside the set")
    for one in found.images:
        low, high = one.boxes[:, :2], one.boxes[:, 2:]
        inside = (low >= 0).all() and (low < high).all() and (high <= one.size[::-1]).all()
        _sound(inside and np.isfinite(one.boxes).all(), f"boxes {one.boxes.tolist()} in {one.size}")
    texts = [*found.classes, *(one.message for one in problems)]
    _sound(all(name and name == " ".join(name.split()) for name in found.classes), f"class names {found.classes}")
    _sound(all(len(text) < 1000 for text in texts), "a message of more than 1,000 letters")


def _sound(true: object, what: str) -> None:
    if not true:
        raise AssertionError(f"an answer that cannot be right: {what}")


def _labels(name: str, fmt: str, file: str, split: str | None = "train") -> Reader:
    return Reader(
        f"labels.{name}",
        lambda folder: _data_set(folder, fmt, file),
        lambda path: _read_set(path, fmt, path.parents[len(Path(file).parts) - 1], split),
        # Of a list or json that names other pictures, those are told; of one without any object, the set is.
        ("/set",),
    )


def _annotated() -> list[AnnotatedImage]:
    boxes, none = np.array([[1, 2, 10, 30]], np.float32), np.zeros(1, bool)
    return [AnnotatedImage(one, Path(f"{one}.png"), SIZE, boxes, np.zeros(1, np.int64), none) for one in ("a", "7")]


def _found() -> list[Detections]:
    boxes = np.array([[1, 2, 10, 30.5], [3, 4, 20, 21]], np.float32)
    return [Detections(one, boxes, np.array([0.5, -1], np.float32), np.array([0, 2])) for one in ("a", "7")]


def _written(write: Callable[[Path], object], name: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        write(folder / name)
        return folder / name

    return made


def _yolo_results(path: Path) -> None:
    path.write_text("0 0.2 0.5 0.1 0.4 0.9\n2 0.5 0.5 0.25 0.25 1e-3\n")


def _read_results(path: Path) -> None:
    problems = Problems()
    numbers = dict(enumerate(CLASSES, 0 if path.suffix == ".txt" else 1))
    _finite(read_results(find_results(path), _annotated(), CLASSES, numbers, "test", problems))


def _finite(found: list[Detections]) -> None:
    for one in found:
        _sound(np.isfinite(one.boxes).all() and np.isfinite(one.scores).all(), f"{one.boxes.tolist()} {one.scores}")


def _comp4(path: Path) -> None:
    write_comp4(path.parent, "test", _found(), CLASSES)


def _arrays(found: dict[str, np.ndarray]) -> None:
    for boxes in found.values():
        _sound(np.isfinite(boxes).all() and (boxes[:, :2] < boxes[:, 2:]).all(), f"boxes {boxes.tolist()}")


def _own_boxes(path: Path) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps({"a": [[1, 2, 10, 30.5]], "000007": [[3, 4, 20, 21]], "b": []}))
    else:
        path.write_text("image_id,x1,y1,x2,y2\na,1,2,10,30.5\n000007,3,4,20,21\n")


def _proposals(path: Path) -> None:
    boxes = {one: np.array([[1, 2, 10, 30.5], [3, 4, 20, 21]], np.float32) for one in ("a", "000007")}
    write_proposals(path, boxes)


def _coco_proposals(path: Path) -> None:
    rows = [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 9, 28], "score": score} for score in (0.5, 0.9)]
    path.write_text(json.dumps(rows))


def _matrix(path: Path) -> None:
    scipy.io.savemat(path, {"boxes": np.array([[1, 2, 10, 30], [3, 4, 20, 21]], np.uint16)})


def _mat73(path: Path) -> None:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        file["boxes"] = np.array([[1, 2, 10, 30], [3, 4, 20, 21]], np.float64).T
    content = bytearray(path.read_bytes())
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    content[: len(head)] = head
    path.write_bytes(content)


def _detectron(path: Path, protocol: int) -> None:
    boxes = [np.array([[1, 2, 10, 30], [3, 4, 20, 21]], np.float32), np.zeros((0, 4), np.float32)]
    content = {"boxes": boxes, "scores": [np.ones(2, np.float32), np.zeros(0, np.float32)], "ids": [7, 9]}
    path.write_bytes(pickle.dumps(content, protocol))


# The process that reads binary files for others; to start one for each of thousands of files would take an hour.
_FOREIGN = ForeignReader()


def _read_proposals(path: Path) -> None:
    with mock.patch.object(formats, "ForeignReader", return_value=nullcontext(_FOREIGN)):
        found = read_proposals(path)
    _sound(all(one.shape[1:] == (4,) and one.dtype == np.float64 for one in found.boxes), "arrays of another shape")
    _sound(found.image_ids is None or len(found.image_ids) == len(found.boxes), "another number of ids than lists")


def _picture(path: Path) -> None:
    Image.fromarray(pixels()).save(path)


def _read_picture(path: Path) -> None:
    array = read_image(path)
    _sound(array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3, f"{array.dtype} {array.shape}")


def _video(path: Path) -> None:
    write_video(path, [pixels(seed) for seed in range(4)], 12.5)


def _read_video(path: Path) -> None:
    _sound(np.isfinite(video_rate(path)), "a rate that is not finite")
    shapes = {frame.shape for frame in read_video(path)}
    _sound(len(shapes) == 1, f"frames of the shapes {shapes}")


def _of_run(material: Material) -> list[Reader]:
    """Readers of settings, and of what a finished run has."""
    config, record = (material.finished / "run.yaml").read_text(), material.finished

    def settings(path: Path) -> None:
        import yaml

        path.write_text(yaml.safe_dump(yaml.safe_load(config)["settings"]))

    def run(folder: Path) -> Path:
        (folder / "run.yaml").write_text(config)
        return folder / "run.yaml"

    def detector(folder: Path) -> Path:
        (folder / "detector").mkdir()
        for one in (record / "detector").iterdir():
            target = folder / "detector" / one.name
            if one.name == "detector.yaml":
                target.write_bytes(one.read_bytes())
            else:
                os.link(one.resolve(), target)
        return folder / "detector/detector.yaml"

    def read_run(path: Path) -> None:
        RunFolder(path.parent).read()
        read_settings(f"--run={path.parent}")

    return [
        Reader("config.yaml", _written(settings, "c.yaml"), lambda path: read_settings("--config", str(path))),
        Reader("run.yaml", run, read_run),
        Reader("detector.yaml", detector, lambda path: Detector.load(path.parent)),
    ]


def readers(material: Material) -> list[Reader]:
    """All readers."""
    voc = "ImageSets/Main/train.txt"
    files = [
        (f"proposals.{name}", f"a.{name}", _proposals, _read_proposals) for name in ("mat", "json", "csv", "npz")
    ] + [
        ("proposals.coco", "coco.json", _coco_proposals, _read_proposals),
        ("proposals.matrix", "a_boxes.mat", _matrix, _read_proposals),
        ("proposals.mat73", "a.mat", _mat73, _read_proposals),
        ("proposals.pickle0", "a.pkl", partial(_detectron, protocol=0), _read_proposals),
        ("proposals.pickle2", "a.pkl", partial(_detectron, protocol=2), _read_proposals),
        ("proposals.pickle4", "a.pkl", partial(_detectron, protocol=4), _read_proposals),
        ("results.coco", "r.json", lambda path: write_coco_results(path, _found()), _read_results),
        ("results.own", "r.json", lambda path: write_coco_results(path, _found()),
         lambda path: _finite(read_coco_results(path, ["a", "7"], 3))),
        ("results.devkit", "comp4_det_test_cat.txt", _comp4, _read_results),
        ("results.comp4", "comp4_det_test_cat.txt", _comp4,
         lambda path: _finite(read_comp4(path.parent, "test", CLASSES, ["a", "7"]))),
        ("results.yolo", "a.txt", _yolo_results, _read_results),
        ("boxes.json", "b.json", _own_boxes, lambda path: _arrays(read_boxes(path))),
        ("boxes.csv", "b.csv", _own_boxes, lambda path: _arrays(read_boxes(path))),
        ("classes.txt", "classes.txt", lambda path: path.write_text("big cat\ncat\ndog\n"), read_class_names),
        *((f"image.{name}", f"a.{name}", _picture, _read_picture) for name in ("jpg", "png", "tif", "webp", "bmp")),
        ("video.mp4", "a.mp4", _video, _read_video),
        ("video.avi", "a.avi", _video, _read_video),
    ]  # fmt: skip
    return [
        _labels("voc", "voc", "Annotations/a.xml"),
        _labels("voc list", "voc", voc),
        _labels("coco", "coco", "annotations/instances_train.json"),
        _labels("yolo", "yolo", "labels/train/a.txt"),
        _labels("data.yaml", "yolo", "data.yaml"),
        Reader("labels.folder", _pairs, lambda path: _read_set(path, "auto", path.parent, None)),
        *(Reader(name, _written(write, file), read) for name, file, write, read in files),
        *_of_run(material),
    ]
