import numpy as np
import pytest

from detection.evaluation import evaluate
from detection.evaluation.cautions import _limit

A, B, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [60, 60, 70, 70]


def warnings_of(*arguments, **flags):
    return evaluate(*arguments, **flags).warnings


def grid(count):
    corners = np.stack([np.arange(count) % 10 * 10, np.arange(count) // 10 * 8], axis=1)
    return np.concatenate([corners, corners + 5], axis=1)


@pytest.mark.parametrize("metric", ["voc07", "voc10", "coco"])
def test_list_that_ends_at_a_high_score(truth, found, metric):
    """Four of ten objects found, no false positive: all ten could be found below. No mean has a class without any."""
    annotations = [truth(str(i), [A]) for i in range(10)]
    detections = [found(str(i), [A], [0.9 - i / 100]) for i in range(4)]
    texts = warnings_of(detections, annotations, ["cat", "dog"], metric)
    (text,) = [one for one in texts if "lists of detections" in one]
    gain = 6 / 11 if metric == "voc07" else 0.6
    assert f"could add up to {gain:.3f} to the mAP" in text
    assert "(cat 0.87)" in text


def test_long_list_is_not_told_of(truth, found):
    """The same objects missed below 500 false positives: they would add next to nothing."""
    annotations = [truth(str(i), [A]) for i in range(10)]
    detections = [found(str(i), [A, *([FAR] * 99)], np.linspace(0.9, 0.1, 100)) for i in range(9)]
    assert warnings_of(detections, annotations, ["cat"]) == ()


def test_limit_an_image(truth, found):
    """20 detections in each of two images, their lowest still high, and an object missed there."""
    annotations = [truth(str(i), [A, B]) for i in range(3)]
    one = np.concatenate([[A], grid(60)[41:60]])
    detections = [found(str(i), one, np.linspace(0.9, 0.8, 20)) for i in range(2)]
    detections.append(found("2", np.tile(FAR, (15, 1)), np.linspace(0.7, 0.01, 15)))
    texts = warnings_of(detections, annotations, ["cat"])
    assert any("2 images have exactly 20 detections, which looks like a limit" in one for one in texts)
    more = [found(str(i), [A, B, *one[1:19]], np.linspace(0.9, 0.8, 20)) for i in range(2)]
    texts = warnings_of([*more, found("2", [A, B], [0.9, 0.8])], annotations, ["cat"])
    assert not any("limit" in one for one in texts)


def test_limit_an_image_and_class(truth, found):
    annotations = [truth(str(i), [A, B, A], [0, 0, 1]) for i in range(2)]
    boxes = np.concatenate([[A], grid(60)[41:60], [A]])
    labels = [0] * 20 + [1]
    detections = [found(str(i), boxes, np.linspace(0.9, 0.7, 21), labels) for i in range(2)]
    detections[1] = found("1", [*boxes, FAR], np.linspace(0.9, 0.7, 22), [*labels, 1])
    texts = warnings_of(detections, annotations, ["cat", "dog"])
    assert any("2 images have exactly 20 detections of a class" in one for one in texts)


def test_limits_of_classes_are_no_limit_of_images(truth, found):
    """Two classes with 20 detections each: no image has a limit of 40; a class without detections has no part in it."""
    annotations = [truth(str(i), [A, A, B], [0, 1, 2]) for i in range(2)]
    boxes = np.concatenate([[A, A], np.repeat(grid(60)[41:60], 2, axis=0)])
    detections = [found(str(i), boxes, np.linspace(0.9, 0.7, 40), [0, 1] * 20) for i in range(2)]
    (text,) = warnings_of(detections, annotations, ["cat", "dog", "cow"])
    assert text == "1 class has objects but no detection at all: cow"


def test_more_than_coco_looks_at(truth, found):
    annotations = [truth("a", [A])]
    detections = [found("a", [A, *([FAR] * 100)], np.linspace(0.9, 0.1, 101))]
    assert warnings_of(detections, annotations, ["cat"]) == ()
    (text,) = warnings_of(detections, annotations, ["cat"], "coco")
    assert text.startswith("1 image has more than 100 detections of a class")


@pytest.mark.parametrize(
    ("theirs", "ours"), [("000123.jpg", "000123"), ("123", "000123"), ("test/000123.png", "000123"), ("0", "000")]
)
def test_ids_that_look_alike(truth, found, theirs, ours):
    texts = warnings_of([found(theirs, [A], [1])], [truth(ours, [A])], ["cat"])
    assert any(f"{theirs!r} looks like {ours!r}" in one for one in texts)


def test_ids_that_do_not(truth, found):
    texts = warnings_of([found("x", [A], [1])], [truth("y", [A])], ["cat"])
    assert any("'x'" in one for one in texts)
    assert not any("looks like" in one for one in texts)


def test_detections_of_a_part_of_the_split(truth, found):
    annotations = [truth(str(i), [A]) for i in range(10)]
    texts = warnings_of([found(str(i), [A], [1]) for i in range(4)], annotations, ["cat"])
    assert any(one.startswith("6 of the 10 images with objects have no detection: '4', '5'") for one in texts)
    texts = warnings_of([found(str(i), [A], [1]) for i in range(5)], annotations, ["cat"])
    assert not any("images with objects" in one for one in texts)


def test_class_without_detections(truth, found):
    texts = warnings_of([found("a", [A], [1])], [truth("a", [A, B], [0, 1])], ["cat", "dog"])
    assert "1 class has objects but no detection at all: dog" in texts


@pytest.mark.parametrize(
    ("counts", "limit"),
    [
        ([10, 10, 3], 10), ([9, 9, 3], 0), ([10, 3, 3], 0), ([11, 10, 10], 0), ([], 0),
        ([10] * 2 + [0] * 198, 10), ([10] * 2 + [0] * 199, 0), ([10] * 3 + [0] * 198, 10),
    ],
)  # fmt: skip
def test_equal_counts_are_a_limit_from_ten_on_in_two_images_and_a_hundredth_of_all(counts, limit):
    assert _limit(np.array([counts], np.int64)) == limit
