"""Learning on region features: linear SVMs with hard-negative mining, box regression, and what follows scoring.

Names are loaded when first used: importing this package loads no kernel and no torch.
"""

from detection._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "assignment": ("best_objects", "max_overlaps", "negatives_of"),
        "calibration": ("Calibration", "CalibrationSettings", "fit_calibration"),
        "cross_validation": ("image_folds", "train_fold_svms"),
        "finetune.settings": ("FinetuneSettings",),
        "postprocessing": ("NMSOutcome", "PostprocessSettings", "nms_outcome", "postprocess", "suppressed"),
        "regression": ("BoxRegressors", "RegressionSettings", "example_rows", "train_regressors"),
        "regression_checkpoint": ("RegressionCheckpoint",),
        "reliability_bins": ("Reliability", "reliability"),
        "svm.checkpoint": ("MiningCheckpoint",),
        "svm.growing": ("GrowingSVMs",),
        "svm.held_out": ("train_held_out",),
        "svm.linear_svms": ("LinearSVMs",),
        "svm.log": ("FEW_POSITIVES", "MiningEntry", "MiningLog", "TrainingSamples"),
        "svm.mining": ("train_svms",),
        "svm.samples": ("TrainingRegions", "jittered_boxes", "norm_sample_images", "norm_sample_proposals", "thinned"),
        "svm.settings": ("ExtraPositives", "NormSettings", "SVMSettings"),
        "svm.solver": ("SVMSolution", "fit_linear_svm", "solve_svm", "solve_svms"),
        "thresholds": ("best_threshold",),
    },
    renamed={
        "WindowFate": "NMSOutcome",
        "fate_of_window": "nms_outcome",
        "norm_sample_windows": "norm_sample_proposals",
    },
)
