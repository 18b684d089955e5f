import io
from pathlib import Path

import numpy as np
from rich.console import Console

from detection.evaluation import evaluate, header, table
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
