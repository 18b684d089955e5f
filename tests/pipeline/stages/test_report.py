from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from detection.evaluation import evaluate
from detection.pipeline.stages.report import probabilities, read_mining_log, run_names
from detection.types import AnnotatedImage, Detections


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("/a/one", "/a/two", ("one", "two")),
        ("/a/x/run", "/a/y/run", ("x/run", "y/run")),
        ("/a/run", "/a/run", ("run, first", "run, second")),
        ("/run", "/a/run", ("/run", "a/run")),
    ],
)
def test_runs_are_told_apart_by_name(first, second, names):
    assert run_names(Path(first), Path(second)) == names


def test_mining_log(tmp_path):
    assert read_mining_log(tmp_path / "none.csv") == ()
    (tmp_path / "mining.csv").write_text('class,added\n"a,b",3\n', encoding="utf-8")
    assert read_mining_log(tmp_path / "mining.csv") == (("class", "added"), ("a,b", "3"))


class Sigmoid:
    """Probabilities of the first class alone, as a detector's calibration gives them."""

    trained = np.array([True, False])

    def probabilities(self, scores, labels):
        assert (labels == 0).all()
        return 1 / (1 + np.exp(-scores.astype(float)))


def test_probabilities_in_the_order_of_the_detections():
    boxes, objects = np.array([[0, 0, 9, 9], [1, 1, 8, 8]], np.float32), np.zeros(0, np.int64)
    image = AnnotatedImage("a", Path("a.jpg"), (10, 10), boxes[:0], objects, objects.astype(bool))
    found = Detections("a", boxes, np.array([2, -1], np.float32), np.zeros(2, np.int64))
    evaluation = evaluate([found], [image], ["cat", "dog"])
    first, second = probabilities(SimpleNamespace(calibration=Sigmoid()), evaluation)
    assert first.tolist() == pytest.approx([0.880797, 0.268941], abs=1e-6)
    assert second is None
    assert probabilities(SimpleNamespace(calibration=None), evaluation) is None
    untrained = SimpleNamespace(trained=np.zeros(2, bool))
    assert probabilities(SimpleNamespace(calibration=untrained), evaluation) is None
