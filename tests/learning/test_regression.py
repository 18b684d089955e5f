import dataclasses
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from detection.geometry import decode_offsets, encode_offsets, iou
from detection.learning import (
    BoxRegressors,
    NormSettings,
    RegressionSettings,
    TrainingRegions,
    example_rows,
    norm_sample_images,
    norm_sample_proposals,
    train_regressors,
)
from detection.learning.regression import fit_offsets, solve_ridge
from detection.learning.reservoir import Reservoir
from detection.storage import read_arrays, write_arrays
from detection.types import RegionFeatures, RegionScores

SETTINGS = RegressionSettings(ridge=5.0, norm=NormSettings(target=10))


@pytest.mark.parametrize("shape", [(40, 15), (15, 40), (30, 30), (1, 7), (7, 1)])
@pytest.mark.parametrize("ridge", [1000.0, 1e-3])
def test_ridge_against_least_squares_and_sklearn(shape, ridge):
    rng = np.random.default_rng(0)
    rows, targets, scale = rng.normal(1, 3, shape).astype(np.float32), rng.normal(size=(shape[0], 4)), 1.7
    slopes, constant = solve_ridge(rows, targets, ridge, scale)
    design = np.concatenate([scale * rows.astype(np.float64), np.ones((shape[0], 1))], axis=1)
    stacked = np.concatenate([design, np.sqrt(ridge) * np.eye(design.shape[1])])
    expected = np.linalg.lstsq(stacked, np.concatenate([targets, np.zeros((design.shape[1], 4))]), rcond=None)[0]
    np.testing.assert_allclose(slopes / scale, expected[:-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(constant, expected[-1], rtol=1e-4, atol=1e-6)
    sklearn = Ridge(alpha=ridge, fit_intercept=False, solver="svd").fit(design, targets)
    np.testing.assert_allclose(slopes / scale, sklearn.coef_.T[:-1], rtol=1e-4, atol=1e-6)


def test_ridge_at_the_edge_of_single_precision():
    """Nearly parallel rows and hardly a penalty: float32 could not factor it."""
    rng = np.random.default_rng(1)
    rows = (1000 + rng.normal(0, 1e-2, (30, 50))).astype(np.float32)
    targets = rng.normal(size=(30, 4))
    slopes, constant = solve_ridge(rows, targets, 1e-2, 1.0)
    design = np.concatenate([rows.astype(np.float64), np.ones((30, 1))], axis=1)
    expected = design.T @ np.linalg.solve(design @ design.T + 1e-2 * np.eye(30), targets)
    np.testing.assert_allclose(design @ np.vstack([slopes, constant]), design @ expected, atol=1e-4)


def test_ridge_says_when_features_are_not_numbers():
    with pytest.raises(ValueError, match="expected finite features"):
        solve_ridge(np.full((3, 5), np.nan, np.float32), np.ones((3, 4)), 1.0, 1.0)


def test_offsets_by_hand():
    """One feature, x = -1, 0, 1 with scale 1, targets t = (x, 0, 0, 0): by the formulas of the source.

    The covariance is diag(2/3, 0, 0, 0), whitened targets x / sqrt(2/3 + eps), slope 2 / (2 + ridge) times
    that, and unwhitening gives 2 / (2 + ridge); the mean and the constant are 0.
    """
    rows = np.array([[-1], [0], [1]], np.float32)
    targets = np.concatenate([rows, np.zeros((3, 3))], axis=1)
    weights, biases = fit_offsets(rows, targets, 1.0, RegressionSettings(ridge=2.0))
    np.testing.assert_allclose(weights, [[0.5], [0], [0], [0]], atol=1e-7)
    np.testing.assert_allclose(biases, 0, atol=1e-7)
    # With scale 3: 18 / (18 + 2) / 1 of the slope that x needs.
    weights, _ = fit_offsets(rows, targets, 3.0, RegressionSettings(ridge=2.0))
    assert weights[0, 0] == pytest.approx(0.9)


def test_whitening_is_undone():
    """Ridge regression is linear in its targets and all four share a penalty: the source's whitening is inert."""
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(50, 6)).astype(np.float32), rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    plain, biases = fit_offsets(rows, targets, 1.0, SETTINGS)
    other, other_biases = fit_offsets(rows, targets, 1.0, dataclasses.replace(SETTINGS, whitening_epsilon=10.0))
    np.testing.assert_allclose(plain, other, atol=1e-5)
    np.testing.assert_allclose(biases, other_biases, atol=1e-5)
    slopes, constant = solve_ridge(rows, targets - targets.mean(axis=0), SETTINGS.ridge, 1.0)
    np.testing.assert_allclose(plain, slopes.T, atol=1e-5)
    np.testing.assert_allclose(biases, constant + targets.mean(axis=0), atol=1e-5)


def test_targets_of_one_value():
    """Centred, they are 0, whatever the features."""
    weights, biases = fit_offsets(np.ones((5, 2), np.float32), np.tile([1.0, 2, 3, 4], (5, 1)), 1.0, SETTINGS)
    np.testing.assert_allclose(weights, 0, atol=1e-9)
    np.testing.assert_allclose(biases, [1, 2, 3, 4])


def reference(images, num_classes, settings, scale):
    """rcnn_train_bbox_regressor.m line by line, in float64."""
    models = []
    for label in range(num_classes):
        X, Y = [], []
        for r in images:
            boxes = [(r.proposals.boxes[i], r.proposals.values[i]) for i in range(len(r.proposals.boxes))]
            if settings.include_objects:
                boxes += [(r.objects.boxes[i], r.objects.values[i]) for i in range(len(r.labels))]
            for box, value in boxes:
                overlaps = iou(box[None], r.objects.boxes)[0]
                if len(overlaps) and overlaps.max() > settings.min_iou and r.labels[overlaps.argmax()] == label:
                    X.append(np.append(value.astype(np.float64) * scale, 1))
                    Y.append(encode_offsets(box[None], r.objects.boxes[[overlaps.argmax()]])[0])
        if len(X) < settings.min_examples:
            models.append(None)
            continue
        X, Y = np.array(X), np.array(Y)
        mu = Y.mean(axis=0)
        D, V = np.linalg.eigh((Y - mu).T @ (Y - mu) / len(Y))
        T = V @ np.diag(1 / np.sqrt(D + settings.whitening_epsilon)) @ V.T
        T_inv = V @ np.diag(np.sqrt(D + settings.whitening_epsilon)) @ V.T
        beta = np.linalg.solve(X.T @ X + settings.ridge * np.eye(X.shape[1]), X.T @ ((Y - mu) @ T))
        models.append((beta @ T_inv, mu))
    return models


@pytest.mark.parametrize("include_objects", [False, True])
def test_training_against_the_source(make_regions, include_objects):
    images = make_regions(images=16, proposals=80)
    settings = dataclasses.replace(SETTINGS, include_objects=include_objects)
    regressors = train_regressors(lambda: iter(images), 4, settings)
    norms = np.concatenate([np.linalg.norm(r.proposals.values, axis=1) for r in images])
    scale = 10 / norms.mean()
    assert regressors.trained.tolist() == [True, True, True, False]
    for label, model in enumerate(reference(images, 4, settings, scale)):
        offsets = regressors.offsets(images[0].proposals)[:, label]
        if model is None:
            assert (offsets == 0).all()
            continue
        features = np.concatenate([images[0].proposals.values * scale, np.ones((80, 1))], axis=1)
        np.testing.assert_allclose(offsets, features @ model[0] + model[1], atol=1e-4)


def make_regressors(classes=5, length=37, seed=0, size=0.05):
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, size, (classes, 4, length)).astype(np.float32)
    return BoxRegressors(weights, rng.normal(0, size, (classes, 4)).astype(np.float32), np.ones(classes, bool), "pool5")


def proposals_and_scores(count=11, classes=5, length=37, seed=1):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 40, (count, 2))], axis=1).astype(np.float32)
    regions = RegionFeatures("img", boxes, rng.normal(size=(count, length)).astype(np.float32), "pool5")
    scores = rng.normal(size=(count, classes)).astype(np.float32)
    return regions, RegionScores("img", np.repeat(boxes[:, None], classes, axis=1), scores)


def test_refine_is_features_to_offsets_to_boxes():
    regressors, (regions, scores) = make_regressors(), proposals_and_scores()
    refined = regressors.refine(scores, regions)
    for r in range(11):
        for c in range(5):
            offsets = regressors.weights[c].astype(np.float64) @ regions.values[r] + regressors.biases[c]
            expected = decode_offsets(regions.boxes[r], offsets)
            np.testing.assert_allclose(refined.boxes[r, c], expected, rtol=1e-4, atol=1e-3)
    assert refined.scores is scores.scores
    assert not (scores.boxes == refined.boxes).all()


def test_a_box_depends_on_its_proposal_and_class_alone():
    regressors, (regions, scores) = make_regressors(), proposals_and_scores()
    every = regressors.refine(scores, regions).boxes
    rng = np.random.default_rng(3)
    for classes in (1, 2, 3, 5):
        for rows in (1, 2, 10):
            c, r = rng.permutation(5)[:classes], rng.permutation(11)[:rows]
            fewer = BoxRegressors(regressors.weights[c], regressors.biases[c], regressors.trained[c], "pool5")
            part = RegionFeatures("img", regions.boxes[r], regions.values[r], "pool5")
            some = RegionScores("img", scores.boxes[np.ix_(r, c)], scores.scores[np.ix_(r, c)])
            assert (fewer.refine(some, part).boxes == every[np.ix_(r, c)]).all()


def test_proposals_that_share_a_vector_have_boxes_of_their_own():
    regressors, (regions, _) = make_regressors(), proposals_and_scores(4)
    rows = np.array([2, 0, 3, 2, 2, 1])
    other, scores = proposals_and_scores(6, seed=5)
    shared = RegionFeatures("img", other.boxes, regions.values, "pool5", rows)
    plain = RegionFeatures("img", other.boxes, regions.values[rows], "pool5")
    assert regressors.refine(scores, shared).boxes.tobytes() == regressors.refine(scores, plain).boxes.tobytes()


def test_boxes_stay_finite():
    regions, scores = proposals_and_scores()
    assert np.isfinite(make_regressors(size=1e6).refine(scores, regions).boxes).all()


def test_untrained_classes_keep_the_proposals_to_the_bit():
    regions, scores = proposals_and_scores(classes=2)
    regressors = make_regressors(2)
    only_first = BoxRegressors(regressors.weights, regressors.biases, np.array([True, False]), "pool5")
    refined = only_first.refine(scores, regions)
    assert (refined.boxes[:, 1] == regions.boxes).all()
    assert not (refined.boxes[:, 0] == regions.boxes).all()


def test_no_proposals_and_no_classes():
    regions, scores = proposals_and_scores(0)
    assert make_regressors().refine(scores, regions).boxes.shape == (0, 5, 4)
    regions, scores = proposals_and_scores(3, 0)
    assert make_regressors(0).refine(scores, regions).boxes.shape == (3, 0, 4)


def test_refinement_brings_proposals_nearer(make_regions):
    images = make_regions(images=40, proposals=80, noise=0.02)
    regressors = train_regressors(lambda: images[:30], 3, dataclasses.replace(SETTINGS, ridge=0.1))
    before, after = [], []
    for r in images[30:]:
        if not len(r.labels) or not len(r.proposals.boxes):
            continue
        pairs = iou(r.proposals.boxes, r.objects.boxes)
        near = np.flatnonzero(pairs.max(axis=1) > 0.6)
        best = pairs.argmax(axis=1)[near]
        boxes = np.repeat(r.proposals.boxes[:, None], 3, axis=1)
        record = RegionScores(r.image_id, boxes, np.zeros((len(boxes), 3), np.float32))
        refined = regressors.refine(record, r.proposals).boxes[near, r.labels[best]]
        before += pairs.max(axis=1)[near].tolist()
        after += [iou(refined[[i]], r.objects.boxes[[best[i]]])[0, 0] for i in range(len(near))]
    assert np.mean(after) > np.mean(before) + 0.02


def test_what_refine_refuses():
    regressors, (regions, scores) = make_regressors(), proposals_and_scores()
    with pytest.raises(ValueError, match="image, proposals and classes"):
        regressors.refine(scores, RegionFeatures("img", regions.boxes[:3], regions.values[:3], "pool5"))
    with pytest.raises(ValueError, match="'pool5' and length 37, got layer 'fc7'"):
        regressors.refine(scores, dataclasses.replace(regions, layer="fc7"))


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_a_reservoir_does_not_see_how_the_stream_is_cut(capacity, count, seed):
    rows = np.arange(count * 2, dtype=np.float32).reshape(-1, 2)
    targets = np.repeat(np.arange(count, dtype=np.float64)[:, None], 4, axis=1)
    whole, parts = Reservoir(capacity, seed), Reservoir(capacity, seed)
    whole.add(rows, targets)
    for cut in np.array_split(np.arange(count), 7):
        parts.add(rows[cut], targets[cut])
    assert (whole.rows == parts.rows).all()
    assert (whole.targets == parts.targets).all()
    assert len(whole.rows) == min(capacity, count)
    assert whole.rows[:, :1].ravel().tolist() == (2 * whole.targets[:, 0]).tolist()
    assert len(np.unique(whole.targets[:, 0])) == len(whole.targets)


def test_a_reservoir_takes_the_place_that_was_drawn():
    """Of k seen with the new one, place int(k x draw): the new one stays if that is a place of the sample."""
    drawn = iter([0.9, 0.9, 0.3, 0.7, 0.51, 0.39])
    one = Reservoir(2, 0)
    one._generator = SimpleNamespace(random=lambda: next(drawn))
    kept = []
    for number in range(6):
        one.add(np.float32([[number]]), np.full((1, 4), float(number)))
        kept.append(one.rows.ravel().tolist())
    # Places 0 of 3, 2 of 4, 2 of 5 and 2 of 6.
    assert kept == [[0], [0, 1], [2, 1], [2, 1], [2, 1], [2, 1]]


def test_a_reservoir_is_uniform_and_seeded():
    """Every set of draws on a grid: each of four rows is in the sample of two just as often."""
    rows, counts = np.arange(4, dtype=np.float32)[:, None], np.zeros(4, int)
    targets = np.repeat(np.arange(4.0)[:, None], 4, axis=1)
    grid = (np.arange(12) + 0.5) / 12
    for draws in product(grid, grid):
        one = Reservoir(2, 0)
        one._generator = SimpleNamespace(random=iter([0.0, 0.0, *draws]).__next__)
        one.add(rows, targets)
        counts[one.targets[:, 0].astype(int)] += 1
    assert counts.tolist() == [72] * 4
    first, second, again = (Reservoir(2, seed) for seed in (0, 1, 0))
    for one in (first, second, again):
        one.add(np.tile(rows, (20, 1)), np.arange(320.0).reshape(80, 4))
    assert (first.targets == again.targets).all()
    assert not (first.targets == second.targets).all()


def test_examples_are_bounded(make_regions):
    images = make_regions(images=16, proposals=80)
    few = dataclasses.replace(SETTINGS, max_examples=15)
    first = train_regressors(lambda: images, 3, few)
    again = train_regressors(lambda: images, 3, few)
    assert first.trained.all()
    assert (first.weights == again.weights).all()
    assert not (first.weights == train_regressors(lambda: images, 3, SETTINGS).weights).all()


def test_images_of_different_layers_or_labels(make_regions):
    with pytest.raises(ValueError, match="at least one image"):
        train_regressors(list, 3, SETTINGS)
    mixed = make_regions() + make_regions(layer="fc7")
    with pytest.raises(ValueError, match="expected layer 'pool5' and length 16 as in the first image"):
        train_regressors(lambda: mixed, 3, SETTINGS)
    with pytest.raises(ValueError, match=r"expected labels in 0 .. 1"):
        train_regressors(make_regions, 2, SETTINGS)


def test_round_trip_on_disk(tmp_path):
    regressors = make_regressors()
    write_arrays(tmp_path / "boxes.safetensors", *regressors.to_arrays())
    again = BoxRegressors.from_arrays(*read_arrays(tmp_path / "boxes.safetensors"))
    assert again.layer == "pool5"
    for name in ("weights", "biases", "trained"):
        assert (getattr(again, name) == getattr(regressors, name)).all()
    arrays, metadata = regressors.to_arrays()
    with pytest.raises(ValueError, match="expected kind 'box_regressors'"):
        BoxRegressors.from_arrays(arrays, metadata | {"kind": "linear_svms"})


@pytest.mark.parametrize(
    "change",
    [{"ridge": 0}, {"min_iou": 1}, {"whitening_epsilon": 0}, {"max_examples": 0}, {"min_examples": 0}, {"seed": -1}],
)
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=f"regression.{next(iter(change))}: expected"):
        RegressionSettings(**change)


def test_regions_fixture_is_what_it_says(make_regions):
    images = make_regions()
    assert isinstance(images[0], TrainingRegions)
    assert {len(r.proposals.boxes) for r in images} == {0, 60}
    assert 0 in {len(r.labels) for r in images}


@pytest.mark.parametrize("change", [{}, {"include_objects": True}, {"use_difficult": False, "comparison": ">="}])
def test_proposals_that_are_no_examples_may_be_left_out(make_regions, change):
    images = make_regions(images=20)
    settings = dataclasses.replace(SETTINGS, norm=NormSettings(images=4, windows=10), **change)
    sampled = set(norm_sample_images(20, settings.norm).tolist())

    def take(proposals, rows):
        return dataclasses.replace(proposals, boxes=proposals.boxes[rows], values=proposals.values[rows])

    def light():
        for i, r in enumerate(images):
            near = example_rows(r.proposals.boxes, r.objects.boxes, r.difficult, settings)
            norms = norm_sample_proposals(i, len(r.proposals.boxes), settings.norm) if i in sampled else []
            yield dataclasses.replace(r, proposals=take(r.proposals, near), norm_proposals=take(r.proposals, norms))

    plain = train_regressors(lambda: images, 3, settings)
    with ThreadPoolExecutor(2) as executor:
        light = train_regressors(light, 3, settings, executor=executor)
    assert plain.trained.all()
    assert plain.weights.tobytes() == light.weights.tobytes()
    assert plain.biases.tobytes() == light.biases.tobytes()


@pytest.mark.parametrize(("comparison", "trained"), [(">", False), (">=", True)])
def test_examples_at_the_least_iou(comparison, trained):
    """All proposals have IoU 0.5 exactly: examples by >=, none by >."""
    boxes = np.repeat(np.array([[0, 0, 10, 5]], np.float32), 12, axis=0)
    values = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    regions = TrainingRegions(
        RegionFeatures("a", boxes, values, "pool5"),
        RegionFeatures("a", np.array([[0, 0, 10, 10]], np.float32), values[:1], "pool5"),
        np.array([0]),
        np.array([False]),
    )
    settings = RegressionSettings(min_iou=0.5, comparison=comparison)
    assert train_regressors(lambda: [regions], 1, settings).trained.tolist() == [trained]
    with pytest.raises(ValueError, match=r"regression.comparison: expected > or >=, got '<'"):
        RegressionSettings(comparison="<")
