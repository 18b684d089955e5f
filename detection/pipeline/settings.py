"""The settings of every stage, each defined beside what it decides, composed once."""

from dataclasses import dataclass, field
from typing import Literal

from detection.data import DatasetSettings
from detection.evaluation import DiagnosisSettings, EvaluationSettings, IntervalSettings
from detection.features import FeatureSettings
from detection.learning import (
    CalibrationSettings,
    FinetuneSettings,
    PostprocessSettings,
    RegressionSettings,
    SVMSettings,
)
from detection.proposals import ProposalSettings
from detection.report import ReportSettings

# What becomes of a run's class list where data and settings ask for another one.
ClassesChanged = Literal["refuse", "keep", "retrain"]


@dataclass(frozen=True)
class StageSettings:
    """What decides the results of a run.

    Args:
        dataset: Data set.
        proposals: Proposals.
        features: Features.
        finetune: Fine-tuned fc6 and fc7, used where features.head is finetuned.
        svm: Linear SVMs and hard-negative mining.
        regression: Box regression.
        postprocess: From scored proposals to detections.
        calibration: Probabilities, and from which one on detections are shown.
        evaluation: Evaluation.
        intervals: Intervals of the figures.
        diagnosis: Kinds of errors.
        report: What the HTML report shows.
    """

    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    svm: SVMSettings = field(default_factory=SVMSettings)
    regression: RegressionSettings = field(default_factory=RegressionSettings)
    postprocess: PostprocessSettings = field(default_factory=PostprocessSettings)
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    intervals: IntervalSettings = field(default_factory=IntervalSettings)
    diagnosis: DiagnosisSettings = field(default_factory=DiagnosisSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
