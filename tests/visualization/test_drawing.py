import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.types import Detections
from detection.visualization import DrawingSettings, class_colour, draw_boxes, draw_detections, drawing, enlarge
from detection.visualization.labels import label_size

RED = (255, 0, 0)


def grey(height, width, level=128):
    return np.full((height, width, 3), level, dtype=np.uint8)


def detections(boxes, scores, labels, image_id="a"):
    return Detections(
        image_id,
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(scores, dtype=np.float32),
        np.array(labels, dtype=np.int64),
    )


def one(rgb, box, text="", colour=RED, **options):
    return draw_boxes(rgb, np.array([box], dtype=np.float32), [text], [colour], **options)


def changed(before, after):
    rows, columns = np.nonzero((before != after).any(axis=2))
    return rows, columns


def test_no_detection_gives_an_equal_copy():
    rgb = grey(20, 30)
    result = draw_detections(rgb, detections([], [], []), ["cat"])
    assert np.array_equal(result, rgb)
    assert result is not rgb
    assert not np.shares_memory(result, rgb)


def test_the_image_itself_is_left_alone():
    rgb = grey(100, 100)
    rgb.flags.writeable = False
    result = draw_detections(rgb, detections([[10, 10, 50, 50]], [1], [0]), ["cat"])
    assert (rgb == 128).all()
    assert result.dtype == np.uint8
    assert result.shape == rgb.shape


def test_a_box_is_a_line_of_its_colour_on_its_inner_edge():
    result = one(grey(100, 100), [20, 30, 60, 80])
    for y, x in ((30, 20), (30, 59), (79, 20), (79, 59), (50, 20), (50, 59), (30, 40), (79, 40)):
        assert tuple(result[y, x]) == RED
    assert tuple(result[55, 40]) == (128, 128, 128)
    rows, columns = changed(grey(100, 100), result)
    # A rim of one px lies around the line.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (29, 80, 19, 60)


def test_lines_grow_with_the_image():
    thin, thick = (one(grey(n, n), [n // 4, n // 4, n // 2, n // 2]) for n in (200, 2000))
    counts = [(image == RED).all(axis=2)[len(image) // 3].sum() for image in (thin, thick)]
    assert counts == [2, 20]


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128)])
def test_a_box_shows_on_any_ground(level, colour):
    rgb = grey(100, 100, level)
    result = one(rgb, [20, 20, 70, 70], colour=colour)
    assert np.abs(result.astype(int) - rgb.astype(int)).max() >= 127


def test_crossed_boxes_are_solid_ones_with_diagonals():
    rgb = grey(400, 400)
    solid, crossed = (one(rgb, [50, 50, 350, 350], style=style) for style in ("solid", "crossed"))
    drawn = (solid == RED).all(axis=2)
    assert (crossed[drawn] == RED).all()
    for y, x in ((100, 100), (200, 200), (300, 99), (100, 299)):
        assert tuple(crossed[y, x]) == RED
        assert tuple(solid[y, x]) == (128, 128, 128)
    assert tuple(crossed[100, 200]) == (128, 128, 128)


def test_dashed_boxes_are_thinner_and_have_gaps():
    rgb = grey(400, 400)
    solid, dashed = (one(rgb, [50, 50, 350, 350], style=style) for style in ("solid", "dashed"))
    top = (dashed[50, 50:350] == RED).all(axis=1)
    assert 0.3 < top.mean() < 0.7
    assert (solid[50, 50:350] == RED).all()
    assert len(changed(rgb, dashed)[0]) < len(changed(rgb, solid)[0])


def test_each_box_may_have_a_style_of_its_own():
    rgb, boxes = grey(400, 400), np.array([[20, 20, 180, 180], [220, 220, 380, 380]], np.float32)
    both = draw_boxes(rgb, boxes, ["", ""], [RED, RED], ["solid", "dashed"])
    assert (both[:200] == one(rgb, boxes[0])[:200]).all()
    assert (both[200:] == one(rgb, boxes[1], style="dashed")[200:]).all()
    with pytest.raises(ValueError, match="2 colours, 1 styles"):
        draw_boxes(rgb, boxes, ["", ""], [RED, RED], ["solid"])


def test_two_hundred_classes_each_with_its_label():
    """Every label that is drawn alone is there, whole and in the colour of its class."""
    names = [f"class {i}" for i in range(200)]
    for label in (0, 20, 21, 199):
        drawn = draw_detections(grey(200, 300), detections([[50, 60, 250, 180]], [0.5], [label]), names)
        assert (drawn[40:60] == class_colour(label)).all(axis=2).sum() > 300
    assert class_colour(3) == class_colour(3 + 21)


def test_the_highest_scoring_lies_on_top():
    boxes = [[10, 10, 60, 60], [10, 10, 60, 60]]
    result = draw_boxes(grey(80, 80), np.array(boxes, np.float32), ["", ""], [RED, (0, 0, 255)])
    assert tuple(result[10, 30]) == RED


def test_min_score_and_classes():
    found = detections([[10, 10, 50, 50], [60, 60, 90, 90]], [0.9, 0.1], [1, 0])
    rgb = grey(100, 100)
    result = draw_detections(rgb, found, ["cat", "dog"], min_score=0.5)
    assert (result[60:] == rgb[60:]).all()
    assert tuple(result[49, 30]) == class_colour(1)
    assert np.array_equal(draw_detections(rgb, found, ["cat", "dog"], min_score=1), rgb)
    # A score at the least is drawn.
    at, above = np.float32(0.9), np.nextafter(np.float32(0.9), np.float32(1))
    assert np.array_equal(draw_detections(rgb, found, ["cat", "dog"], min_score=float(at)), result)
    assert np.array_equal(draw_detections(rgb, found, ["cat", "dog"], min_score=float(above)), rgb)


def labels_of(monkeypatch, *arguments, **more):
    """The texts on a drawing of detections."""
    texts = []
    monkeypatch.setattr(drawing, "draw_boxes", lambda rgb, boxes, named, *_: texts.extend(named) or rgb)
    draw_detections(grey(100, 100), *arguments, **more)
    return texts


def test_probabilities_are_written_and_rough_ones_marked(monkeypatch):
    found = detections([[10, 10, 50, 50], [60, 60, 90, 90]], [0.9, -0.1], [1, 0])
    assert labels_of(monkeypatch, found, ["cat", "dog"]) == ["dog 0.90", "cat -0.10"]
    known = dataclasses.replace(found, probabilities=np.array([0.996, 0.3]))
    assert labels_of(monkeypatch, known, ["cat", "dog"]) == ["dog >99%", "cat 30%"]
    rough = np.array([True, False])
    assert labels_of(monkeypatch, known, ["cat", "dog"], rough=rough) == ["dog >99%", "cat ~30%"]
    assert labels_of(monkeypatch, known, ["cat", "dog"], min_score=0, rough=rough) == ["dog >99%"]


def test_a_label_outside_the_class_list_is_refused():
    with pytest.raises(ValueError, match=r"image 'x'.*expected 0 to 0, got 1 to 1"):
        draw_detections(grey(9, 9), detections([[1, 1, 5, 5]], [1], [1], "x"), ["cat"])


@pytest.mark.parametrize(
    "rgb",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_anything_but_an_rgb_image_is_refused(rgb):
    with pytest.raises(ValueError, match=r"expected uint8 of shape \(H, W, 3\), got"):
        one(rgb, [0, 0, 2, 2])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="got boxes of shape"):
        draw_boxes(grey(9, 9), np.zeros((2, 4), np.float32), ["a"], [RED])


@pytest.mark.parametrize("key", ["line", "text", "min_text"])
def test_sizes_must_be_positive(key):
    with pytest.raises(ValueError, match=f"drawing {key}: expected"):
        DrawingSettings(**{key: 0})


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (3, 5), (12, 12), (13, 300), (2000, 3000)])
@pytest.mark.parametrize("text", ["", "cat 0.9", "a very long name that does not fit anywhere near " * 3])
def test_any_image_size(shape, text):
    result = one(grey(*shape), [0, 0, shape[1], shape[0]], text)
    assert result.shape == (*shape, 3)
    assert tuple(result[0, 0]) != (128, 128, 128)


def test_boxes_outside_or_empty_are_not_drawn():
    rgb = grey(50, 50)
    boxes = np.array([[60, 60, 80, 80], [-20, 0, 0, 10], [10, 10, 10, 20]], np.float32)
    assert np.array_equal(draw_boxes(rgb, boxes, ["a"] * 3, [RED] * 3), rgb)


def test_boxes_that_reach_outside_keep_a_visible_edge():
    result = one(grey(50, 50), [-20, -20, 80, 30])
    assert tuple(result[0, 0]) == RED
    assert tuple(result[10, 49]) == RED


@pytest.mark.parametrize("name", ["chien d'été", "猫", "кошка", "🐱", "a\nb\tc", "\udc80", "‮", "é" * 300])
def test_names_beyond_ascii(name):
    rgb = grey(120, 160)
    result = draw_detections(rgb, detections([[20, 40, 90, 100]], [0.5], [0]), [name])
    plain = draw_boxes(rgb, np.array([[20, 40, 90, 100]], np.float32), [""], [class_colour(0)])
    assert not np.array_equal(result, plain)


def label_pixels(rgb, box, text, colour=RED):
    """What the label adds to the drawing."""
    return changed(one(rgb, box, "", colour), one(rgb, box, text, colour))


def test_a_label_is_legible_text_on_the_colour_of_its_class():
    rgb = grey(100, 200)
    rows, columns = label_pixels(rgb, [50, 50, 150, 90], "cat 0.97")
    area = one(rgb, [50, 50, 150, 90], "cat 0.97")[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    ground = (area == RED).all(axis=2).mean()
    assert 0.5 < ground < 0.95
    # Black on red contrasts more than white (5.25 to 4.0).
    assert (area.sum(axis=2) < 100).sum() > 20
    assert rows.max() <= 50


def test_the_label_scales_with_the_image():
    heights = []
    for n in (400, 2000):
        rows, _ = label_pixels(grey(n, n), [n // 2, n // 2, n - 10, n - 10], "cat")
        heights.append(np.ptp(rows) + 1)
    assert 4 < heights[1] / heights[0] < 6


@settings(max_examples=40)
@given(st.integers(20, 60), st.integers(20, 100), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_label_that_fits_is_drawn_whole(height, width, parts):
    """Somewhere in the image lies the very block of pixels that the label is where there is ample room."""
    small = DrawingSettings(text=0.001)
    rows, columns = label_size("ab", small.min_text)
    roomy = one(grey(300, 300), [150, 150, 200, 200], "ab", settings=small)
    block = roomy[150 - rows : 150, 150 : 150 + columns]
    (x1, x2), (y1, y2) = sorted(parts[:2]), sorted(parts[2:])
    box = [x1 * (width - 1), y1 * (height - 1), x2 * (width - 1) + 1, y2 * (height - 1) + 1]
    drawn = one(grey(height, width), box, "ab", settings=small)
    proposals = np.lib.stride_tricks.sliding_window_view(drawn, block.shape)[:, :, 0]
    assert (proposals == block).all(axis=(2, 3, 4)).any()


def test_the_same_call_gives_the_same_picture():
    found = detections([[10, 10, 50, 50], [20, 20, 60, 60], [5, 30, 90, 90]], [0.9, 0.5, 0.1], [0, 1, 2])
    first, second = (draw_detections(grey(100, 100), found, ["a", "b", "c"]) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("shape", [(128, 10), (375, 500), (4000, 6000)])
def test_large_images_stay(shape):
    rgb, found = np.zeros((*shape, 3), np.uint8), detections([[1, 2, 3, 4]], [1], [0])
    same, boxes = enlarge(rgb, found)
    assert same is rgb
    assert boxes is found


def test_small_images_grow_by_a_whole_factor():
    rgb = np.arange(2 * 100 * 3, dtype=np.uint8).reshape(2, 100, 3)
    large, found = enlarge(rgb, detections([[10, 0.5, 20, 2]], [1], [0]))
    assert large.shape == (4, 200, 3)
    assert (large[::2, ::2] == rgb).all()
    assert (large[1::2, 1::2] == rgb).all()
    assert found.boxes.tolist() == [[20, 1, 40, 4]]
    assert enlarge(rgb[:1, :1], detections([], [], []))[0].shape == (128, 128, 3)
