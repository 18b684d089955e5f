"""The command that compares thresholds."""

from pathlib import Path

import numpy as np
import pytest

from detection.evaluation import evaluate
from detection.learning import Calibration
from detection.types import AnnotatedImage, Detections


@pytest.fixture
def tool(benchmark):
    from benchmarks import thresholds

    return thresholds


def test_the_chosen_ones_and_every_margin(tool):
    boxes = np.float32([[0, 0, 10, 10], [40, 0, 50, 10]])
    image = AnnotatedImage("a", Path("a"), (99, 99), boxes[:1], np.zeros(1, np.int64), np.zeros(1, bool))
    found = Detections("a", boxes, np.float32([0.2, -0.45]), np.zeros(2, np.int64))
    calibration = Calibration(np.ones(1), np.zeros(1), np.ones(1, bool), np.array([0.0]))
    chosen, *single = tool.rows_of(evaluate([found], [image], ("cat",)), calibration)
    assert chosen == {
        "thresholds": "chosen in training", "found": 1, "of": 1, "false": 0, "false_an_image": 0.0, "F1_all": 1.0,
        "F1_classes": 1.0,
    }  # fmt: skip
    assert [row["thresholds"] for row in single][::5] == ["margin -1.0", "margin -0.5", "margin +0.0", "margin +0.5"]
    assert [(row["found"], row["false"]) for row in single][::5] == [(1, 1), (1, 1), (1, 0), (0, 0)]
    assert single[5]["F1_all"] == pytest.approx(2 / 3)


def test_without_a_run_it_is_left_out(tool, capsys):
    assert list(tool.benchmark()) == []
    assert "--run RUN" in capsys.readouterr().out


def test_in_a_run(tool, finished):
    tables = dict(tool.benchmark(str(finished)))
    rows, matrix = tables.values()
    assert len(rows) == 1 + len(tool.MARGINS)
    assert [row["is"] for row in matrix] == ["box", "disc", "nothing"]
