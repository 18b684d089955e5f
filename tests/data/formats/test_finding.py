"""Sets in all formats: found by looking, read with their own coordinate rules, joined, divided."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data import (
    DataError,
    DatasetSettings,
    DatasetSource,
    Problems,
    dataset_classes,
    load_annotations,
    read_dataset,
)
from detection.data.census import SetTally
from detection.data.formats.finding import find_set, open_split, possible_formats
from detection.data.formats.yolo_set import YoloSet
from detection.data.usable import labelled_images

SIZE = (90, 120)
CLASSES = ("cat", "dog")
# x y width height of the half-open box (12, 9, 60, 45) in shares of 120 x 90
SHARES = "0.3 0.3 0.4 0.4"
BOX = [12, 9, 60, 45]


def put_image(path: Path, size=SIZE, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path


def put(path: Path, content: str | bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def xml(*objects, size=SIZE):
    rows = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        f"</bndbox></object>\n"
        for name, (x1, y1, x2, y2) in objects
    )
    return f"<annotation><size><width>{size[1]}</width><height>{size[0]}</height></size>\n{rows}</annotation>"


def yolo(root: Path, labels, yaml="names: [cat, dog]\ntrain: images/train\nval: images/val\n", split="train"):
    """labels: image name -> text of its label file, None for no file."""
    put(root / "data.yaml", yaml)
    (root / "images" / "val").mkdir(parents=True, exist_ok=True)
    for name, text in labels.items():
        put_image(root / "images" / split / f"{name}.jpg")
        if text is not None:
            put(root / "labels" / split / f"{name}.txt", text)
    return root


def coco(path: Path, images, annotations=(), categories=((3, "cat"), (90, "dog")), folder=None, **more):
    """images: (id, file_name); annotations: (image, category, bbox) and more keys."""
    content = {
        "images": [{"id": one, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for one, name in images],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box, **(rest[0] if rest else {})}
            for n, (image, category, box, *rest) in enumerate(annotations, start=1)
        ],
        "categories": [{"id": one, "name": name} for one, name in categories],
        **more,
    }
    for _, name in images if folder is not None else ():
        put_image(folder / name)
    return put(path, json.dumps(content, indent=1))


def read(path, problems=None, **options):
    return read_dataset(path, problems=Problems() if problems is None else problems, **options)


def test_a_yolo_folder_by_hand(tmp_path):
    problems = Problems()
    labels = {"a": f"1 {SHARES}\r\n\r\n0 0.5 0.5 1 1\n", "no file": None, "empty": ""}
    found = read(yolo(tmp_path, labels), problems, split="train")
    assert (found.format, found.classes) == ("yolo", CLASSES)
    assert [one.image_id for one in found.images] == ["a", "empty", "no file"]
    assert found.images[0].boxes.tolist() == [BOX, [0, 0, 120, 90]]
    assert found.images[0].labels.tolist() == [1, 0]
    assert [len(one.boxes) for one in found.images[1:]] == [0, 0]
    assert len(problems) == 0


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.3 0.3 0.4", "box that is not four numbers"),
        ("0 0.3 0.3 0.4 nan", "box that is not four numbers"),
        ("0 0.3 x 0.4 0.4", "box that is not four numbers"),
        ("0 0.3 0.3 0.4 0.4 0.9", "box that is not four numbers"),
        ("2 0.3 0.3 0.4 0.4", "class number without a name"),
        ("-1 0.3 0.3 0.4 0.4", "class number without a name"),
        ("0.5 0.3 0.3 0.4 0.4", "class number without a name"),
        ("0 36 27 48 36", "box in px"),
        ("0 0.3 0.3 0 0.4", "empty box"),
        ("0 0.3 0.3 -0.4 0.4", "box with swapped corners"),
        ("0 1.5 0.3 0.1 0.1", "box wholly outside the image"),
        ("0 0.1 0.3 0.4 0.4", "box reaching outside the image"),
    ],
)
def test_faulty_yolo_lines_name_their_line(tmp_path, line, kind):
    problems = Problems()
    read(yolo(tmp_path, {"a": f"\ufeff1 {SHARES}\n{line}\n"}), problems, split="train")
    assert [(one.kind, one.line, Path(one.file).name) for one in problems] == [(kind, 2, "a.txt")]


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("0 0.250000 0.500000 0.500002 1.000001\n", 0),
        # Of 120 px, the longer side, 0.000009 and 0.000011 are left of the image: 0.00001 is still rounding.
        ("0 0.25 0.5 0.500018 1\n", 0),
        ("0 0.25 0.5 0.500022 1\n", 1),
    ],
)
def test_rounding_of_six_decimals_is_no_fault(tmp_path, line, faults):
    problems = Problems()
    found = read(yolo(tmp_path, {"a": line}), problems, split="train")
    assert found.images[0].boxes[0, :2].tolist() == [0, 0]
    assert [one.kind for one in problems] == ["box reaching outside the image"] * faults


def test_polygons_are_read_as_boxes_and_told(tmp_path):
    problems = Problems()
    triangle = "0 0.1 0.1 0.5 0.2 0.3 0.5\n"
    found = read(yolo(tmp_path, {"a": triangle}), problems, split="train")
    assert np.allclose(found.images[0].boxes, [[12, 9, 60, 45]])
    assert any("1 polygons are read as their boxes" in note for note in problems.notes)
    assert len(problems) == 0


def test_names_of_a_yolo_set(tmp_path):
    gaps = "names:\n  0: cat\n  7: dog\ntrain: images/train\n"
    found = read(yolo(tmp_path / "gaps", {"a": f"7 {SHARES}\n"}, gaps), split="train")
    assert (found.classes, found.images[0].labels.tolist()) == (CLASSES, [1])
    root = yolo(tmp_path / "txt", {"a": f"1 {SHARES}\n"})
    (root / "data.yaml").unlink()
    put(root / "labels" / "classes.txt", "cat\r\ndog\r\n")
    assert read(root, split="train").classes == CLASSES
    for text in ("names: []", "names: [cat, cat]", "names: {x: cat}", "names: 3", "nothing: 1"):
        put(root / "data.yaml", text)
        with pytest.raises(ValueError, match=r"data\.yaml"):
            YoloSet(root / "data.yaml")


@pytest.mark.parametrize("value", ["../outside", "/etc", "images/../../outside", "C:\\x", "~/x", "3", "[1]"])
def test_a_data_yaml_does_not_lead_outside(tmp_path, value):
    put_image(tmp_path / "outside" / "secret.jpg")
    root = yolo(tmp_path / "set", {"a": ""}, f"names: [cat]\ntrain: {value}\n")
    with pytest.raises(ValueError, match=r"data\.yaml: split that is not there: train"):
        read(root, split="train")
    put(root / "data.yaml", f"path: {json.dumps(value)}\nnames: [cat]\ntrain: outside\n")
    with pytest.raises(ValueError, match=r"data\.yaml: split that is not there: train"):
        read(root, split="train")


def test_roboflows_paths_and_lists_of_images(tmp_path):
    root = tmp_path / "set"
    put_image(root / "train" / "images" / "a.jpg")
    put(root / "train" / "labels" / "a.txt", f"0 {SHARES}\n")
    put(root / "data.yaml", "names: [cat]\ntrain: ../train/images\n")
    assert read(root, split="train").images[0].boxes.tolist() == [BOX]
    put(root / "data.yaml", "names: [cat]\ntrain: list.txt\n")
    put(
        root / "list.txt",
        "./train/images/a.jpg\n../../x.jpg\ntrain/images/absent.jpg\ntrain/images/a.jpg\n/etc/passwd\n",
    )
    problems = Problems()
    assert [one.image_id for one in read(root, problems, split="train").images] == ["train/images/a"]
    assert [(one.kind, one.line) for one in problems] == [
        ("image id that leaves the folder", 2),
        ("missing image", 3),
        ("image id listed again", 4),
        ("image id that leaves the folder", 5),
    ]


def test_yaml_bombs_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    root = yolo(tmp_path, {"a": ""}, "\n".join([*lines, "names: *a59", "train: images/train"]))
    with pytest.raises(ValueError, match=r"data\.yaml: expected YAML"):
        read(root / "data.yaml", split="train")
    put(root / "data.yaml", "names: !!python/object/apply:os.system [echo]\n")
    with pytest.raises(ValueError, match=r"data\.yaml: expected YAML"):
        read(root / "data.yaml", split="train")


def test_a_coco_json_by_hand(tmp_path):
    problems = Problems()
    path = coco(
        tmp_path / "annotations" / "instances_val2017.json",
        [(139, "sub/a.jpg"), (7, "b.jpg")],
        [
            (139, 90, [12, 9, 48, 36]),
            (139, 3, [0.25, 0.5, 10.5, 20.125], {"iscrowd": 1, "segmentation": {"counts": [1]}}),
        ],
        folder=tmp_path / "val2017",
    )
    found = read(path, problems)
    assert (found.format, found.classes) == ("coco", CLASSES)
    assert [one.image_id for one in found.images] == ["sub/a", "b"]
    assert found.source_ids == {"sub/a": "139", "b": "7"}
    assert found.images[0].boxes.tolist() == [BOX, [0.25, 0.5, 10.75, 20.625]]
    assert found.images[0].labels.tolist() == [1, 0]
    assert found.images[0].difficult.tolist() == [False, True]
    assert found.images[1].boxes.shape == (0, 4)
    assert len(problems) == 0
    assert read(tmp_path, split="val").images[0].image_id == "sub/a"


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ((1, 3, [1, 2, 3]), "box that is not four numbers"),
        ((1, 3, [1, 2, 3, "4"]), "box that is not four numbers"),
        ((1, 3, [1, 2, 3, 1e300]), "box that is not four numbers"),
        ((1, 3, [1, 2, 3, 10**400]), "box that is not four numbers"),
        ((1, 3, [1, 2, 3, True]), "box that is not four numbers"),
        ((1, 3, None), "object without a box"),
        ((2, 3, [1, 2, 3, 4]), "annotation of no image"),
        ((1, 4, [1, 2, 3, 4]), "annotation of no class"),
        (([], {}, [1, 2, 3, 4]), "annotation of no image"),
        ((1, 3, [1, 2, 0, 4]), "empty box"),
        ((1, 3, [9, 9, -4, 4]), "box with swapped corners"),
        ((1, 3, [130, 9, 4, 4]), "box wholly outside the image"),
        ((1, 3, [-4, 9, 14, 4]), "box reaching outside the image"),
    ],
)
def test_faulty_coco_annotations_name_their_line(tmp_path, annotation, kind):
    problems = Problems()
    path = coco(tmp_path / "a.json", [(1, "a.jpg")], [annotation], folder=tmp_path)
    read(path, problems)
    assert [one.kind for one in problems] == [kind]
    line = path.read_text().splitlines().index(' "annotations": [') + 2
    assert [(one.line, one.file) for one in problems] == [(line, str(path))]


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "..\\secret.jpg", "", ".", "\0"]
)
def test_a_file_name_does_not_lead_outside(tmp_path, name):
    put_image(tmp_path / "secret.jpg")
    path = coco(tmp_path / "set" / "a.json", [(1, name), (2, "b.jpg")])
    put_image(tmp_path / "set" / "b.jpg")
    problems = Problems()
    assert [one.image_id for one in read(path, problems).images] == ["b"]
    assert [one.kind for one in problems] == ["image id that leaves the folder"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"images": {}}',
        '{"images": [1], "categories": []}',
        '{"images": [' + "[" * 100_000,
        '{"images": [NaN]}',
        '{"images": [], "annotations": [], "categories": []}',
        '{"images": [{}],}',
        '{"images": [' + "9" * 10_000 + "]}",
    ],
)
def test_a_json_that_is_no_coco(tmp_path, text):
    with pytest.raises(ValueError, match=r"a\.json"):
        read(put(tmp_path / "a.json", text), format="coco")


def test_a_plain_folder(tmp_path):
    for name in ("a.JPG", "b.png", "deep/c.jpeg", "later.jpg"):
        put_image(tmp_path / name, format="PNG" if name.endswith("png") else "JPEG")
    put(tmp_path / "a.xml", xml(("cat", (13, 10, 60, 45))))
    put(tmp_path / "Annotations" / "b.xml", xml(("dog", (1, 1, 120, 90))))
    put(tmp_path / "deep" / "c.jpeg.xml", xml())
    problems = Problems()
    found = read(tmp_path, problems)
    assert (found.format, found.classes) == ("folder", CLASSES)
    assert [one.image_id for one in found.images] == ["a", "b", "deep/c"]
    assert found.images[0].boxes.tolist() == [BOX]
    assert [(one.kind, Path(one.file).name) for one in problems] == [("image without annotation", "later.jpg")]


def test_splits_by_subfolder_and_twin_names(tmp_path):
    for split in ("train", "valid"):
        put_image(tmp_path / split / "a.jpg", seed=len(split))
        put(tmp_path / split / "a.xml", xml(("cat", (1, 1, 9, 9))))
    put_image(tmp_path / "train" / "a.png")
    put(tmp_path / "train" / "a.png.xml", xml())
    assert [one.image_id for one in read(tmp_path, split="train").images] == ["a.jpg", "a.png"]
    assert [one.image_id for one in read(tmp_path, split="test").images] == ["a"]


def test_a_rotated_photo_in_a_yolo_set_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    root = yolo(tmp_path, {"a": f"0 {SHARES}\n"})
    put_image(root / "images" / "train" / "a.jpg", exif=exif)
    found = read(root, split="train").images[0]
    assert found.size == (120, 90)
    assert found.boxes.tolist() == [[9, 12, 45, 60]]


def test_formats_are_found_by_looking(tmp_path, make_devkit):
    devkit = make_devkit({"trainval": {"a": [("cat", BOX)]}})
    assert possible_formats(devkit) == possible_formats(devkit / "VOC2007") == ["voc"]
    assert find_set(devkit).path == devkit / "VOC2007"
    with pytest.raises(ValueError, match=r"Did you mean .*VOCdevkit"):
        find_set(devkit.parent)
    assert possible_formats(yolo(tmp_path / "y", {"a": ""})) == ["yolo"]
    assert possible_formats(coco(tmp_path / "c" / "x.json", [(1, "a.jpg")]).parent) == ["coco"]
    both = yolo(tmp_path / "both", {"a": ""})
    coco(both / "annotations" / "instances_train.json", [(1, "a.jpg")])
    assert "could be yolo too" in str(find_set(both))
    assert find_set(both, "yolo").format == "yolo"
    with pytest.raises(ValueError, match="found nothing there"):
        find_set(tmp_path / "absent")
    with pytest.raises(ValueError, match="expected a COCO json"):
        find_set(tmp_path / "y", "coco")
    make_devkit({"trainval": {"z": []}}, year="VOC2012")
    assert find_set(devkit).path == devkit / "VOC2007"
    (devkit / "VOC2007").rename(devkit / "VOC2010")
    with pytest.raises(ValueError, match="expected one year, got VOC2010, VOC2012"):
        find_set(devkit)


def test_usual_split_names_stand_for_others(tmp_path):
    root = yolo(tmp_path, {"a": ""})
    yolo(root, {"b": f"0 {SHARES}\n"}, split="val")
    problems = Problems()
    assert [one.image_id for one in read(root, problems, split="trainval", classes=CLASSES).images] == ["a"]
    assert [one.image_id for one in read(root, problems, split="test", classes=CLASSES).images] == ["b"]
    yolo(root, {"c": ""}, "names: [cat]\ntrain: images/train\nval: images/val\ntest: images/test\n", split="test")
    assert [one.image_id for one in read(root, split="trainval").images] == ["a", "b"]
    assert [one.image_id for one in read(root, split="test").images] == ["c"]
    with pytest.raises(ValueError, match="splits: train, val, test"):
        read(root, split="other")


def test_a_set_without_splits_is_divided(tmp_path):
    for number in range(20):
        put_image(tmp_path / f"{number:02}.png")
        put(tmp_path / f"{number:02}.xml", xml((CLASSES[number % 2], (1, 1, 9, 9))))
    settings = DatasetSettings(root=str(tmp_path), held_out=0.3, seed=4)
    problems = Problems()
    assert dataset_classes(settings, problems) == CLASSES
    train = load_annotations(settings.train_sources, CLASSES, problems)
    test = load_annotations(settings.test_sources, CLASSES, problems)
    assert {one.image_id for one in train}.isdisjoint(one.image_id for one in test)
    assert (len(train), len(test)) == (14, 6)
    assert sorted(int(one.labels[0]) for one in test) == [0, 0, 0, 1, 1, 1]
    assert any("14 images are trainval, 6 are held out as test" in note for note in problems.notes)
    assert len(read(tmp_path).images) == 20


def test_joined_sets_of_two_formats_with_a_class_mapping(tmp_path, make_devkit):
    devkit = make_devkit({"trainval": {"a": [("sofa", BOX)], "b": [("cat", BOX)]}})
    path = coco(
        tmp_path / "c" / "x.json",
        [(1, "a.jpg")],
        [(1, 1, [12, 9, 48, 36]), (1, 2, [0, 0, 9, 9]), (1, 5, [0, 0, 9, 9])],
        categories=((1, "couch"), (2, "cat"), (5, "person")),
        folder=tmp_path / "c",
    )
    sources = (DatasetSource(root=str(devkit)), DatasetSource(root=str(path), split="all"))
    settings = DatasetSettings(root="unused", train=sources, class_map={"couch": "sofa", "person": None})
    problems = Problems()
    assert dataset_classes(settings, problems) == ("cat", "sofa")
    with pytest.raises(ValueError, match=r"image 'a': expected an id in one source.*a name for one of them"):
        load_annotations(settings.train_sources, ("cat", "sofa"), problems)
    named = (sources[0], DatasetSource(root=str(path), split="all", name="coco"))
    settings = DatasetSettings(root="unused", train=named, class_map={"couch": "sofa", "person": None})
    images = load_annotations(settings.train_sources, ("cat", "sofa"), problems)
    assert [(one.image_id, one.labels.tolist()) for one in images] == [("a", [1]), ("b", [0]), ("coco/a", [1, 0])]
    assert images[0].boxes.tolist() == [BOX]
    assert len(problems) == 0
    with pytest.raises(DataError, match="unknown class 'couch'"):
        load_annotations([DatasetSource(root=str(path), split="all")], ("cat", "sofa"), Problems(strict=True))


def test_an_absolute_path_that_begins_in_the_set_does_not_lead_outside(tmp_path):
    put_image(tmp_path / "outside" / "secret.jpg")
    root = yolo(tmp_path / "set", {"a": ""}, f"names: [cat]\ntrain: {tmp_path}/set/../outside\n")
    with pytest.raises(ValueError, match=r"data\.yaml: split that is not there: train: .*inside"):
        read(root, split="train")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_pipes_and_broken_links_in_a_set(tmp_path):
    """They are told and left out: none is waited for, and what the rest says is read."""
    for number in range(5):
        put_image(tmp_path / f"images/{number}.jpg")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{number}.txt").write_text("0 .5 .5 .2 .2\n")
    (tmp_path / "labels/4.txt").unlink()
    os.mkfifo(tmp_path / "labels/4.txt")
    os.mkfifo(tmp_path / "images/pipe.jpg")
    (tmp_path / "labels/pipe.txt").write_text("0 .5 .5 .2 .2\n")
    os.mkfifo(tmp_path / "notes.txt")
    (tmp_path / "labels/link.txt").symlink_to("nowhere")
    (tmp_path / "images/link.jpg").symlink_to("nowhere")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    problems = Problems()
    readers = [open_split(find_set(tmp_path), one, problems, 0.2, 0)[0] for one in ("trainval", "test")]
    tally = SetTally(find_set(tmp_path))
    read = [one.image_id for reader in readers for one in labelled_images(reader, problems, None, {}, tally=tally)]
    assert sorted(read) == ["0", "1", "2", "3"]
    assert sorted((one.kind, one.file.rpartition("/")[2]) for one in problems.records) == [
        ("missing image", "link.jpg"),
        ("unreadable image", "pipe.jpg"),
        ("unreadable label file", "4.txt"),
    ]
    assert tally.census().adds_up
