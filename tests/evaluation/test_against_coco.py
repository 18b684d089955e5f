"""COCO's own evaluation, where its matching and the devkit's agree: objects of one class apart, none difficult."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluation import DUPLICATE, ELEVEN_POINTS, TRUE_POSITIVE, evaluate
from detection.types import AnnotatedImage, Detections

CLASSES = ("cat", "dog", "horse")


def separated_case(seed, images=12):
    """At most one object of a class in each cell of a 3 x 3 grid; detections near them and elsewhere."""
    generator = np.random.default_rng(seed)
    detections, annotations = [], []
    for i in range(images):
        boxes, labels, shifted, guesses = [], [], [], []
        for cell in range(9):
            if generator.random() < 0.4:
                corner = np.array([cell % 3, cell // 3]) * 40
                sides = generator.integers(10, 40, 2)
                box = np.concatenate([corner, corner + sides])
                label = generator.integers(0, 3)
                boxes.append(box)
                labels.append(label)
                for _ in range(generator.integers(0, 4)):
                    moved = box + generator.integers(-3, 4, 4)
                    shifted.append(np.clip(moved, 0, 120))
                    guesses.append(label if generator.random() < 0.8 else generator.integers(0, 3))
        corners = generator.integers(0, 90, (8, 2))
        shifted.extend(np.concatenate([corners, corners + generator.integers(5, 30, (8, 2))], axis=1))
        guesses.extend(generator.integers(0, 3, 8))
        shifted, guesses = np.array(shifted), np.array(guesses)
        whole = (shifted[:, 2:] > shifted[:, :2]).all(axis=1)
        shifted, guesses = shifted[whole].astype(np.float32), guesses[whole]
        annotations.append(truth(str(i), boxes, labels))
        # One decimal: equal scores within and across images are common.
        scores = -np.sort(-np.round(generator.random(len(guesses)), 1)).astype(np.float32)
        detections.append(Detections(str(i), shifted, scores, guesses.astype(np.int64)))
    return detections, annotations


def truth(image_id, boxes, labels):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    none = np.zeros(len(boxes), bool)
    return AnnotatedImage(image_id, Path("x"), (120, 120), boxes, np.array(labels, dtype=np.int64), none)


def coco_box(box):
    x1, y1, x2, y2 = box.astype(float).tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def coco_evaluation(detections, annotations, label, thresholds, iou_threshold=0.5):
    """(precision at `thresholds`, greatest recall) of one class from pycocotools."""
    objects = [
        {
            "id": 1 + 100 * i + k,
            "image_id": i,
            "category_id": int(one.labels[k]) + 1,
            "bbox": coco_box(one.boxes[k]),
            "area": 1.0,
            "iscrowd": 0,
        }
        for i, one in enumerate(annotations)
        for k in range(len(one.labels))
    ]
    results = [
        {
            "image_id": i,
            "category_id": int(one.labels[k]) + 1,
            "bbox": coco_box(one.boxes[k]),
            "score": float(one.scores[k]),
        }
        for i, one in enumerate(detections)
        for k in range(len(one.labels))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        given = COCO()
        given.dataset = {
            "info": {},
            "images": [{"id": i, "height": 120, "width": 120} for i in range(len(annotations))],
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
            "annotations": objects,
        }
        given.createIndex()
        run = COCOeval(given, given.loadRes(results), "bbox")
        run.params.iouThrs = np.array([iou_threshold])
        run.params.recThrs = np.array(thresholds)
        run.params.catIds = [label + 1]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.params.maxDets = [100]
        run.evaluate()
        run.accumulate()
    return run.eval["precision"][0, :, 0, 0, 0], float(run.eval["recall"][0, 0, 0, 0])


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.75]))
def test_both_metrics_at_coco_matching(seed, iou_threshold):
    """COCO reads precision at given recalls: at the eleven points that is VOC 2007, at each k of G objects the area."""
    detections, annotations = separated_case(seed)
    eleven = evaluate(detections, annotations, CLASSES, "voc07", iou_threshold)
    area = evaluate(detections, annotations, CLASSES, "voc10", iou_threshold)
    for label, (one, other) in enumerate(zip(eleven.per_class, area.per_class, strict=True)):
        at_points, recall = coco_evaluation(detections, annotations, label, ELEVEN_POINTS, iou_threshold)
        assert one.ap == pytest.approx(at_points.mean(), abs=1e-12)
        assert one.greatest_recall == recall
        at_objects = np.arange(1, other.objects + 1) / other.objects
        expected, _ = coco_evaluation(detections, annotations, label, at_objects, iou_threshold)
        assert other.ap == pytest.approx(expected.mean(), abs=1e-12)


def test_where_coco_matches_differently():
    """Two objects of a class overlap. COCO gives the second detection the free one, the devkit calls it a repeat."""
    annotations = [truth("0", [[0, 0, 10, 10], [0, 3, 10, 13]], [0, 0])]
    boxes = np.array([[0, 0, 10, 10], [0, 1, 10, 11]], dtype=np.float32)
    detections = [Detections("0", boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64))]
    ours = evaluate(detections, annotations, CLASSES, "voc10").per_class[0]
    assert ours.matches.outcomes.tolist() == [TRUE_POSITIVE, DUPLICATE]
    assert ours.ap == pytest.approx(1 / 2)
    precision, recall = coco_evaluation(detections, annotations, 0, [0.5, 1.0])
    assert recall == 1
    assert precision.mean() == pytest.approx(1)
