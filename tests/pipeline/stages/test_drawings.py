import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from detection.data import read_image
from detection.learning import Calibration
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.stages import drawings
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.stages.drawings import DRAWINGS, draw_images
from detection.pipeline.work import Work
from detection.storage import read_csv
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
        shown = calibration.applied(found.chosen(calibration.shown(found)))
        drawn, plain = draw_images(images, [shown], ["cat"], calibration.trained, tmp_path / "out", work)
        assert (drawn, plain) == (tmp_path / "out/a b/c.jpg", tmp_path / "out/d.jpg")
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
        arguments = (
            [image(tmp_path / "a.png", "a")], [Calibration.fixed(1).applied(found)], ["cat"], np.array([trained]),
            tmp_path / f"{trained}", work,
        )  # fmt: skip
        drawn.append(draw_images(*arguments)[0].read_bytes())
    assert drawn[0] != drawn[1]


def test_no_image(tmp_path, work):
    assert draw_images([], [], ["cat"], np.array([True]), tmp_path / "out", work) == []


def test_tables_of_what_is_shown(run, open_run):
    """Of all test images, at the thresholds; made again where one is gone or was changed."""
    experiment = open_run(run)
    calibration, folder = run_calibration(experiment), run / "drawings"
    rows = [
        [one.image_id, experiment.classes[label], f"{margin:.4f}"]
        for one in read_detections(experiment)
        for label, margin, is_shown in zip(one.labels, one.scores, calibration.shown(one), strict=True)
        if is_shown
    ]
    table = read_csv(folder / "detections.csv")
    assert rows
    assert [[row[0], row[1], row[4]] for row in table[1:]] == rows
    counts = read_csv(folder / "counts.csv")
    assert counts[0] == ["photo", *experiment.classes]
    assert {row[0]: sum(map(int, row[1:])) for row in counts[1:]} == {
        one.image_id: sum(row[0] == one.image_id for row in rows) for one in experiment.test_images
    }
    (folder / "counts.csv").write_text("photo\n")
    DRAWINGS.make(open_run(run))
    assert read_csv(folder / "counts.csv") == counts


def test_turned_back_in_the_middle_of_others(run, open_run, monkeypatch):
    """Pictures of other settings stay under no record."""
    folder = run / "drawings"
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def stopped(*_):
        raise KeyboardInterrupt

    other = open_run(run, "--postprocess.max_per_class=1", "--postprocess.min_score=-9")
    DETECTIONS.make(other)
    with monkeypatch.context() as patch:
        patch.setattr(drawings, "write_shown_tables", stopped)
        with pytest.raises(KeyboardInterrupt):
            DRAWINGS.make(other)
    back = open_run(run, "--postprocess.max_per_class=100", "--postprocess.min_score=null")
    for stage in (DETECTIONS, DRAWINGS):
        stage.make(back)
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
