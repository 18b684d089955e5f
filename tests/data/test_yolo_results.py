"""YOLO's results in any order of columns: the order is found, or the file is refused."""

from pathlib import Path

import numpy as np
import pytest

from detection.data import DataError, Problems
from detection.data.results import find_results, read_results
from detection.data.yolo_results import LAYOUTS
from detection.types import AnnotatedImage

WIDTH, HEIGHT = 200, 100
KINDS = {
    "x y width height": lambda x1, y1, x2, y2: ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1),
    "left top right bottom": lambda *corners: corners,
    "left top width height": lambda x1, y1, x2, y2: (x1, y1, x2 - x1, y2 - y1),
}


def shares(seed, count, largest=0.5):
    """Boxes (count, 4) inside the image, corners in shares of it."""
    generator = np.random.default_rng(seed)
    sides = generator.uniform(0.05, largest, (count, 2))
    low = generator.uniform(0, 1 - sides)
    return np.concatenate([low, low + sides], axis=1)


def annotated(image_id, boxes):
    px = (np.array(boxes, np.float64).reshape(-1, 4) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32)
    labels, none = np.zeros(len(px), np.int64), np.zeros(len(px), bool)
    return AnnotatedImage(image_id, Path(f"{image_id}.jpg"), (HEIGHT, WIDTH), px, labels, none)


def write(folder, layout, found):
    """Files of found {image id: (boxes, scores)} in the order of a layout's name."""
    for image_id, (boxes, scores) in found.items():
        lines = []
        for box, score in zip(boxes, scores, strict=True):
            kind = layout.removeprefix("class ").replace("confidence", "").strip()
            numbers = [f"{one:.6f}" for one in KINDS[kind](*box)]
            place = 0 if layout.startswith("class confidence") else 4
            lines.append(" ".join(["0", *numbers[:place], f"{score:.6f}", *numbers[place:]]))
        (folder / f"{image_id}.txt").write_text("\n".join(lines))


def read(folder, images, problems):
    found = find_results(folder, "test", [one.image_id for one in images])
    return {one.image_id: one for one in read_results(found, images, ("cat",), {0: "cat"}, "test", problems)}


@pytest.mark.parametrize("layout", [one.name for one in LAYOUTS])
@pytest.mark.parametrize("largest", [0.12, 0.5])  # small boxes lie in the image under several layouts
@pytest.mark.parametrize("hits", [1, 3])
def test_the_order_of_columns_is_found(tmp_path, layout, largest, hits):
    found = {f"i{place}": (shares(place, 12, largest), np.linspace(0.05, 0.95, 12)) for place in range(4)}
    images = [annotated(one, boxes[:hits]) for one, (boxes, _) in found.items()]
    write(tmp_path, layout, found)
    problems = Problems()
    got = read(tmp_path, images, problems)
    for one, (boxes, scores) in found.items():
        assert got[one].boxes == pytest.approx(boxes[::-1] * [WIDTH, HEIGHT, WIDTH, HEIGHT], abs=1e-2)
        assert got[one].scores == pytest.approx(scores[::-1], abs=1e-5)
    told = [] if layout == LAYOUTS[0].name else [("repaired", f"columns read as '{layout}'")]
    assert [(one.action, one.kind) for one in problems] == told


def test_the_usual_order_stays_where_boxes_reach_outside_and_nothing_is_found(tmp_path):
    boxes = shares(0, 40) * 1.4 - 0.2
    write(tmp_path, LAYOUTS[0].name, {"a": (boxes, np.linspace(0.001, 0.9, 40))})
    problems = Problems()
    got = read(tmp_path, [annotated("a", [])], problems)["a"]
    assert got.boxes == pytest.approx(boxes[::-1] * [WIDTH, HEIGHT, WIDTH, HEIGHT], abs=1e-2)
    assert not problems


def test_an_order_that_nothing_tells_is_refused(tmp_path):
    """Corners and widths that both lie in the image, of images without an object; the usual order does not fit."""
    lines = [f"0 0.9{place} 0.4{place} 0.4 0.5 0.55" for place in range(5)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read(tmp_path, [annotated("a", [])], Problems())
    assert caught.value.kind == "unknown order of columns"
    assert caught.value.message.startswith("expected 'class x y width height confidence' in shares of the image; ")
    assert "'class confidence x y width height' or 'class confidence left top right bottom'" in caught.value.message
    assert caught.value.message.endswith("write the columns in the expected order")
