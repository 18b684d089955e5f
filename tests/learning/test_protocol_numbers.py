"""Every number of the protocol reaches the result."""

import dataclasses

import numpy as np
import pytest

from detection.learning import (
    NormSettings,
    PostprocessSettings,
    RegressionSettings,
    SVMSettings,
    postprocess,
    train_regressors,
    train_svms,
)
from detection.types import RegionScores

NORM = NormSettings(target=10.0, images=6, windows=20, seed=3)
SVM = SVMSettings(C=0.05, retrain_after=40, norm=NORM)
REGRESSION = RegressionSettings(ridge=5.0, norm=NORM)
POSTPROCESS = PostprocessSettings(max_per_class=8)

SVM_CHANGES = {
    "C": 0.1, "bias_multiplier": 1.0, "positive_weight": 1.0, "loss": "squared_hinge", "negative_iou": 0.5,
    "use_difficult": False, "hard_threshold": -0.5, "evict_threshold": -1.01, "retrain_after": 80,
    "retrain_growth": 8.0, "passes": 2, "tolerance": 1e-2, "mining_tolerance": 1e-1, "max_iter": 3, "seed": 4,
}  # fmt: skip
REGRESSION_CHANGES = {
    "ridge": 50.0, "min_iou": 0.5, "use_difficult": False, "include_objects": True, "max_examples": 12,
    "min_examples": 10_000,
}  # fmt: skip
NORM_CHANGES = {"target": 20.0, "images": 2, "windows": 5, "seed": 4}
POSTPROCESS_CHANGES = {"nms_iou": 0.5, "max_per_class": 3, "min_score": 0.0, "voting_iou": 0.3}
# Of what comes before: test_samples.py, test_detector.py; a comparison differs at equality alone: test_regression.py.
THINNING, COMPARISON = {"negative_overlap", "distinct_negatives"}, {"comparison"}
SCORING = {"nms_before_regression", "rounds", "mirrored"}


FURTHER = {"mirrored_positives", "mirrored_below", "jittered_positives", "jitter_iou"}


def with_change(settings, key, value):
    if key.startswith("norm."):
        return dataclasses.replace(settings, norm=dataclasses.replace(settings.norm, **{key[5:]: value}))
    return dataclasses.replace(settings, **{key: value})


def norms():
    return {f"norm.{key}": value for key, value in NORM_CHANGES.items()}


def test_no_field_is_forgotten():
    for settings, changes, others in (
        # Memory shows where it is short (test_trainer.py), further positives where they are made
        # (test_validation.py), fewer where there are many (svm/test_trainer.py).
        (SVMSettings, SVM_CHANGES, {"norm", "memory_mib", "max_positives"} | FURTHER | THINNING),
        # The seed shows with max_examples, below; whitening is inert (test_regression.py).
        (RegressionSettings, REGRESSION_CHANGES, {"norm", "seed", "whitening_epsilon"} | COMPARISON),
        (NormSettings, NORM_CHANGES, set()),
        (PostprocessSettings, POSTPROCESS_CHANGES, SCORING),
    ):
        assert {field.name for field in dataclasses.fields(settings)} == set(changes) | others


@pytest.mark.parametrize(("key", "value"), (SVM_CHANGES | norms()).items())
def test_svms(make_regions, key, value):
    images = make_regions(images=16, proposals=80, noise=0.8)
    plain, _ = train_svms(lambda: images, 3, SVM)
    changed, _ = train_svms(lambda: images, 3, with_change(SVM, key, value))
    assert not (plain.weights == changed.weights).all()


@pytest.mark.parametrize(("key", "value"), (REGRESSION_CHANGES | norms()).items())
def test_regressors(make_regions, key, value):
    images = make_regions(images=16, proposals=80)
    plain = train_regressors(lambda: images, 3, REGRESSION)
    changed = train_regressors(lambda: images, 3, with_change(REGRESSION, key, value))
    assert not (plain.weights == changed.weights).all()


def test_the_seed_of_the_regressors(make_regions):
    images = make_regions(images=16, proposals=80)
    few = [dataclasses.replace(REGRESSION, max_examples=12, seed=seed) for seed in (3, 4)]
    first, second = (train_regressors(lambda: images, 3, one) for one in few)
    assert not (first.weights == second.weights).all()


@pytest.mark.parametrize(("key", "value"), POSTPROCESS_CHANGES.items())
def test_detections(key, value):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (60, 1, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (60, 1, 2))], axis=2).astype(np.float32)
    record = RegionScores("img", np.repeat(boxes, 2, axis=1), rng.normal(-1, 1, (60, 2)).astype(np.float32))
    plain = postprocess(record, (100, 100), POSTPROCESS)
    changed = postprocess(record, (100, 100), with_change(POSTPROCESS, key, value))
    assert (plain.scores.tolist(), plain.boxes.tolist()) != (changed.scores.tolist(), changed.boxes.tolist())
