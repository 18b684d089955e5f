import numpy as np
import pytest

from detection.evaluation import DiagnosisSettings, EvaluationSettings, IntervalSettings


@pytest.mark.parametrize(
    "bad",
    [{"metric": "voc2007"}, {"iou_threshold": 0}, {"iou_threshold": 1.1}, {"difficult": "x"}, {"comparison": "<"}],
)
def test_settings_refuse_unknown_values(bad):
    with pytest.raises(ValueError, match=rf"evaluation {next(iter(bad))}: expected .* got"):
        EvaluationSettings(**bad)


@pytest.mark.parametrize("bad", [{"resamples": -1}, {"confidence": 0}, {"confidence": 1}, {"seed": -1}])
def test_intervals_refuse_numbers_out_of_range(bad):
    with pytest.raises(ValueError, match=rf"intervals.{next(iter(bad))}: expected .* got"):
        IntervalSettings(**bad)


def test_a_match_at_and_above_the_threshold():
    overlaps = np.array([0.4, 0.5, 0.6])
    assert EvaluationSettings().is_match(overlaps).tolist() == [False, True, True]
    assert EvaluationSettings(comparison=">").is_match(overlaps).tolist() == [False, False, True]


@pytest.mark.parametrize("value", [0, 1])
def test_settings(value):
    with pytest.raises(ValueError, match=r"diagnosis.near_iou: expected .* got"):
        DiagnosisSettings(near_iou=value)
