"""Learning on region features: linear SVMs with hard-negative mining, box regression, and what follows scoring.

Names are loaded when first used: importing this package loads no kernel and no torch.
"""

from __future__ import annotations

from importlib import import_module

_ROOMS = {
    "assignment": ("best_objects", "max_overlaps", "negatives_of"),
    "svm.augmentation": ("ExtraPositives", "jittered_boxes"),
    "calibration": ("Calibration", "Reliability", "fit_calibration", "reliability"),
    "svm.checkpoint": ("MiningCheckpoint",),
    "svm.linear_svms": ("LinearSVMs",),
    "cross_validation": ("image_folds", "train_fold_svms"),
    "finetune.settings": ("FinetuneSettings",),
    "svm.fit": ("fit_linear_svm",),
    "svm.many_svms": ("solve_svms",),
    "svm.mining": ("FEW_POSITIVES", "MiningEntry", "MiningLog", "SVMSettings", "TrainingSamples", "train_svms"),
    "postprocessing": ("PostprocessSettings", "NMSOutcome", "nms_outcome", "postprocess", "suppressed"),
    "regression": ("BoxRegressors", "RegressionSettings", "example_rows", "train_regressors"),
    "svm.stream": ("NormSettings", "TrainingRegions", "norm_sample_images", "norm_sample_proposals"),
    "svm.thinning": ("thinned",),
    "svm.solver": ("SVMSolution", "solve_svm"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "FEW_POSITIVES",
    "BoxRegressors",
    "Calibration",
    "ExtraPositives",
    "FinetuneSettings",
    "LinearSVMs",
    "MiningCheckpoint",
    "MiningEntry",
    "MiningLog",
    "NMSOutcome",
    "NormSettings",
    "PostprocessSettings",
    "RegressionSettings",
    "Reliability",
    "SVMSettings",
    "SVMSolution",
    "TrainingRegions",
    "TrainingSamples",
    "best_objects",
    "example_rows",
    "fit_calibration",
    "fit_linear_svm",
    "image_folds",
    "jittered_boxes",
    "max_overlaps",
    "negatives_of",
    "nms_outcome",
    "norm_sample_images",
    "norm_sample_proposals",
    "postprocess",
    "reliability",
    "solve_svm",
    "solve_svms",
    "suppressed",
    "thinned",
    "train_fold_svms",
    "train_regressors",
    "train_svms",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
