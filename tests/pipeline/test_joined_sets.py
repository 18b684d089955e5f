"""Sets of different formats joined in one run, through every stage."""

import json

from detection.data import DatasetSource, Problems, load_labelled
from detection.data.writing import write_dataset
from detection.pipeline.runner import run_all
from detection.pipeline.stages.detections import read_detections


def test_a_voc_and_a_coco_set_in_one_run(open_run, shapes, tmp_path):
    images = load_labelled([DatasetSource(root=str(shapes))], Problems())
    renamed = [
        type(one)(one.image_id, one.path, one.size, tuple(_renamed(item) for item in one.objects), one.labels)
        for one in images[:4]
    ]
    write_dataset(tmp_path / "coco", "coco", {"all": renamed}, ["disc", "square"])
    (tmp_path / "coco" / "images" / "all").rename(tmp_path / "coco" / "pictures")
    sources = [
        {"root": str(shapes)},
        {
            "root": str(tmp_path / "coco"),
            "split": "all",
            "name": "other",
            "images": str(tmp_path / "coco" / "pictures"),
        },
    ]
    test = [{"root": str(shapes), "split": "test"}, {**sources[1], "name": "again"}]
    experiment = open_run(
        tmp_path / "run",
        f"--dataset.train={json.dumps(sources)}",
        f"--dataset.test={json.dumps(test)}",
        '--dataset.class_map={"square": "box"}',
    )
    result = run_all(experiment)
    assert experiment.classes == ("box", "disc")
    ids = [one.image_id for one in experiment.train_images]
    assert ids == [*(f"train{n}" for n in range(8)), *(f"other/train{n}" for n in range(4))]
    for ours, theirs in zip(experiment.train_images[:4], experiment.train_images[8:], strict=True):
        assert ours.boxes.tolist() == theirs.boxes.tolist()
        assert ours.labels.tolist() == theirs.labels.tolist()
    assert [one.image_id for one in read_detections(experiment)] == [one.image_id for one in experiment.test_images]
    counted = sum(len(one.boxes) for one in experiment.test_images)
    assert sum(one.objects for one in result.per_class) == counted
    said = experiment.work.console.file.getvalue()
    assert f"{shapes / 'VOC2007'}: format voc" in said
    assert f"{tmp_path / 'coco'}: format coco" in said
    assert len(experiment.work.problems) == 0


def _renamed(item):
    name = "square" if item.name == "box" else item.name
    return type(item)(item.index, name, item.box, item.difficult)
