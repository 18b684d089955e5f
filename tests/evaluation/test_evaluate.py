import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.evaluation import (
    DUPLICATE,
    ELEVEN_POINTS,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    EvaluationSettings,
    evaluate,
)
from detection.geometry import iou
from detection.types import AnnotatedImage, Detections

SIZE = (100, 100)


def truth(image_id, boxes, labels=None, difficult=None):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels, dtype=np.int64)
    difficult = np.zeros(len(boxes), bool) if difficult is None else np.array(difficult, dtype=bool)
    return AnnotatedImage(image_id, Path(f"{image_id}.jpg"), SIZE, boxes, labels, difficult)


def found(image_id, boxes, scores, labels=None):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels, dtype=np.int64)
    return Detections(image_id, boxes, np.array(scores, dtype=np.float32), labels)


A, B, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [60, 60, 70, 70]


def outcomes(evaluation, label=0):
    return evaluation.per_class[label].matches.outcomes.tolist()


# -- by hand -----------------------------------------------------------------------------------------------


def test_hit_miss_and_repeat():
    result = evaluate([found("a", [A, FAR, A, B], [0.9, 0.8, 0.7, 0.6])], [truth("a", [A, B, [0, 50, 9, 60]])], ["cat"])
    one = result.per_class[0]
    assert outcomes(result) == [TRUE_POSITIVE, FALSE_POSITIVE, DUPLICATE, TRUE_POSITIVE]
    assert one.matches.objects.tolist() == [0, -1, 0, 1]
    assert one.matches.overlaps.tolist() == [1, 0, 1, 1]
    assert (one.true_positives, one.false_positives, one.duplicates, one.ignored) == (2, 2, 1, 0)
    assert one.precision.tolist() == [1, 1 / 2, 1 / 3, 2 / 4]
    assert one.recall.tolist() == [1 / 3, 1 / 3, 1 / 3, 2 / 3]
    # Points 0 to .3 see precision 1, .4 to .6 see 1/2.
    assert result.mean_ap == pytest.approx((4 + 3 / 2) / 11, abs=1e-15)


def test_a_repeat_is_judged_by_score_across_a_record_not_by_overlap():
    """The higher-scoring detection gets the object even where a later one fits better."""
    result = evaluate([found("a", [[0, 0, 10, 8], A], [0.9, 0.8])], [truth("a", [A])], ["cat"])
    assert outcomes(result) == [TRUE_POSITIVE, DUPLICATE]


def test_best_object_counts_even_if_taken():
    """As the devkit, unlike COCO: the second detection does not fall back on the object that is still free."""
    first, second = [0, 0, 10, 10], [0, 3, 10, 13]
    boxes = [[0, 0, 10, 10], [0, 1, 10, 11]]
    result = evaluate([found("a", boxes, [0.9, 0.8])], [truth("a", [first, second])], ["cat"], iou_threshold=0.5)
    assert outcomes(result) == [TRUE_POSITIVE, DUPLICATE]
    assert result.per_class[0].matches.objects.tolist() == [0, 0]


@pytest.mark.parametrize(("hits", "points"), [(3, 3), (6, 7)])
def test_recall_that_meets_a_point_exactly(hits, points):
    """3 of 10 objects found do not reach MATLAB's 0.30000000000000004; 6 of 10 reach its 0.6."""
    annotations = [truth(str(i), [A]) for i in range(10)]
    detections = [found(str(i), [A], [1 - i / 100]) for i in range(hits)]
    assert evaluate(detections, annotations, ["cat"]).mean_ap == pytest.approx(points / 11, abs=1e-15)
    ports = [i * 0.1 for i in range(11)]
    assert sum(hits / 10 >= point for point in ports) == min(points, hits)


def test_equal_overlaps_go_to_the_first_object():
    objects = [[0, 0, 10, 10], [0, 2, 10, 12]]
    result = evaluate([found("a", [[0, 1, 10, 11]], [1])], [truth("a", objects)], ["cat"])
    assert result.per_class[0].matches.objects.tolist() == [0]


@pytest.mark.parametrize(("comparison", "outcome"), [(">=", TRUE_POSITIVE), (">", FALSE_POSITIVE)])
def test_overlap_of_exactly_the_threshold(comparison, outcome):
    half = [0, 0, 10, 5]
    assert outcomes(evaluate([found("a", [half], [1])], [truth("a", [A])], ["cat"], comparison=comparison)) == [outcome]


def test_iou_threshold():
    record, annotation = [found("a", [[0, 0, 10, 7]], [1])], [truth("a", [A])]
    assert evaluate(record, annotation, ["cat"], iou_threshold=0.7).mean_ap == pytest.approx(1)
    assert evaluate(record, annotation, ["cat"], iou_threshold=0.75).mean_ap == 0


@pytest.mark.parametrize(
    ("difficult", "expected", "objects", "ap"),
    [
        # Ignored: a true positive, and precision 1 at every recall.
        ("ignore", [IGNORED, TRUE_POSITIVE, IGNORED], 1, 1),
        ("count", [TRUE_POSITIVE, TRUE_POSITIVE, DUPLICATE], 2, 1),
        # Dropped: false, true, false: precision 1/2 at every recall.
        ("drop", [FALSE_POSITIVE, TRUE_POSITIVE, FALSE_POSITIVE], 1, 1 / 2),
    ],
)
def test_difficult_objects(difficult, expected, objects, ap):
    annotation = [truth("a", [A, B], difficult=[True, False])]
    result = evaluate([found("a", [A, B, A], [0.9, 0.8, 0.7])], annotation, ["cat"], difficult=difficult)
    assert outcomes(result) == expected
    assert result.per_class[0].objects == objects
    assert result.per_class[0].difficult == 1
    assert result.mean_ap == pytest.approx(ap, abs=1e-15)


def test_dropped_difficult_object_gives_way_to_the_next_best():
    annotation = [truth("a", [A, [0, 2, 10, 12]], difficult=[True, False])]
    record = [found("a", [A], [1])]
    assert outcomes(evaluate(record, annotation, ["cat"])) == [IGNORED]
    dropped = evaluate(record, annotation, ["cat"], difficult="drop")
    assert outcomes(dropped) == [TRUE_POSITIVE]
    assert dropped.per_class[0].matches.objects.tolist() == [1]


def test_all_detections_ignored_is_zero_not_nan():
    annotation = [truth("a", [A, B], difficult=[True, False])]
    assert evaluate([found("a", [A], [1])], annotation, ["cat"]).mean_ap == 0


def test_equal_scores_keep_the_order_of_the_records():
    annotation = [truth("a", [A]), truth("b", [])]
    good, bad = found("a", [A], [0.5]), found("b", [A], [0.5])
    assert outcomes(evaluate([good, bad], annotation, ["cat"])) == [TRUE_POSITIVE, FALSE_POSITIVE]
    assert outcomes(evaluate([bad, good], annotation, ["cat"])) == [FALSE_POSITIVE, TRUE_POSITIVE]


def test_classes_are_apart_and_the_mean_is_over_those_with_objects():
    annotation = [truth("a", [A, A], labels=[0, 1])]
    result = evaluate([found("a", [A, A], [0.9, 0.8], labels=[0, 2])], annotation, ["cat", "cow", "dog"])
    assert [one.ap for one in result.per_class] == [pytest.approx(1), 0, None]
    assert result.mean_ap == pytest.approx(0.5)
    assert outcomes(result, 2) == [FALSE_POSITIVE]
    assert any("dog" in line and "not in the mean" in line for line in result.warnings)


def test_class_with_difficult_objects_only_is_named():
    result = evaluate([], [truth("a", [A], difficult=[True])], ["cat"])
    assert result.mean_ap is None
    assert any("difficult objects only" in line and "cat" in line for line in result.warnings)


# -- empty and ill-fitting input ---------------------------------------------------------------------------


def test_nothing_at_all():
    result = evaluate([], [], ["cat", "dog"])
    assert result.mean_ap is None
    assert result.to_json()["per_class"] == {"cat": None, "dog": None}
    assert evaluate([], [], []).mean_ap is None


def test_empty_images_and_empty_records():
    annotation = [truth("a", []), truth("b", [A]), truth("c", [])]
    result = evaluate([found("a", [], []), found("b", [A], [1])], annotation, ["cat"])
    assert result.mean_ap == pytest.approx(1)
    assert (result.images, result.images_without_detections, result.detections) == (3, 2, 1)


def test_false_positives_in_images_without_objects_count():
    result = evaluate([found("a", [A], [0.9]), found("b", [A], [0.8])], [truth("a", []), truth("b", [A])], ["cat"])
    assert outcomes(result) == [FALSE_POSITIVE, TRUE_POSITIVE]


def test_images_that_are_not_annotated_are_left_out_with_a_warning():
    records = [found("a", [A], [0.9]), found("elsewhere", [A, B], [1.0, 0.5])]
    result = evaluate(records, [truth("a", [A])], ["cat"])
    assert result.detections == 1
    assert result.mean_ap == pytest.approx(1)
    assert any("'elsewhere'" in line and "2 detections" in line for line in result.warnings)


def test_no_detection_is_warned_of():
    assert any("no detection" in line for line in evaluate([], [truth("a", [A])], ["cat"]).warnings)


def test_a_clean_run_has_no_warning():
    assert evaluate([found("a", [A], [1])], [truth("a", [A])], ["cat"]).warnings == ()


@pytest.mark.parametrize(
    ("detections", "annotations", "classes", "message"),
    [
        ([found("a", [A], [1]), found("a", [B], [1])], [], ["cat"], "detections.*two of 'a'"),
        ([], [truth("a", [A]), truth("a", [A])], ["cat"], "annotations.*two of 'a'"),
        ([found("a", [A], [1], [1])], [], ["cat"], "detections of image 'a'.*from 0 to 0.*got 1"),
        ([], [truth("a", [A], [3])], ["cat"], "annotations of image 'a'.*from 0 to 0.*got 3"),
        ([found("a", [A], [np.nan])], [truth("a", [A])], ["cat"], "image 'a'.*finite scores.*nan in row 0"),
        ([], [], ["cat", "cat"], "each name once"),
    ],
)
def test_faults_are_named(detections, annotations, classes, message):
    with pytest.raises(ValueError, match=message):
        evaluate(detections, annotations, classes)


# -- the result --------------------------------------------------------------------------------------------


def test_result_is_immutable():
    result = evaluate([found("a", [A], [1])], [truth("a", [A])], ["cat"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.images = 3
    for array in (result.per_class[0].recall, result.per_class[0].matches.outcomes, result.per_class[0].scores):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_inputs_are_left_alone():
    record, annotation = found("a", [A], [1]), truth("a", [A])
    evaluate([record], [annotation], ["cat"])
    record.scores[0] = 0.5
    annotation.difficult[0] = True


def test_json_holds_what_the_file_needs():
    annotation = [truth("a", [A, B], [0, 0], [True, False])]
    result = evaluate([found("a", [B, A], [0.9, 0.8])], annotation, ["cat", "dog"], metric="voc10")
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert value["metric"] == "voc10"
    assert value["mAP"] == 1
    assert value["per_class"] == {"cat": 1, "dog": None}
    assert value["settings"] == {
        "metric": "voc10",
        "iou_threshold": 0.5,
        "difficult": "ignore",
        "comparison": ">=",
    }
    assert value["counts"]["images"] == 1
    assert value["counts"]["per_class"]["cat"] == {
        "objects": 1,
        "difficult": 1,
        "detections": 2,
        "true_positives": 1,
        "false_positives": 0,
        "duplicates": 0,
        "ignored": 1,
    }


# -- a slow and obvious reference: VOCevaldet.m, line by line, in its 1-based inclusive corners -------------


def devkit(detections, annotations, label, settings):
    """(outcomes, AP) of one class, from the loops of VOCevaldet.m and VOCap.m."""
    objects, npos = {}, 0
    for one in annotations:
        keep = [g for g in range(len(one.labels)) if one.labels[g] == label]
        if settings.difficult == "drop":
            keep = [g for g in keep if not one.difficult[g]]
        ignore = [bool(one.difficult[g]) and settings.difficult == "ignore" for g in keep]
        corners = [(one.boxes[g] + np.array([1, 1, 0, 0])).astype(float).tolist() for g in keep]
        objects[one.image_id] = {"BB": corners, "diff": ignore, "det": [False] * len(keep)}
        npos += ignore.count(False)
    lines = [
        (float(one.scores[k]), one.image_id, (one.boxes[k] + np.array([1, 1, 0, 0])).astype(float).tolist())
        for one in detections
        for k in range(len(one.labels))
        if one.labels[k] == label
    ]
    lines.sort(key=lambda line: -line[0])
    result, tp, fp = [], 0, 0
    curve = []
    for _, image_id, bb in lines:
        of_image = objects[image_id]
        ovmax, jmax = -np.inf, None
        for j, bbgt in enumerate(of_image["BB"]):
            iw = min(bb[2], bbgt[2]) - max(bb[0], bbgt[0]) + 1
            ih = min(bb[3], bbgt[3]) - max(bb[1], bbgt[1]) + 1
            if iw > 0 and ih > 0:
                ua = (
                    (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
                    + (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1)
                    - iw * ih
                )
                if iw * ih / ua > ovmax:
                    ovmax, jmax = iw * ih / ua, j
        enough = ovmax >= settings.iou_threshold if settings.comparison == ">=" else ovmax > settings.iou_threshold
        if not enough:
            result.append(FALSE_POSITIVE)
        elif of_image["diff"][jmax]:
            result.append(IGNORED)
        elif not of_image["det"][jmax]:
            result.append(TRUE_POSITIVE)
            of_image["det"][jmax] = True
        else:
            result.append(DUPLICATE)
        tp += result[-1] == TRUE_POSITIVE
        fp += result[-1] in (FALSE_POSITIVE, DUPLICATE)
        if npos:
            curve.append((tp / npos, tp / (tp + fp) if tp + fp else np.nan))
    if not npos:
        return result, None
    return result, (devkit_2007 if settings.metric == "voc07" else devkit_2010)(curve)


def devkit_2007(curve):
    ap = 0.0
    for t in ELEVEN_POINTS:
        ap = ap + max((p for r, p in curve if r >= t and not np.isnan(p)), default=0) / 11
    return ap


def devkit_2010(curve):
    mrec = [0, *(r for r, _ in curve), 1]
    mpre = [0, *(0 if np.isnan(p) else p for _, p in curve), 0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    return sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1])


def random_boxes(generator, count):
    # Few distinct corners: exact ties of IoU, and IoU of exactly 1/2, are common.
    corner = generator.integers(0, 6, (count, 2)) * 5
    return np.concatenate([corner, corner + generator.integers(1, 5, (count, 2)) * 5], axis=1).astype(np.float32)


def random_case(seed, images=6, class_count=3):
    generator = np.random.default_rng(seed)
    detections, annotations = [], []
    for i in range(images):
        objects, proposals = generator.integers(0, 5), generator.integers(0, 15)
        annotations.append(
            truth(
                f"image {i}",
                random_boxes(generator, objects),
                generator.integers(0, class_count, objects),
                generator.random(objects) < 0.3,
            )
        )
        scores = -np.sort(-np.round(generator.random(proposals), 1))
        labels = generator.integers(0, class_count, proposals)
        detections.append(found(f"image {i}", random_boxes(generator, proposals), scores, labels))
    return detections, annotations


@settings(max_examples=120)
@given(
    st.integers(0, 2**32 - 1),
    st.builds(
        EvaluationSettings,
        metric=st.sampled_from(["voc07", "voc10"]),
        iou_threshold=st.sampled_from([0.5, 0.25, 1 / 3, 0.7, 1.0]),
        difficult=st.sampled_from(["ignore", "count", "drop"]),
        comparison=st.sampled_from([">=", ">"]),
    ),
)
def test_equals_the_devkits_loops(seed, flags):
    detections, annotations = random_case(seed)
    result = evaluate(detections, annotations, ["a", "b", "c"], **dataclasses.asdict(flags))
    for label, one in enumerate(result.per_class):
        expected, ap = devkit(detections, annotations, label, flags)
        assert one.matches.outcomes.tolist() == expected
        if flags.metric == "voc07":
            assert one.ap == ap
        else:
            assert one.ap == (None if ap is None else pytest.approx(ap, abs=1e-12))


def test_the_reference_sees_every_outcome():
    """Guards the test above: its cases are not trivial."""
    seen = set()
    for seed in range(20):
        detections, annotations = random_case(seed)
        seen.update(x for i in range(3) for x in devkit(detections, annotations, i, EvaluationSettings())[0])
    assert seen == {TRUE_POSITIVE, FALSE_POSITIVE, DUPLICATE, IGNORED}


def test_match_rows_point_back_at_the_records():
    detections, annotations = random_case(3)
    result = evaluate(detections, annotations, ["a", "b", "c"])
    total = 0
    for label, one in enumerate(result.per_class):
        matches = one.matches
        for image, row, score, which, overlap in zip(
            matches.images, matches.rows, matches.scores, matches.objects, matches.overlaps, strict=True
        ):
            record = next(d for d in detections if d.image_id == annotations[image].image_id)
            assert record.labels[row] == label
            assert record.scores[row] == score
            assert (which >= 0) == (overlap >= 0.5)
            assert which < 0 or annotations[image].labels[which] == label
            total += 1
    assert total == result.detections == sum(len(d.labels) for d in detections)


def figures(evaluation):
    """All but the warnings, which name scores."""
    return {key: value for key, value in evaluation.to_json().items() if key != "warnings"}


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ignore", "count", "drop"]))
def test_objects_by_brute_force(seed, difficult):
    """Who found each object, its greatest IoU, recall and average best overlap."""
    detections, annotations = random_case(seed)
    result = evaluate(detections, annotations, ["a", "b", "c"], difficult=difficult)
    records = {one.image_id: one for one in detections}
    for label, one in enumerate(result.per_class):
        expected = [
            (i, row)
            for i, annotation in enumerate(annotations)
            for row in range(len(annotation.labels))
            if annotation.labels[row] == label and not (difficult == "drop" and annotation.difficult[row])
        ]
        assert list(zip(one.found.images.tolist(), one.found.rows.tolist(), strict=True)) == expected
        best = []
        for place, (i, row) in enumerate(expected):
            annotation, record = annotations[i], records[annotations[i].image_id]
            same = record.labels == label
            overlaps = [iou(record.boxes[[k]], annotation.boxes[[row]])[0, 0] for k in np.flatnonzero(same)]
            assert one.found.overlaps[place] == max(overlaps, default=0)
            counts = difficult != "ignore" or not annotation.difficult[row]
            assert one.found.counts[place] == counts
            best += [max(overlaps, default=0)] if counts else []
            hits = (one.matches.images == i) & (one.matches.objects == row)
            hits &= one.matches.outcomes == TRUE_POSITIVE
            assert one.found.found[place] == (np.flatnonzero(hits)[0] if hits.any() else -1)
            near = one.found.nearest[place]
            assert (near < 0) == (max(overlaps, default=0) == 0)
            if near >= 0:
                assert one.matches.images[near] == i
                assert iou(one.matches.boxes[[near]], annotation.boxes[[row]])[0, 0] == max(overlaps)
        assert one.average_best_overlap == (pytest.approx(np.mean(best)) if best else None)
        assert one.greatest_recall == (one.true_positives / one.objects if one.objects else None)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_both_voc_metrics_come_of_one_pass(seed):
    detections, annotations = random_case(seed)
    by_metric = {name: evaluate(detections, annotations, ["a", "b", "c"], name) for name in ("voc07", "voc10")}
    for one, other in zip(by_metric["voc07"].per_class, by_metric["voc10"].per_class, strict=True):
        assert (one.ap, other.ap) == (one.ap07, one.ap10) == (other.ap07, other.ap10)
    value = by_metric["voc07"].to_json()
    assert value["voc10"] == by_metric["voc10"].to_json()["per_class"]
    assert value["voc07"] == value["per_class"]


# -- properties --------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_order_of_images_does_not_matter_without_ties(seed):
    generator = np.random.default_rng(seed)
    detections, annotations = random_case(seed)
    detections = [
        found(one.image_id, one.boxes, -np.sort(-generator.random(len(one.labels))), one.labels) for one in detections
    ]
    first = evaluate(detections, annotations, ["a", "b", "c"])
    shuffled = [detections[i] for i in generator.permutation(len(detections))]
    second = evaluate(shuffled, [annotations[i] for i in generator.permutation(len(annotations))], ["a", "b", "c"])
    assert first.to_json() == second.to_json()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_only_the_ranks_of_the_scores_matter(seed):
    detections, annotations = random_case(seed)
    doubled = [found(one.image_id, one.boxes, 2 * one.scores - 7, one.labels) for one in detections]
    first, second = (evaluate(d, annotations, ["a", "b", "c"]) for d in (detections, doubled))
    assert figures(first) == figures(second)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["voc07", "voc10"]))
def test_a_false_positive_under_all_others_changes_nothing(seed, metric):
    """A false positive below every other detection changes no AP."""
    detections, annotations = random_case(seed, class_count=1)
    before = evaluate(detections, annotations, ["a"], metric=metric)
    extra = found("last", [[90, 90, 95, 95]], [-1])
    after = evaluate([*detections, extra], [*annotations, truth("last", [])], ["a"], metric=metric)
    assert before.mean_ap == after.mean_ap


def test_five_thousand_images():
    """500,000 detections of 20 classes, without and with many matches."""
    generator = np.random.default_rng(0)
    detections, annotations = [], []
    for i in range(5000):
        objects = random_boxes(generator, 4)
        labels = generator.integers(0, 20, 4)
        annotations.append(truth(str(i), objects, labels))
        boxes = np.concatenate([np.repeat(objects, 10, axis=0), random_boxes(generator, 60)])
        classes = np.concatenate([np.repeat(labels, 10), generator.integers(0, 20, 60)])
        detections.append(found(str(i), boxes, -np.sort(-generator.random(100)), classes))
    result = evaluate(detections, annotations, [f"class {i}" for i in range(20)])
    assert result.detections == 500_000
    assert sum(one.true_positives for one in result.per_class) > 10_000
