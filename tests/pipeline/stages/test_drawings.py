import io
from dataclasses import replace

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


def test_the_threshold_decides_what_is_drawn(tmp_path, work):
    Image.new("RGB", (100, 80), (128, 128, 128)).save(tmp_path / "a.png")
    found = Detections(
        "a b/c", np.array([[10, 10, 60, 60]], np.float32), np.array([0.5], np.float32), np.zeros(1, np.int64)
    )
    images = [image(tmp_path / "a.png", "a b/c"), image(tmp_path / "none.png", "b"), image(tmp_path / "a.png", "d")]
    for least, is_drawn in ((0.4, True), (0.6, False)):
        calibration = replace(Calibration.fixed(1), thresholds=np.array([least]))
        drawn, plain = draw_images(images, [found], ["cat"], calibration, tmp_path / "out", work)
        assert (drawn.name, plain.name) == ("a b_c.jpg", "d.jpg")
        spread = int(np.ptp(read_image(drawn).astype(int)))
        assert (spread > 100) == is_drawn
        assert np.ptp(read_image(plain)) < 10
        # Small images are enlarged, so that labels have room.
        assert read_image(drawn).shape == (160, 200, 3)
    assert [one.file for one in work.problems] == [str(tmp_path / "none.png")]


def test_an_uncalibrated_class_is_drawn_otherwise(tmp_path, work):
    Image.new("RGB", (100, 80), (128, 128, 128)).save(tmp_path / "a.png")
    boxes = np.array([[10, 30, 60, 75]], np.float32)
    found = Detections("a", boxes, np.array([0.5], np.float32), np.zeros(1, np.int64))
    drawn = []
    for trained in (True, False):
        calibration = replace(Calibration.fixed(1), trained=np.array([trained]))
        arguments = ([image(tmp_path / "a.png", "a")], [found], ["cat"], calibration, tmp_path / f"{trained}", work)
        drawn.append(draw_images(*arguments)[0].read_bytes())
    assert drawn[0] != drawn[1]


def test_no_image(tmp_path, work):
    assert draw_images([], [], ["cat"], Calibration.fixed(1), tmp_path / "out", work) == []
