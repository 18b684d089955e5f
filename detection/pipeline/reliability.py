"""Whether the probabilities of a run's detections mean what they say: a table, a chart and figures on file."""

from pathlib import Path
from typing import Any

import numpy as np

from detection.data import write_image
from detection.learning import Reliability, reliability
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.experiment import Experiment
from detection.pipeline.held_out import judged
from detection.pipeline.stages.detections import read_detections
from detection.storage import write_json
from detection.visualization.charts import Axis, Line, line_chart

FORMAT_VERSION = 1
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def measure_reliability(experiment: Experiment, bins: int) -> Reliability:
    """Whether the probabilities of the test split's detections mean what they say: those of ``calibration.min_margin``.

    Prints a table with the expected calibration error, writes ``RUN/evaluation/SPLIT-reliability.json`` and ``.png``.
    Raises ValueError where the run has no detections of the settings in force.
    """
    calibration, settings = run_calibration(experiment), experiment.settings
    found = judged(read_detections(experiment), experiment.test_images, experiment.classes, settings.evaluation)
    measured_on = found.scores >= settings.calibration.min_margin
    chances = calibration.probabilities(found.scores, found.labels)
    measured = reliability(chances[measured_on], found.right[measured_on], bins)
    path = experiment.run.evaluation / f"{experiment.split}-reliability"
    write_json(path.with_suffix(".json"), reliability_json(measured))
    write_image(path.with_suffix(".png"), reliability_chart(measured))
    experiment.work.console.print(reliability_table(measured), highlight=False, markup=False)
    return measured


def reliability_json(measured: Reliability) -> dict[str, Any]:
    """As plain data; null in an empty bin."""

    def plain(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(one) else float(one) for one in values]

    return {
        "format_version": FORMAT_VERSION,
        "detections": int(measured.counts.sum()),
        "expected_calibration_error": None if np.isnan(measured.error) else measured.error,
        "counts": measured.counts.tolist(),
        "predicted": plain(measured.predicted),
        "observed": plain(measured.observed),
    }


def reliability_table(measured: Reliability) -> str:
    """One line a bin that is not empty, and the expected calibration error."""
    lines = [f"{'detections':>10}  {'probability':>11}  {'right':>6}"]
    for count, predicted, observed in zip(measured.counts, measured.predicted, measured.observed, strict=True):
        if count:
            lines.append(f"{count:>10}  {predicted:>11.3f}  {observed:>6.3f}")
    return "\n".join([*lines, f"expected calibration error {measured.error:.3f}"])


def reliability_chart(measured: Reliability) -> np.ndarray:
    """(H, W, 3) uint8: the share of right detections against their probability; on the diagonal they agree."""
    axes = (Axis(title, 0.0, 1.0, _TICKS) for title in ("probability", "share of right detections"))
    lines = [
        Line("detections", measured.predicted.tolist(), measured.observed.tolist()),
        Line("perfect", _TICKS, _TICKS),
    ]
    return line_chart(f"expected calibration error {measured.error:.3f}", *axes, lines, legend=0.55)


def chart_path(experiment: Experiment) -> Path:
    """Where `measure_reliability` draws."""
    return experiment.run.evaluation / f"{experiment.split}-reliability.png"
