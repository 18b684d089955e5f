import dataclasses

import numpy as np
import pytest

from detection.learning import NormSettings, SVMSettings, image_folds, train_fold_svms, train_svms

SETTINGS = SVMSettings(C=0.05, retrain_after=60, norm=NormSettings(target=10, images=100, windows=1000), memory_mib=4)


def test_folds():
    ids = [f"img {i}" for i in range(11)]
    found = image_folds(ids, 3, seed=0)
    assert sorted(found) == sorted(ids)
    assert sorted(np.bincount(list(found.values())).tolist()) == [3, 4, 4]
    assert image_folds(ids, 3, seed=0) == found
    assert image_folds(ids, 3, seed=1) != found
    for wrong in (1, 12):
        with pytest.raises(ValueError, match=r"folds: expected 2 .. 11 \(the images\), got"):
            image_folds(ids, wrong, 0)


def test_a_fold_is_training_without_its_images(make_regions):
    """The one thing shared is the features' scale, made equal here."""
    images = make_regions(images=12)
    norms = np.concatenate([np.linalg.norm(one.proposals.values.astype(np.float64), axis=1) for one in images])
    fold_of = image_folds([one.image_id for one in images], 3, 0)
    settings = [SETTINGS, dataclasses.replace(SETTINGS, C=0.01, positive_weight=4.0)]
    machines, log = train_fold_svms(lambda: iter(images), 3, settings, fold_of)
    assert log.mean_norm == pytest.approx(norms.mean())
    assert [len(one) for one in machines] == [3, 3]
    for one, of_folds in zip(settings, machines, strict=True):
        for fold, svms in enumerate(of_folds):
            rest = [r for r in images if fold_of[r.image_id] != fold]
            there = np.concatenate([np.linalg.norm(r.proposals.values.astype(np.float64), axis=1) for r in rest])
            # The target that gives the rest of the images the scale of all of them.
            target = log.scale * there.mean()
            alone, _ = train_svms(
                lambda rest=rest: iter(rest),
                3,
                dataclasses.replace(one, norm=dataclasses.replace(one.norm, target=target)),
            )
            np.testing.assert_allclose(svms.weights, alone.weights, atol=2e-3)
            assert svms.trained.all()


def test_settings_that_differ_elsewhere(make_regions):
    images = make_regions()
    other = dataclasses.replace(SETTINGS, bias_multiplier=3.0)
    with pytest.raises(ValueError, match="differ in C and positive_weight alone"):
        train_fold_svms(lambda: iter(images), 3, [SETTINGS, other], {one.image_id: 0 for one in images})
