"""A COCO json in which one photo's labels are written over."""

import json
import os
from dataclasses import replace

import pytest
from PIL import Image

from detection.data import DataError, Problems
from detection.data.formats import coco_writing
from detection.data.formats.finding import find_set
from detection.data.labels import LabelledObject
from detection.data.usable import labelled_image

OUTLINE = [[10, 20, 40, 20, 40, 50]]
PERSON = {
    "id": 31, "image_id": 7, "category_id": 4, "bbox": [10, 20, 30, 30], "area": 450.5, "iscrowd": 0,
    "segmentation": OUTLINE, "keypoints": [1, 2, 2], "attributes": {"pose": "left"},
}  # fmt: skip
DOG = {"id": 12, "image_id": 7, "category_id": 2, "bbox": [0, 0, 20, 30.50], "segmentation": OUTLINE, "area": 9}
OTHER = {"id": 90, "image_id": 8, "category_id": 2, "bbox": [1, 2, 3, 4], "segmentation": OUTLINE, "iscrowd": 0}
WHOLE = {
    "info": {"by": "somebody"},
    "licenses": [{"id": 1, "name": "CC"}],
    "images": [
        {"id": 7, "file_name": "a.jpg", "height": 60, "width": 80, "license": 1},
        {"id": 8, "file_name": "b.jpg", "height": 60, "width": 80},
        {"id": "nine", "file_name": "c.jpg"},
    ],
    "annotations": [PERSON, OTHER, DOG],
    "categories": [{"id": 4, "name": "person", "keypoints": ["nose"]}, {"id": 2, "name": "dog"}],
    "more": [1.50, None],
}


@pytest.fixture
def folder(tmp_path):
    for name in "abc":
        Image.new("RGB", (80, 60)).save(tmp_path / f"{name}.jpg")
    put(tmp_path, WHOLE)
    return tmp_path


def put(folder, content, **options):
    (folder / "all.json").write_text(json.dumps(content, **options), encoding="utf-8")


def content(folder):
    return json.loads((folder / "all.json").read_text(encoding="utf-8"))


def annotations(folder, image_id=7):
    return [one for one in content(folder)["annotations"] if one["image_id"] == image_id]


def opened(folder):
    found = find_set(folder)
    return found.splits[next(iter(found.splits))]()


def read(reader, image_id="a"):
    problems = Problems()
    found = labelled_image(reader, image_id, problems)
    assert not problems.records
    return found


def boxes(image):
    return [(one.name, one.box, one.difficult) for one in image.objects]


def new(name, *box):
    return LabelledObject(0, name, tuple(map(float, box)), False)


def test_a_box_that_is_moved_changes_nothing_but_itself(folder):
    before = (folder / "all.json").read_text()
    reader = opened(folder)
    image = read(reader)
    moved = replace(image.objects[0], box=(12.0, 20.0, 40.0, 50.0))
    reader.save(replace(image, objects=(moved, image.objects[1])), {3})
    expected = {**PERSON, "bbox": [12.0, 20.0, 28.0, 30.0], "area": 840.0, "segmentation": []}
    assert content(folder) == {**WHOLE, "annotations": [expected, OTHER, DOG]}
    # The bytes of all else are as they were.
    assert (folder / "all.json").read_text() == before.replace(json.dumps(PERSON), json.dumps(expected))
    assert boxes(read(reader)) == boxes(read(opened(folder)))


def test_another_class_keeps_the_outline(folder):
    reader = opened(folder)
    image = read(reader)
    renamed = replace(image.objects[0], name="dog")
    reader.save(replace(image, objects=(renamed, image.objects[1])), {3})
    assert annotations(folder) == [{**PERSON, "category_id": 2}, DOG]


def test_removed_and_added(folder):
    reader = opened(folder)
    image = read(reader)
    reader.save(replace(image, objects=(image.objects[1], new("person", 1, 2, 3.5, 4))), {3})
    added = {
        "id": 91,
        "image_id": 7,
        "category_id": 4,
        "bbox": [1, 2, 2.5, 2],
        "area": 5,
        "iscrowd": 0,
        "segmentation": [],
    }
    assert content(folder)["annotations"] == [OTHER, DOG, added]
    reader.save(replace(read(reader), objects=()))
    assert content(folder)["annotations"] == [OTHER]
    reader.save(replace(read(reader), objects=(new("dog", 1, 2, 3, 4),)))
    assert [one["id"] for one in content(folder)["annotations"]] == [90, 91]


def test_an_order_is_kept(folder):
    """What is saved is read again in the same order: a page counts on it."""
    reader = opened(folder)
    image = read(reader)
    person, dog = image.objects
    orders = [
        (new("dog", 1, 1, 5, 5), dog),
        (dog, new("dog", 1, 1, 6, 6), person),
        (new("a", 1, 1, 2, 2), new("b", 1, 1, 2, 2)),
    ]
    for objects in orders:
        put(folder, WHOLE)
        reader.renew()
        reader.save(replace(image, objects=objects), {1, 3})
        assert [one[:2] for one in boxes(read(reader))] == [(one.name, one.box) for one in objects]
        assert annotations(folder, 8) == [OTHER]


def test_a_photo_without_annotations(folder):
    reader = opened(folder)
    image = read(reader, "c")
    reader.save(replace(image, objects=()))
    assert content(folder) == WHOLE
    reader.save(replace(image, objects=(new("cow", 1, 2, 3, 4), new("cow", 1, 2, 5, 6), new("dog", 1, 2, 5, 6))))
    assert content(folder)["categories"] == [*WHOLE["categories"], {"id": 5, "name": "cow", "supercategory": ""}]
    assert [one["category_id"] for one in annotations(folder, "nine")] == [5, 5, 2]
    assert reader.classes == ("person", "dog", "cow")
    assert boxes(read(reader, "c"))[0] == ("cow", (1, 2, 3, 4), False)


def test_photos_alone(folder):
    put(folder, {"images": WHOLE["images"]}, indent=1)
    reader = opened(folder)
    reader.save(replace(read(reader), objects=(new("dog", 1, 2, 3, 4),)))
    assert content(folder)["images"] == WHOLE["images"]
    assert boxes(read(opened(folder))) == [("dog", (1, 2, 3, 4), False)]


def test_ids_are_written_as_the_file_has_them(folder):
    categories = [{"id": "2", "name": "dog"}]
    put(folder, {"images": [{"id": "7", "file_name": "a.jpg"}], "annotations": [], "categories": categories})
    reader = opened(folder)
    reader.save(replace(read(reader), objects=(new("dog", 1, 2, 3, 4), new("cat", 1, 2, 3, 4))))
    assert [(one["image_id"], one["category_id"]) for one in content(folder)["annotations"]] == [("7", "2"), ("7", 3)]


def test_a_box_that_reaches_outside_keeps_what_is_written(folder):
    put(folder, {**WHOLE, "annotations": [{**DOG, "bbox": [60, 40, 30, 20]}]})
    reader = opened(folder)
    image = labelled_image(reader, "a", Problems())
    reader.save(replace(image, objects=(replace(image.objects[0], name="person"),)))
    assert annotations(folder) == [{**DOG, "bbox": [60, 40, 30, 20], "category_id": 4}]


def test_difficult_is_a_crowd(folder):
    put(folder, {**WHOLE, "annotations": [{**DOG, "attributes": {"difficult": True, "x": 1}}, PERSON]})
    reader = opened(folder)
    image = read(reader)
    turned = tuple(replace(one, difficult=not one.difficult) for one in image.objects)
    reader.save(replace(image, objects=turned))
    assert [one[2] for one in boxes(read(opened(folder)))] == [False, True]
    assert annotations(folder)[0]["attributes"] == {"difficult": False, "x": 1}
    assert annotations(folder)[1] == {**PERSON, "iscrowd": 1}


def test_what_another_program_writes_meanwhile_is_not_lost(folder, monkeypatch):
    reader = opened(folder)
    image = replace(read(reader), objects=())
    put(folder, {**WHOLE, "annotations": [OTHER, PERSON, DOG]})
    with pytest.raises(ValueError, match=r"all\.json: another program wrote it .*nothing is saved: save again"):
        reader.save(image)
    reader.renew()
    real = coco_writing.edited_lists

    def overtaken(*given):
        text = real(*given)
        put(folder, WHOLE)
        return text

    monkeypatch.setattr(coco_writing, "edited_lists", overtaken)
    with pytest.raises(ValueError, match="nothing is saved: save again"):
        reader.save(image)
    assert content(folder) == WHOLE
    assert sorted(os.listdir(folder)) == ["a.jpg", "all.json", "b.jpg", "c.jpg"]


def test_what_others_write_is_read_when_asked_for(folder):
    reader = opened(folder)
    put(folder, {**WHOLE, "annotations": [OTHER]})
    assert len(read(reader).objects) == 2
    reader.renew()
    assert read(reader).objects == ()
    (folder / "all.json").write_text("{")
    with pytest.raises(DataError, match="malformed JSON"):
        reader.renew()
    put(folder, {**WHOLE, "images": WHOLE["images"][:1]})
    reader.renew()
    with pytest.raises(DataError, match=r"missing image: .*'b': the file names it no more"):
        read(reader, "b")


def test_a_photo_of_two_ids_is_refused(folder):
    twice = {"id": 70, "file_name": "a.jpg", "height": 60, "width": 80}
    content_before = {**WHOLE, "images": [*WHOLE["images"], twice], "annotations": [PERSON, {**DOG, "image_id": 70}]}
    put(folder, content_before)
    reader = opened(folder)
    image = labelled_image(reader, "a", Problems())
    with pytest.raises(ValueError, match="expected one id of a photo, got 7 and 70 of one: sppnet check --fix"):
        reader.save(replace(image, objects=image.objects[:1]))
    assert content(folder) == content_before
