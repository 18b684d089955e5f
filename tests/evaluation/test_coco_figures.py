"""COCO's figures against a COCO evaluation set up from files, as its users do it."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.data import write_coco_results
from detection.evaluation import evaluate
from detection.types import AnnotatedImage, Detections

CLASSES = ("a", "b", "c")
NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "recall_1", "recall_10", "recall_100")
NAMES += ("recall_small", "recall_medium", "recall_large")


def official(tmp_path, detections, annotations):
    """(the evaluation, AP of each class) of pycocotools: ids are places of images, crowds the difficult ones."""
    places = {one.image_id: place for place, one in enumerate(annotations)}
    objects = [
        {
            "id": 1000 * place + row + 1,
            "image_id": place,
            "category_id": int(one.labels[row]) + 1,
            "bbox": [*one.boxes[row, :2].tolist(), *(one.boxes[row, 2:] - one.boxes[row, :2]).tolist()],
            "area": float((one.boxes[row, 2:] - one.boxes[row, :2]).prod() if one.areas is None else one.areas[row]),
            "iscrowd": int(one.difficult[row]),
        }
        for place, one in enumerate(annotations)
        for row in range(len(one.labels))
    ]
    images = [{"id": place, "height": 100, "width": 100} for place in places.values()]
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(CLASSES)]
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps({"images": images, "categories": categories, "annotations": objects, "info": {}}))
    write_coco_results(results, detections)
    rows = [{**row, "image_id": places[row["image_id"]]} for row in json.loads(results.read_text())]
    with contextlib.redirect_stdout(io.StringIO()):
        given_truth = COCO(str(truth))
        run = COCOeval(given_truth, given_truth.loadRes(rows), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][:, :, :, 0, 2]
    per_class = [precision[:, :, k][precision[:, :, k] > -1] for k in range(len(CLASSES))]
    return run, [one.mean() if one.size else None for one in per_class]


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_equals_pycocotools_on_files(random_case, tmp_path_factory, seed):
    detections, annotations = random_case(seed, distinct=False)
    detections = [scaled(one) for one in detections]
    annotations = [scaled(one) for one in annotations]
    if not any(len(one.labels) for one in detections):
        return
    run, per_class = official(tmp_path_factory.mktemp("coco"), detections, annotations)
    result = evaluate(detections, annotations, CLASSES, "coco")
    got = [getattr(result.coco, name) for name in NAMES]
    assert [-1 if value is None else value for value in got] == run.stats.tolist()
    assert_same_matches(run, result.coco.matches, len(annotations))
    assert [one.ap for one in result.per_class] == per_class
    known = [ap for ap in per_class if ap is not None]
    assert result.mean_ap == (pytest.approx(np.mean(known)) if known else None)
    assert result.coco.ap == (pytest.approx(result.mean_ap) if known else None)


def assert_same_matches(run, matches, image_count):
    """Of each class, and objects of any area: what pycocotools keeps image by image."""
    for label, one in enumerate(matches):
        start = label * len(run.params.areaRng) * image_count
        entries = [entry for entry in run.evalImgs[start : start + image_count] if entry is not None]
        order = np.argsort([-score for entry in entries for score in entry["dtScores"]], kind="stable")
        images = np.array([entry["image_id"] for entry in entries for _ in entry["dtScores"]], int)
        assert one.images.tolist() == images[order].tolist()
        assert one.objects.tolist() == [e["image_id"] for e in entries for ignored in e["gtIgnore"] if not ignored]
        for place in range(len(run.params.iouThrs)):
            ignored = np.array([mark for entry in entries for mark in entry["dtIgnore"][place]], bool)[order]
            matched = np.array([mark for entry in entries for mark in entry["dtMatches"][place]], int)[order] > 0
            assert one.ignored[place].tolist() == ignored.tolist()
            assert one.found[place].tolist() == (matched & ~ignored).tolist()


def scaled(one):
    """Four times as large, so that sizes of all kinds occur; with areas of their own."""
    if isinstance(one, Detections):
        return Detections(one.image_id, one.boxes * 4, one.scores, one.labels)
    size = (4 * one.size[0], 4 * one.size[1])
    areas = 0.6 * (one.boxes[:, 2:] - one.boxes[:, :2]).prod(axis=1).astype(np.float64) * 16
    return AnnotatedImage(one.image_id, one.path, size, one.boxes * 4, one.labels, one.difficult, areas=areas)


def test_counts_and_curves_stay_those_of_one_threshold(random_case):
    detections, annotations = random_case(1)
    voc, coco = (evaluate(detections, annotations, CLASSES, metric) for metric in ("voc10", "coco"))
    assert voc.coco is None
    for one, other in zip(voc.per_class, coco.per_class, strict=True):
        assert one.ap10 == other.ap10
        assert one.recall.tolist() == pytest.approx(other.recall.tolist(), nan_ok=True)
    assert coco.to_json()["coco"]["ap50"] == coco.coco.ap50
    assert coco.to_json()["mAP"] == coco.mean_ap


@pytest.mark.parametrize("difficult", ["ignore", "count", "drop"])
def test_difficult(truth, found, difficult):
    box = [0, 0, 10, 10]
    annotation = truth("a", [box, [50, 50, 60, 60]], [0, 0], [True, False])
    detections = [found("a", [box, [50, 50, 60, 60]], [0.9, 0.8])]
    result = evaluate(detections, [annotation], CLASSES, "coco", difficult=difficult)
    assert result.per_class[0].ap == pytest.approx(0.5 if difficult == "drop" else 1, abs=1e-12)


@pytest.mark.parametrize("objects", [0, 1])
def test_no_detection(truth, objects):
    result = evaluate([], [truth("a", [[0, 0, 5, 5]] * objects)], CLASSES, "coco")
    assert result.mean_ap == (0 if objects else None)
    assert result.coco.ap == (0 if objects else None)
    assert result.coco.ap_large is None
