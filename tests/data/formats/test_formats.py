"""A format of somebody else's, registered from outside: found, read, checked, converted as any other."""

import csv
from collections import Counter
from functools import partial

import numpy as np
import pytest
from PIL import Image

from detection.data import DatasetSettings, Problems, read_dataset
from detection.data.checking import read_for_checking, usual_splits
from detection.data.files import ImageFinder
from detection.data.formats import FORMATS, FoundSet, LabelFormat, label_format, register_format
from detection.data.formats.finding import find_set, possible_formats
from detection.data.labels import ImageLabels, LabelledObject, LabelReader, ordered_box, read_each
from detection.data.problems import DataError
from detection.data.writing import write_dataset


class CsvReader(LabelReader):
    """SPLIT.csv with rows image,name,x1,y1,x2,y2, images beside it."""

    def __init__(self, path):
        self.path = self.list_path = path
        self.image_folder = path.parent
        self.rows = {}
        with path.open(newline="") as file:
            for line, (image_id, *fields) in enumerate(csv.reader(file), start=1):
                self.rows.setdefault(image_id, [])
                self.rows[image_id] += [(line, *fields)] if fields else []

    def image_ids(self, problems):
        return list(self.rows)

    def image_path(self, image_id):
        return ImageFinder(self.image_folder).find(image_id)

    def labels(self, image_id, size, problems):
        rows = enumerate(self.rows[image_id], start=1)
        objects = read_each(rows, lambda row: self.object(*row, problems), problems)
        return ImageLabels(self.path, None, tuple(objects))

    def object(self, index, row, problems):
        line, name, *corners = row
        try:
            box = tuple(map(float, corners))
        except ValueError as error:
            raise DataError("box that is not four numbers", self.path, str(error), line) from error
        return LabelledObject(index, name, ordered_box(box, name, self.path, line, problems), False, line)


def open_csv(path, images):
    return FoundSet(path, {one.stem: partial(CsvReader, one) for one in sorted(path.glob("*.csv"))})


def write_csv(new):
    for split, images in new.splits.items():
        rows = []
        for image in images:
            new.put_image(image, new.folder)
            new.lost["difficult"] += sum(item.difficult for item in image.objects)
            rows += [[image.image_id]] + [[image.image_id, item.name, *item.box] for item in image.objects]
        with (new.folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)


TOY = LabelFormat("boxes_csv", "a csv", lambda path: path.is_dir() and any(path.glob("*.csv")), open_csv, write_csv)


@pytest.fixture(autouse=True)
def toy():
    register_format(TOY)
    yield
    del FORMATS[TOY.name]


@pytest.fixture
def photos(tmp_path):
    """Two photos and a csv with a swapped, an empty and a bad box among sound ones."""
    for name in ("a", "b"):
        noise = np.random.default_rng(ord(name)).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    rows = "a,cat,1,2,9,12\na,dog,20,12,3,5\nb\na,cat,4,4,4,9\na,cat,x,4,5,9\n"
    (tmp_path / "train.csv").write_text(rows)
    return tmp_path


def test_it_is_found_and_read(photos):
    assert possible_formats(photos) == ["boxes_csv"]
    problems = Problems()
    found = read_dataset(photos, problems=problems)
    assert (found.format, found.split, found.classes) == ("boxes_csv", "train", ("cat", "dog"))
    assert [(one.image_id, one.boxes.tolist()) for one in found.images] == [
        ("a", [[1, 2, 9, 12], [3, 5, 20, 12]]), ("b", []),
    ]  # fmt: skip
    assert [(one.kind, one.line) for one in problems] == [
        ("box with swapped corners", 2), ("empty box", 4), ("box that is not four numbers", 5),
    ]  # fmt: skip


def test_it_is_checked(photos):
    Image.new("RGB", (5, 5)).save(photos / "c.png")
    found = find_set(photos)
    checked = read_for_checking(found, usual_splits(found), None, {})
    assert Counter(one.kind for one in checked.faults) == Counter(
        ["box with swapped corners", "empty box", "box that is not four numbers", "image in no split"]
    )


@pytest.mark.parametrize("other", ["voc", "coco", "yolo", "folder"])
def test_it_is_converted_and_back(photos, tmp_path, other):
    found = find_set(photos)
    checked = read_for_checking(found, ["train"], None, {})
    assert write_dataset(tmp_path / "x" / other, other, checked.splits, checked.classes) == {}
    there = find_set(tmp_path / "x" / other, other)
    converted = read_for_checking(there, ["train"], None, {})
    assert converted.faults == []
    write_dataset(tmp_path / "x" / "back", "boxes_csv", converted.splits, converted.classes)
    back = read_dataset(tmp_path / "x" / "back").images
    assert [one.boxes.tolist() for one in back] == [one.boxes.tolist() for one in read_dataset(photos).images]


def test_settings_take_any_name_that_is_registered():
    assert DatasetSettings(format="boxes_csv").format == "boxes_csv"
    with pytest.raises(ValueError, match="expected one of voc, coco, yolo, folder, boxes_csv, got 'xml'"):
        DatasetSettings(format="xml")
    with pytest.raises(ValueError, match="got 'auto'"):
        label_format("auto")
