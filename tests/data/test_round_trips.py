"""Sets through all formats and back: real photos, random sets; what other programs make of ours."""

import contextlib
import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from detection.data import DatasetSource, Problems, load_labelled, read_dataset
from detection.data.formats.coco_writing import write_coco
from detection.data.images import image_sizes, to_upright
from detection.data.labels import ImageObjects, LabelledObject
from detection.data.writing import write_dataset

FORMATS = ("voc", "coco", "yolo", "folder")


def facts(images, difficult=True):
    """What all formats hold: image id -> size, classes, float32 boxes."""
    return {
        one.image_id: (
            one.size,
            [(item.name, np.float32(item.box).tobytes(), difficult and item.difficult) for item in one.objects],
        )
        for one in images
    }


def load(path, split, problems):
    return load_labelled([DatasetSource(root=str(path), split=split)], problems)


def classes_of(*parts):
    return sorted({item.name for images in parts for one in images for item in one.objects})


@pytest.mark.parametrize("name", ["voc-animals", "voc-mini"])
def test_real_photos_through_all_formats_and_back(shared_data, tmp_path, name):
    problems = Problems()
    devkit = shared_data / name / "VOCdevkit"
    splits = {split: load(devkit, split, problems) for split in ("trainval", "test")}
    original = {split: facts(images) for split, images in splits.items()}
    difficult = sum(item.difficult for images in splits.values() for one in images for item in one.objects)
    now = splits
    for step, fmt in enumerate([*FORMATS, "coco", "voc"]):
        lost = write_dataset(tmp_path / str(step), fmt, now, classes_of(*now.values()), link=True)
        now = {split: load(tmp_path / str(step), split, problems) for split in splits}
        flags = step < FORMATS.index("yolo")
        for split, images in now.items():
            expected = facts(splits[split], difficult=flags)
            assert facts(images, difficult=flags) == expected
        assert lost["difficult"] == (difficult if fmt == "yolo" else 0)
    assert all(len(original[split]) == len(now[split]) for split in splits)
    assert len(problems) == 0


def test_pycocotools_loads_our_json(shared_data, tmp_path):
    images = load(shared_data / "voc-mini" / "VOCdevkit", "test", Problems())
    names = classes_of(images)
    path = tmp_path / "instances.json"
    write_coco(path, images, names)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == names
    assert len(coco.getImgIds()) == len(images) == 100
    for number, image in zip(coco.getImgIds(), images, strict=True):
        found = coco.loadAnns(coco.getAnnIds(imgIds=number))
        boxes = np.array([one["bbox"] for one in found]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert np.array_equal(boxes.astype(np.float32), np.float32([item.box for item in image.objects]).reshape(-1, 4))
        assert [one["iscrowd"] for one in found] == [item.difficult for item in image.objects]
        assert (coco.imgs[number]["height"], coco.imgs[number]["width"]) == image.size


def test_our_json_has_the_fields_of_the_format(tmp_path):
    path = put_picture(tmp_path / "a.png", (10, 20))
    item = LabelledObject(1, "cat", (1, 2, 5, 9), True, extras={"truncated": "1", "pose": "Left", "part": "..."})
    lost = Counter()
    write_coco(tmp_path / "a.json", [ImageObjects("sub/a", path, (10, 20), (item,), path)], ("cat", "dog"), lost, "x")
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "info": {"description": "x", "version": "1.0"},
        "licenses": [{"id": 1, "name": "", "url": ""}],
        "images": [{"id": 1, "file_name": "sub/a.png", "width": 20, "height": 10, "license": 1}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 4, 7], "area": 28, "iscrowd": 1,
                "segmentation": [], "attributes": {"truncated": 1, "pose": "Left"},
            }
        ],
        "categories": [
            {"id": 1, "name": "cat", "supercategory": ""},
            {"id": 2, "name": "dog", "supercategory": ""},
        ],
    }  # fmt: skip
    assert lost == {"part": 1}


def put_picture(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1]).save(path)
    return path


# Multiples of 1/64 px, as float32 boxes with coordinates of at least 2^-7 px are in YOLO's shares, and floats of any
# kind from there.
coordinate = st.integers(0, 64 * 64).map(lambda value: value / 64) | st.floats(2**-7, 64, width=32)
words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=9)
objects = st.lists(st.tuples(st.integers(0, 3), *[coordinate] * 4, st.booleans()), max_size=4)


@given(
    st.lists(objects, min_size=1, max_size=3),
    st.lists(words, min_size=4, max_size=4, unique=True),
    st.tuples(st.integers(64, 200), st.integers(64, 200)),
    st.permutations(FORMATS),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_sets(tmp_path_factory, lists, names, size, order):
    folder = tmp_path_factory.mktemp("random")
    path = put_picture(folder / "picture.png", size)
    images = []
    for number, rows in enumerate(lists):
        items = tuple(
            LabelledObject(place, names[row[0]], corners(row[1:5]), row[5]) for place, row in enumerate(rows, start=1)
        )
        items = tuple(item for item in items if item.box[0] < item.box[2] and item.box[1] < item.box[3])
        images.append(ImageObjects(f"{number} b/img {number}", path, size, items, path))
    now, problems, known_flags = images, Problems(), True
    for step, fmt in enumerate(order):
        write_dataset(folder / str(step), fmt, {"train": now, "test": now}, names)
        now = load(folder / str(step), "train", problems)
        known_flags &= fmt != "yolo"
        assert facts(now, known_flags) == facts(images, known_flags)
        assert facts(load(folder / str(step), "test", problems)).keys() == facts(images).keys()
    assert problems.records == ()


def corners(values):
    x1, y1, x2, y2 = map(float, values)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def test_what_voc_says_more_survives_coco_and_what_it_cannot_hold_is_told(tmp_path):
    path = put_picture(tmp_path / "a.png", (10, 20))
    extras = {"pose": "Left", "truncated": "1", "occluded": "0"}
    item = LabelledObject(1, "cat", (1, 2, 5, 9), True, extras=extras)
    now = [ImageObjects("a", path, (10, 20), (item,), path)]
    for step, fmt in enumerate(["voc", "coco", "voc"]):
        assert not write_dataset(tmp_path / str(step), fmt, {"all": now}, ["cat"])
        now = load(tmp_path / str(step), "all", Problems())
    assert dict(now[0].objects[0].extras) == extras
    assert now[0].objects[0].difficult
    lost = write_dataset(tmp_path / "y", "yolo", {"all": now}, ["cat", "dog"])
    assert lost == {"difficult": 1, "pose": 1, "truncated": 1}
    lost = write_dataset(tmp_path / "v", "voc", {"all": now}, ["cat", "dog"])
    assert lost == {"class without objects (dog)": 1}
    foreign = replace(item, extras={"pose": "Left", "my note": "1", "1st": "2", "name": "x", "part": "..."})
    lost = write_dataset(tmp_path / "t", "voc", {"all": [replace(now[0], objects=(foreign,))]}, ["cat"])
    assert lost == {"my note": 1, "1st": 1, "name": 1, "part": 1}
    assert load(tmp_path / "t", "all", Problems())[0].objects[0].extras == {"pose": "Left", "truncated": "0"}
    drawn = [replace(now[0], objects=(replace(item, extras={"segmentation": True}),))]
    assert write_dataset(tmp_path / "c", "coco", {"all": drawn}, ["cat"]) == {"outlines (the box is kept)": 1}


def test_nothing_is_written_over(tmp_path):
    path = put_picture(tmp_path / "set" / "a.png", (10, 20))
    image = ImageObjects("a", path, (10, 20), (LabelledObject(1, "cat", (1, 2, 5, 9), False),), path)
    with pytest.raises(FileExistsError, match="nothing is written over"):
        write_dataset(tmp_path / "set", "voc", {"all": [image]}, ["cat"])
    with pytest.raises(ValueError, match="expected classes of the list, got cat"):
        write_dataset(tmp_path / "other", "voc", {"all": [image]}, ["dog"])
    broken = replace(image, path=tmp_path / "absent.png")
    with pytest.raises(FileNotFoundError):
        write_dataset(tmp_path / "other", "voc", {"all": [broken]}, ["cat"])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["set"]
    assert [one.name for one in (tmp_path / "set").iterdir()] == ["a.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_stored_frame_are_turned_for_yolo(tmp_path, orientation):
    size, box = (10, 20), (1, 2, 5, 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(pixels).save(path, exif=exif)
    upright, stored = image_sizes(path)
    found, frame = to_upright(path, stored, box)
    assert frame == upright
    if upright != stored:
        image = ImageObjects("a", path, stored, (LabelledObject(1, "cat", box, False),), path)
        write_dataset(tmp_path / "y", "yolo", {"all": [image]}, ["cat"])
        from detection.data import read_image

        turned = read_dataset(tmp_path / "y", "train").images[0]
        assert turned.boxes[0].tolist() == list(found)
        x1, y1, x2, y2 = map(int, found)
        shown = read_image(path)
        assert shown[y1:y2, x1:x2].all()
        assert shown.sum() == pixels.sum()
    else:
        assert found == box
