import json

import pytest

from detection.commands.evaluate import evaluate_files, read_truth, run_classes
from detection.data import Problems
from detection.evaluation import EvaluationSettings

SETTINGS = EvaluationSettings()


@pytest.fixture
def devkit(make_devkit):
    return make_devkit(
        {"test": {"one": [("cat", (10, 20, 60, 80))], "two": [("dog", (0, 0, 30, 30)), ("cat", (40, 0, 90, 50))]}}
    )


def coco_json(path, split="val"):
    """The same objects as COCO json, its images not there, numbers with gaps."""
    boxes = [(7, 17, [10, 20, 50, 60]), (9, 18, [0, 0, 30, 30]), (9, 17, [40, 0, 50, 50])]
    images = [
        {"id": number, "file_name": name, "height": 90, "width": 120}
        for number, name in ((7, "one.jpg"), (9, "two.jpg"))
    ]
    annotations = [
        {"id": k + 1, "image_id": image, "category_id": category, "bbox": box, "area": 1.0, "iscrowd": 0}
        for k, (image, category, box) in enumerate(boxes)
    ]
    categories = [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}]
    file = path / f"instances_{split}2017.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def evaluated(detections, annotations, split=None, classes=None, problems=None, settings=SETTINGS):
    problems = Problems() if problems is None else problems
    truth = read_truth(str(annotations), split, str(detections), classes, problems)
    return evaluate_files(str(detections), truth, settings, problems)


def devkit_files(folder, split="test"):
    folder.mkdir()
    (folder / f"comp4_det_{split}_cat.txt").write_text("one 0.9 11 21 60 80\ntwo 0.8 41 1 90 50\n")
    (folder / f"comp4_det_{split}_dog.txt").write_text("two 0.7 1 1 30 30\n")
    (folder / f"comp4_det_{split}_cow.txt").write_text("two 0.7 1 1 30 30\n")
    return folder


def yolo_files(folder):
    folder.mkdir()
    (folder / "one.txt").write_text(f"0 {35 / 120} {50 / 90} {50 / 120} {60 / 90} 0.9\n")
    (folder / "two.txt").write_text(
        f"0 {65 / 120} {25 / 90} {50 / 120} {50 / 90} 0.8\n1 0.125 {15 / 90} 0.25 {30 / 90} 0.7\n"
    )
    return folder


def coco_file(path, numbers):
    rows = [
        ("one", numbers[0], [10, 20, 50, 60], 0.9),
        ("two", numbers[0], [40, 0, 50, 50], 0.8),
        ("two", numbers[1], [0, 0, 30, 30], 0.7),
    ]
    keys = ("image_id", "category_id", "bbox", "score")
    path.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    return path


@pytest.mark.parametrize("kind", ["devkit", "coco", "yolo"])
@pytest.mark.parametrize("truth", ["devkit", "coco"])
def test_every_format_against_every_other(devkit, tmp_path, kind, truth):
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    annotations = devkit if truth == "devkit" else coco_json(tmp_path)
    if kind == "devkit":
        found, classes = devkit_files(tmp_path / "found"), None
    elif kind == "coco":
        found, classes = coco_file(tmp_path / "found.json", (1, 2)), str(names)
    else:
        found, classes = yolo_files(tmp_path / "found"), str(names)
    result = evaluated(found, annotations, "test", classes)
    assert result.mean_ap == pytest.approx(1)
    assert [one.objects for one in result.per_class][:2] == [2, 1]
    assert result.images == 2
    if kind == "devkit":
        assert result.classes == ("cat", "dog", "cow")
        assert any("cow" in one for one in result.warnings)


def test_yolo_truth(tmp_path, devkit):
    root = tmp_path / "yolo"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for name in ("one", "two"):
        (root / "images" / f"{name}.jpg").write_bytes((devkit / "VOC2007/JPEGImages" / f"{name}.jpg").read_bytes())
    yolo_files(tmp_path / "found")
    for path in (tmp_path / "found").iterdir():
        text = "\n".join(line.rsplit(" ", 1)[0] for line in path.read_text().splitlines())
        (root / "labels" / path.name).write_text(text)
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: images\nval: images\n")
    for found in (tmp_path / "found", coco_file(tmp_path / "found.json", (1, 2)), devkit_files(tmp_path / "comp4")):
        assert evaluated(found, root, "val").mean_ap == pytest.approx(1)


def test_cocos_own_numbers_and_ids(tmp_path):
    rows = json.loads(coco_file(tmp_path / "found.json", (17, 18)).read_text())
    for row in rows:
        row["image_id"] = {"one": 7, "two": 9}[row["image_id"]]
    (tmp_path / "found.json").write_text(json.dumps(rows))
    result = evaluated(tmp_path / "found.json", coco_json(tmp_path))
    assert result.mean_ap == pytest.approx(1)
    assert result.warnings == ()


def test_a_set_with_one_split_is_never_divided(tmp_path):
    annotations = coco_json(tmp_path)
    found = coco_file(tmp_path / "found.json", (17, 18))
    assert evaluated(found, annotations, "test").images == 2


def test_cocos_areas_sort_objects_by_size(tmp_path):
    """The masks of 1 px^2 make all objects small, though their boxes are large."""
    result = evaluated(
        coco_file(tmp_path / "a.json", (17, 18)), coco_json(tmp_path), settings=EvaluationSettings("coco")
    )
    assert (result.coco.ap_small, result.coco.ap_large) == (pytest.approx(1), None)


def test_voc_needs_names_of_numbers(devkit, tmp_path):
    with pytest.raises(ValueError, match="--classes FILE"):
        evaluated(coco_file(tmp_path / "found.json", (1, 2)), devkit, "test")


def test_a_run_knows_its_classes(run, shapes):
    assert (
        run_classes(run)
        == run_classes(run / "detections")
        == run_classes(run / "detections/test.json")
        == ("box", "disc")
    )
    assert run_classes(shapes) is None
    problems = Problems()
    result = evaluated(run, shapes, "test", problems=problems)
    assert result.mean_ap == json.loads((run / "evaluation/test.json").read_text())["mAP"]
    assert not problems
    path = run / "detections/test.json"
    whole = path.read_text()
    path.write_text(whole.replace("0.", "1.", 1))
    for place in (run, run / "detections", path):
        with pytest.raises(ValueError, match=r"detections/test\.json: damaged, or changed by hand.*run sppnet detect"):
            evaluated(place, shapes, "test")
    # Elsewhere it is anybody's file.
    copy = run.parent / "copy.json"
    copy.write_text(path.read_text())
    assert evaluated(copy, shapes, "test", classes=run / "classes.txt").mean_ap is not None
    (run / "detections/other.json").write_text(whole)
    path.unlink()
    assert evaluated(run, shapes, "test").mean_ap == result.mean_ap


def test_wrong_split_is_told(devkit, tmp_path):
    with pytest.raises(ValueError, match="val"):
        evaluated(devkit_files(tmp_path / "found"), devkit, "val")


@pytest.mark.parametrize("metric", ["voc10", "coco"])
def test_annotation_0_counts(tmp_path, metric):
    """Roboflow numbers annotations from 0; pycocotools takes 0 for "no match", and has that object missed."""
    path = coco_json(tmp_path)
    content = json.loads(path.read_text())
    for number, one in enumerate(content["annotations"]):
        one["id"] = number
    path.write_text(json.dumps(content))
    found = coco_file(tmp_path / "found.json", (17, 18))
    result = evaluated(found, path, "val", settings=EvaluationSettings(metric=metric))
    assert result.mean_ap == pytest.approx(1)
    assert [one.objects for one in result.per_class] == [2, 1]


@pytest.mark.parametrize(
    ("name", "found", "truth"),
    [
        ("ev_bom", "bom.json", "instances_test.json"),
        ("ev_lexi", "lexi_results.json", "gt_lexi.json"),
        ("ev_one_negative", "one_negative.json", "instances_test.json"),
        ("ev_ultralytics_ids", "ul_1based.json", "instances_test.json"),
        ("ev_detectron2_voc", "d2_voc", "../../ev_bom/input/instances_test.json"),
    ],
)
def test_shared_faults(shared_faults, name, found, truth):
    """One detector's results as five programs write them."""
    folder, problems = shared_faults / name / "input", Problems()
    result = evaluated(folder / found, folder / truth, problems=problems, settings=EvaluationSettings(metric="voc10"))
    assert result.mean_ap == pytest.approx(0.901, abs=0.0015)
    assert not any("not among" in one for one in result.warnings)
    assert len(problems) == (name == "ev_one_negative")
