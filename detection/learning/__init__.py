"""Learning on region features: linear SVMs with hard-negative mining, box regression, and what follows scoring.

Names are loaded when first used: importing this package loads no kernel and no torch.
"""

from __future__ import annotations

from importlib import import_module

_ROOMS = {
    "assignment": ("best_objects", "max_overlaps", "negatives_of"),
    "checkpoint": ("MiningCheckpoint",),
    "classifier": ("LinearSVMs",),
    "finetune.settings": ("FinetuneSettings",),
    "mining": ("MiningEntry", "MiningLog", "SVMSettings", "TrainingSamples", "train_svms"),
    "postprocessing": ("PostprocessSettings", "WindowFate", "fate_of_window", "postprocess"),
    "regression": ("BoxRegressors", "RegressionSettings", "train_regressors"),
    "stream": ("NormSettings", "TrainingRegions", "norm_sample_images"),
    "svm": ("SVMSolution", "fit_linear_svm", "solve_svm"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "BoxRegressors",
    "FinetuneSettings",
    "LinearSVMs",
    "MiningCheckpoint",
    "MiningEntry",
    "MiningLog",
    "NormSettings",
    "PostprocessSettings",
    "RegressionSettings",
    "SVMSettings",
    "SVMSolution",
    "TrainingRegions",
    "TrainingSamples",
    "WindowFate",
    "best_objects",
    "fate_of_window",
    "fit_linear_svm",
    "max_overlaps",
    "negatives_of",
    "norm_sample_images",
    "postprocess",
    "solve_svm",
    "train_regressors",
    "train_svms",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
