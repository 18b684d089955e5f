import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from detection.data import read_image
from detection.learning import Calibration
from detection.pipeline.stages.drawings import draw_images
from detection.pipeline.work import Work
from detection.types import AnnotatedImage, Detections


@pytest.fixture
def work():
    return Work(console=Console(file=io.StringIO()))


def image(path, image_id):
    empty = np.zeros((0, 4), np.float32)
    return AnnotatedImage(image_id, path, (80, 100), empty, np.zeros(0, np.int64), np.zeros(0, bool))


def test_scores_decide_what_is_drawn(tmp_path, work):
    Image.new("RGB", (100, 80), (128, 128, 128)).save(tmp_path / "a.png")
    found = Detections(
        "a b/c", np.array([[10, 10, 60, 60]], np.float32), np.array([0.5], np.float32), np.zeros(1, np.int64)
    )
    images = [image(tmp_path / "a.png", "a b/c"), image(tmp_path / "none.png", "b"), image(tmp_path / "a.png", "d")]
    for least, is_drawn in ((0.4, True), (0.6, False)):
        drawn, plain = draw_images(images, [found], ["cat"], least, tmp_path / "out", work)
        assert (drawn.name, plain.name) == ("a b_c.jpg", "d.jpg")
        spread = int(np.ptp(read_image(drawn).astype(int)))
        assert (spread > 100) == is_drawn
        assert np.ptp(read_image(plain)) < 10
        # Small images are enlarged, so that labels have room.
        assert read_image(drawn).shape == (160, 200, 3)
    assert [one.file for one in work.problems] == [str(tmp_path / "none.png")]


def test_probabilities_stand_behind_the_margins(tmp_path, work):
    Image.new("RGB", (100, 80), (128, 128, 128)).save(tmp_path / "a.png")
    boxes = np.array([[10, 30, 60, 75]], np.float32)
    found = Detections("a", boxes, np.array([0.5], np.float32), np.zeros(1, np.int64))
    drawn = {}
    for trained in (None, True, False):
        calibration = None if trained is None else Calibration(np.ones(1), np.zeros(1), np.array([trained]))
        arguments = ([image(tmp_path / "a.png", "a")], [found], ["cat"], 0.0, tmp_path / f"{trained}", work)
        drawn[trained] = draw_images(*arguments, calibration)[0].read_bytes()
    assert drawn[True] != drawn[None] == drawn[False]


def test_no_image(tmp_path, work):
    assert draw_images([], [], ["cat"], 0.0, tmp_path / "out", work) == []
