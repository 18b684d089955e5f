from dataclasses import replace

import numpy as np
import pytest

from detection.learning import NormSettings, SVMSettings, image_folds, solve_svm, train_held_out, train_svms
from detection.learning.svm import held_out as held_out_module

SETTINGS = SVMSettings(
    C=0.05,
    retrain_after=60,
    norm=NormSettings(target=10, images=100, windows=1000),
    memory_mib=4,
    mining_tolerance=1e-5,
)


@pytest.fixture
def images(make_regions):
    return make_regions(images=12)


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    monkeypatch.setattr(held_out_module, "_TOLERANCE", 0)


def mined(images, settings=SETTINGS, **more):
    return train_svms(lambda: iter(images), 3, settings, **more)


def held_out(images, log, fold_of, samples=None):
    samples = log.samples if samples is None else samples
    return train_held_out(samples, iter(images), 3, [SETTINGS], log.mean_norm, fold_of)[0]


def test_a_fold_is_trained_on_the_samples_of_the_others(images):
    """Against the solver on vectors that are looked up one by one."""
    fold_of = image_folds([one.image_id for one in images], 3, 0)
    svms, log = mined(images)
    found = held_out(images, log, fold_of)
    regions = {one.image_id: one for one in images}
    for fold, of_fold in enumerate(found):
        assert of_fold.layer == svms.layer
        for one in log.samples:
            values, labels, seen = [], [], {}
            for place, (image_id, box) in enumerate(zip(one.image_ids, one.boxes, strict=True)):
                positive, regions_of = place < one.positives, regions[image_id]
                part = regions_of.objects if positive else regions_of.proposals
                rows = np.flatnonzero((part.boxes == box).all(axis=1))
                if positive:
                    rows = [row for row in rows if regions_of.labels[row] == one.label]
                row = rows[seen.setdefault((image_id, box.tobytes(), positive), 0) % len(rows)]
                if fold_of[image_id] != fold:
                    values.append(part.values[row])
                    labels.append(1 if positive else -1)
            share = len(images) / sum(other != fold for other in fold_of.values())
            arguments = replace(SETTINGS, C=SETTINGS.C * share).solver_arguments(log.scale)
            alone = solve_svm(np.array(values), np.array(labels), tolerance=1e-6, **arguments)
            np.testing.assert_allclose(of_fold.weights[one.label], alone.weights, atol=3e-3)
            assert of_fold.biases[one.label] == pytest.approx(alone.bias, abs=3e-2)


@pytest.mark.parametrize("most", [None, 4])
def test_training_leaves_the_same(images, most):
    """What is made of the rows that mining holds is what is made of them read again."""
    fold_of, settings = image_folds([one.image_id for one in images], 3, 0), replace(SETTINGS, max_positives=most)
    svms, log = mined(images, settings, fold_of=fold_of)
    plain, _ = mined(images, settings)
    assert svms.weights.tobytes() == plain.weights.tobytes()
    again = held_out(images, log, fold_of)
    assert len(log.held_out) == len(again) == 3
    for one, other in zip(log.held_out, again, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=2e-3)


def test_a_fold_knows_nothing_of_its_own_images(images):
    fold_of = image_folds([one.image_id for one in images], 4, 0)
    _, log = mined(images)
    before = held_out(images, log, fold_of)
    changed = [
        replace(one, proposals=replace(one.proposals, values=one.proposals.values + 1))
        if fold_of[one.image_id] == 2
        else one
        for one in images
    ]
    after = held_out(changed, log, fold_of)
    same = [one.weights.tobytes() == other.weights.tobytes() for one, other in zip(before, after, strict=True)]
    assert same == [False, False, True, False]


def test_margins_are_on_the_scale_of_the_whole_training(images):
    """Of images that no fold leaves out alone, the folds together have the margins of the SVMs trained on all."""
    fold_of = image_folds([one.image_id for one in images], 6, 0)
    svms, log = mined(images)
    whole = np.concatenate([svms.score(one.proposals) for one in images])
    parts = [np.concatenate([one.score(image.proposals) for image in images]) for one in held_out(images, log, fold_of)]
    slope = np.polyfit(whole.ravel(), np.mean(parts, axis=0).ravel(), 1)[0]
    assert slope == pytest.approx(1, abs=0.15)


def test_of_several_settings_each_is_what_it_is_alone(images):
    fold_of = image_folds([one.image_id for one in images], 3, 0)
    _, log = mined(images)
    pairs = [(0.001, 1.0), (0.05, 2.0), (0.01, 4.0)]
    several = [replace(SETTINGS, C=cost, positive_weight=weight, tolerance=1e-6) for cost, weight in pairs]
    found = train_held_out(log.samples, iter(images), 3, several, log.mean_norm, fold_of)
    for settings, of_folds in zip(several, found, strict=True):
        [alone] = train_held_out(log.samples, iter(images), 3, [settings], log.mean_norm, fold_of)
        for one, other in zip(of_folds, alone, strict=True):
            np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)
            np.testing.assert_allclose(one.biases, other.biases, atol=1e-3)
    norms = [np.linalg.norm(of_folds[0].weights) for of_folds in found]
    assert norms[0] < norms[2] < norms[1]


def test_images_that_do_not_come_and_classes_of_no_samples(images):
    fold_of = image_folds([one.image_id for one in images], 2, 0)
    _, log = mined(images)
    some = held_out(images[:-2], log, fold_of)
    assert all(one.trained.all() for one in some)
    without = held_out(images, log, fold_of, [one for one in log.samples if one.label != 1])
    assert [one.trained.tolist() for one in without] == [[True, False, True]] * 2
    with pytest.raises(ValueError, match="expected images with samples of the training, got none"):
        held_out([], log, fold_of)
