import io
from pathlib import Path

import numpy as np
from rich.console import Console

from detection.evaluation import IntervalSettings, at_thresholds, evaluate, header, intervals, shown_table, table
from detection.learning import Calibration
from detection.types import AnnotatedImage, Detections

BOX = np.array([[0, 0, 10, 10]], dtype=np.float32)


def result(classes=("cat", "dog"), **flags):
    none = np.zeros(1, bool)
    annotation = AnnotatedImage("a", Path("a.jpg"), (20, 20), BOX, np.zeros(1, np.int64), none)
    detections = Detections("a", BOX, np.ones(1, np.float32), np.zeros(1, np.int64))
    return evaluate([detections], [annotation], classes, **flags)


def shown(evaluation, width=200):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(evaluation))
    return console.export_text()


def test_what_is_shown_comes_first():
    evaluation = result(("cat", "dog", "cow"))
    calibration = Calibration(np.ones(3), np.zeros(3), np.array([True, False, True]), np.array([0.5, 0.0, 2.0]))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(shown_table(at_thresholds(evaluation, calibration), evaluation))
    first, *lines = console.export_text().splitlines()
    assert first == (
        "At each class's threshold: found 1 of 1 objects, missed 0, 0 false boxes (0.00 an image); mAP 1.000"
    )
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["class"] == ["from", "objects", "found", "missed", "false", "AP"]
    assert rows["cat"] == ["62%", "1", "1", "0", "0", "1.000"]
    assert rows["dog"] == ["~50%", "0", "0", "0", "0", "-"]
    assert rows["all"] == ["1", "1", "0", "0", "1.000"]
    assert header(evaluation) in lines


def test_intervals_and_what_is_found_as_another_class():
    none, labels = np.zeros(1, bool), np.zeros(1, np.int64)
    annotations = [AnnotatedImage(name, Path(name), (20, 20), BOX, labels, none) for name in "ab"]
    found = [
        Detections("a", BOX, np.ones(1, np.float32), labels),
        Detections("b", BOX, np.ones(1, np.float32), labels + 1),
    ]
    evaluation = evaluate(found, annotations, ("cat", "dog"))
    bounds = intervals(evaluation, IntervalSettings(resamples=50))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(shown_table(at_thresholds(evaluation, Calibration.fixed(2)), evaluation, bounds))
    text = console.export_text()
    assert "found 1 of 2 objects, missed 1, 1 false boxes (0.50 an image); mAP 0.545 (" in text
    assert "Found as another class: 1 cat as dog" in text
    assert "95%" in text


def test_header_states_every_setting():
    assert header(result()) == (
        "VOC 2007 AP (11 points), IoU >= 0.5, difficult objects ignored, 1 images, 1 detections"
    )
    line = header(result(metric="voc10", iou_threshold=0.7, difficult="drop", comparison=">"))
    assert line == "VOC 2010 AP (area), IoU > 0.7, difficult objects dropped, 1 images, 1 detections"


def test_table_has_every_class_the_mean_and_the_warnings():
    evaluation = result()
    text = shown(evaluation)
    assert header(evaluation) in text
    rows = {line.strip().rsplit(maxsplit=8)[0]: line.split() for line in text.splitlines() if len(line.split()) == 9}
    assert "1.000" in rows["cat"]
    assert "-" in rows["dog"]
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("mean of 1")] == ["1.000"]
    assert "dog" in text.split("Warning:")[1]


def test_names_are_not_read_as_markup():
    assert "[red]猫[/red]" in shown(result(("[red]猫[/red]",)))


def test_no_class_at_all():
    assert "mean of 0" in shown(evaluate([], [], []))


def test_names_of_usual_length_fit_a_narrow_terminal():
    names = ["pottedplant", "diningtable"]
    text = shown(evaluate([], [], names), width=80)
    assert all(any(line.split()[:1] == [name] for line in text.splitlines()) for name in names)
    assert all(column in text for column in ("AP", "recall", "objects", "difficult", "repeated", "ignored"))
