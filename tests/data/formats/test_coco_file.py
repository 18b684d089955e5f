"""COCO jsons as tools write them: what is said twice, ids in any form, names that lead elsewhere."""

import json

import pytest
from PIL import Image

from detection.data import Problems, read_dataset
from detection.data.formats.coco import coco_files, file_split

BOX = [1, 2, 19, 20]
CATEGORIES = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 24)).save(path)


def read(root, images, annotations, categories=CATEGORIES, name="a.json", photos=("a.jpg", "b.jpg")):
    """images: (id, file name or keys); annotations: (image id, category id). (objects by image, kinds of faults)."""
    for one in photos:
        photo(root / one)
    content = {
        "images": [{"id": one, **(keys if isinstance(keys, dict) else {"file_name": keys})} for one, keys in images],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": [number, *BOX[1:]]}
            for number, (image, category) in enumerate(annotations)
        ],
        "categories": categories,
    }
    (root / name).write_text(json.dumps(content))
    problems = Problems()
    found = read_dataset(root / name, problems=problems, classes=("cat", "dog"))
    objects = {one.image_id: [found.classes[label] for label in one.labels] for one in found.images}
    return objects, [one.kind for one in problems]


def test_an_annotation_of_number_0_counts(tmp_path):
    assert read(tmp_path, [(0, "a.jpg")], [(0, 0), (0, 1)]) == ({"a": ["cat", "dog"]}, [])


def test_an_id_of_two_pictures_is_of_neither(tmp_path):
    objects, kinds = read(tmp_path, [(1, "a.jpg"), (1, "b.jpg"), (2, "c.jpg")], [(1, 0), (2, 1), (1, 1)],
                          photos=("a.jpg", "b.jpg", "c.jpg"))  # fmt: skip
    assert objects == {"c": ["dog"]}
    assert kinds == ["id given again", "id given again", *["annotation of an id given again"] * 2]


def test_an_entry_that_says_the_same_again_is_no_fault(tmp_path):
    categories = [*CATEGORIES, {"supercategory": "x", "id": 0, "name": "cat"}]
    assert read(tmp_path, [(1, "a.jpg"), (1, "a.jpg")], [(1, 0)], categories) == ({"a": ["cat"]}, [])


def test_an_id_of_two_classes_is_of_neither(tmp_path):
    objects, kinds = read(tmp_path, [(1, "a.jpg")], [(1, 0), (1, 1)], [*CATEGORIES, {"id": 1, "name": "cow"}])
    assert objects == {"a": ["cat"]}
    assert kinds == ["id given again", "annotation of an id given again"]


def test_a_picture_of_two_ids_has_the_objects_of_both(tmp_path):
    images = [(1, "a.jpg"), (7, "a.jpg"), (8, f"{tmp_path.as_posix()}/a.jpg"), (9, "./a.jpg"), (2, "b.jpg")]
    objects, kinds = read(tmp_path, images, [(1, 0), (7, 1), (8, 0), (9, 1), (2, 0)])
    assert objects == {"a": ["cat", "dog", "cat", "dog"], "b": ["cat"]}
    assert kinds == ["image listed under two ids"] * 3


@pytest.mark.parametrize("image", ["7", 7.0, 7])
@pytest.mark.parametrize("category", ["1", 1])
def test_ids_are_numbers_in_any_form(tmp_path, image, category):
    assert read(tmp_path, [(7, "a.jpg")], [(image, category)]) == ({"a": ["dog"]}, [])
    assert read(tmp_path, [("7", "a.jpg")], [(image, category)]) == ({"a": ["dog"]}, [])


@pytest.mark.parametrize("image", ["07", "x", 7.5, "7.0", None])
def test_other_text_is_no_number(tmp_path, image):
    assert read(tmp_path, [(7, "a.jpg")], [(image, 1)]) == ({"a": []}, ["annotation of no image"])


@pytest.mark.parametrize(
    "keys",
    [
        {"coco_url": "http://images.cocodataset.org/val2017/a.jpg"},
        {"file_name": "", "coco_url": "http://images.cocodataset.org/val2017/a.jpg"},
        {"flickr_url": "https://farm.example.org/1/a.jpg?size=big"},
        {"file_name": "..\\..\\upload\\4\\a.jpg"},
        {"file_name": "/data/local-files/?d=a.jpg"},
        {"file_name": "/data/local-files/?d=some%20where/a.jpg"},
        {"file_name": "s3://bucket/x/a.jpg"},
        {"file_name": "/home/somebody/a.jpg"},
        {"file_name": "C:\\photos\\a.jpg"},
    ],
)
@pytest.mark.parametrize("folder", ["", "images/", "elsewhere/deep/"])
def test_a_name_that_leads_elsewhere_is_looked_for_in_the_set(tmp_path, keys, folder):
    objects, kinds = read(tmp_path, [(1, keys)], [(1, 0)], photos=(f"{folder}a.jpg",))
    assert list(objects.values()) == [["cat"]]
    assert kinds == ["image found by its last part"]


def test_a_name_that_leads_elsewhere_and_is_of_two_images_is_left_out(tmp_path):
    photos = ("one/a.jpg", "two/a.jpg", "b.jpg")
    objects, kinds = read(tmp_path, [(1, "../a.jpg"), (2, "b.jpg")], [(1, 0)], photos=photos)
    assert (objects, kinds) == ({"b": []}, ["image id that leaves the folder"])


def test_of_two_the_one_beside_the_json_is_meant(tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / split
        read(folder, [(1, "../../a.jpg")], [(1, 0)], name="_annotations.coco.json", photos=("a.jpg",))
        Image.new("RGB", (32 if split == "train" else 48, 24)).save(folder / "a.jpg")
    assert [read_dataset(tmp_path, split).images[0].size for split in ("train", "test")] == [(24, 32), (24, 48)]


def test_a_name_in_the_set_is_not_looked_for_elsewhere(tmp_path):
    """train/a.jpg that is gone is not test/a.jpg."""
    objects, kinds = read(tmp_path, [(1, "train/a.jpg"), (2, "b.jpg")], [(1, 0)], photos=("test/a.jpg", "b.jpg"))
    assert (objects, kinds) == ({"b": []}, ["missing image"])


def test_an_absolute_name_inside_the_set(tmp_path):
    names = [(1, f"{tmp_path.as_posix()}/images/a.jpg"), (2, f"{tmp_path.as_posix()}/images/b.jpg")]
    assert read(tmp_path, names, [(1, 0)], photos=("images/a.jpg", "images/b.jpg")) == ({"a": ["cat"], "b": []}, [])


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017.json", "train"),
        ("annotations/instances_val.json", "val"),
        ("lvis_v1_train.json", "train"),
        ("annotations/instances_default.json", "default"),
        ("valid/_annotations.coco.json", "valid"),
        ("Test/labels.json", "Test"),
        ("train_val.json", "train_val"),
        ("result.json", "result"),
        ("foo2017.json", "foo"),
        ("2017.json", "2017"),
    ],
)
def test_the_split_that_a_file_is_of(tmp_path, name, split):
    assert file_split(tmp_path / name) == split


def test_a_json_of_categories_alone_is_no_set(tmp_path):
    (tmp_path / "notes.json").write_text('{"categories": [{"id": 0, "name": "cat"}]}')
    assert coco_files(tmp_path) == []
    many = [{"id": number, "name": f"a long name of a category {number}"} for number in range(3000)]
    content = {"categories": many, "images": [], "annotations": []}
    (tmp_path / "lvis.json").write_text(json.dumps(content))
    assert coco_files(tmp_path) == [tmp_path / "lvis.json"]


def test_photos_alone_need_no_categories(tmp_path):
    assert read(tmp_path, [(0, "a.jpg"), (1, "b.jpg")], [], categories=[]) == ({"a": [], "b": []}, [])
    with pytest.raises(ValueError, match="expected categories, got none"):
        read(tmp_path, [(0, "a.jpg")], [(0, 0)], categories=[])
    with pytest.raises(ValueError, match="expected images, got none"):
        read(tmp_path, [], [])


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_codings(tmp_path, coding):
    read(tmp_path, [(0, "a.jpg")], [(0, 0)])
    path = tmp_path / "a.json"
    path.write_bytes(path.read_text().replace('"cat"', '"é"').encode(coding))
    assert coco_files(tmp_path) == [path]
    assert read_dataset(tmp_path).classes == ("é", "dog")
