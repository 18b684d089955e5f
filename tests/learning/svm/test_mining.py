import dataclasses

import numpy as np
import pytest

from detection.learning import (
    NormSettings,
    SVMSettings,
    TrainingRegions,
    max_overlaps,
    norm_sample_images,
    norm_sample_proposals,
    solve_svm,
    train_svms,
)
from detection.types import RegionFeatures


def take(proposals, rows):
    return dataclasses.replace(proposals, boxes=proposals.boxes[rows], values=proposals.values[rows])


# So strong a cost that few samples support the machine and mining has something to leave out.
SETTINGS = SVMSettings(C=0.05, retrain_after=60, norm=NormSettings(target=10))


def brute_force(images, label, scale, settings):
    """Scaled positives and all negatives of all images: ((N, D) values, (N,) labels)."""
    positives = [r.objects.values[r.labels == label] for r in images]
    negatives = []
    for r in images:
        overlaps = max_overlaps(r.proposals.boxes, r.objects.boxes, r.labels, 3)[:, label]
        negatives.append(r.proposals.values[overlaps < settings.negative_iou])
    count = sum(map(len, positives))
    values = np.concatenate(positives + negatives) * np.float32(scale)
    return values, np.where(np.arange(len(values)) < count, 1, -1)


def objective_of(svms, label, values, labels, scale, settings):
    weights, bias = svms.weights[label].astype(np.float64) / scale, float(svms.biases[label])
    losses = np.maximum(0, 1 - labels * (values @ weights + bias)) * np.where(labels > 0, settings.positive_weight, 1)
    return 0.5 * weights @ weights + 0.5 * (bias / settings.bias_multiplier) ** 2 + settings.C * losses.sum()


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_mining_to_the_end_is_training_on_everything(make_regions, loss):
    images = make_regions(images=16, proposals=80, noise=0.8)
    settings = dataclasses.replace(SETTINGS, passes=20, loss=loss, tolerance=1e-6)
    svms, log = train_svms(lambda: images, 3, settings)
    assert svms.trained.all()
    for label in range(3):
        values, labels = brute_force(images, label, log.scale, settings)
        best = solve_svm(values, labels, C=settings.C, loss=loss, tolerance=1e-6)
        margins = labels * (values @ (svms.weights[label] / np.float32(log.scale)) + svms.biases[label])
        assert best.weights * log.scale == pytest.approx(svms.weights[label], abs=5e-3)
        if loss == "hinge":
            found = objective_of(svms, label, values, labels, log.scale, settings)
            assert found == pytest.approx(best.objective, rel=1e-3)
        kept = max(entry.negatives for entry in log.entries if entry.label == label)
        assert kept < (labels < 0).sum()
        violators = ((margins < 1) & (labels < 0)).sum()
        assert violators <= kept


def test_one_pass_comes_near(make_regions):
    images = make_regions(images=24, proposals=80, noise=0.8)
    svms, log = train_svms(lambda: images, 3, SETTINGS)
    for label in range(3):
        values, labels = brute_force(images, label, log.scale, SETTINGS)
        best = solve_svm(values, labels, C=SETTINGS.C)
        found = objective_of(svms, label, values, labels, log.scale, SETTINGS)
        assert best.objective * (1 - 1e-4) <= found <= best.objective * 1.1


def test_the_log_tells_what_happened(make_regions):
    images = make_regions(images=16, proposals=80, noise=0.8)
    seen = []
    svms, log = train_svms(lambda: images, 3, SETTINGS, lambda phase, done: seen.append((phase, done)))
    assert seen == [("positives", i) for i in range(1, 17)] + [("mining pass 1", i) for i in range(1, 17)]
    assert log.images == 16
    assert log.positives == tuple(sum((r.labels == c).sum() for r in images) for c in range(3))
    for label in range(3):
        entries = [entry for entry in log.entries if entry.label == label]
        negatives = 0
        for entry in entries:
            assert entry.negatives == negatives + entry.added
            assert entry.converged
            tolerance = 5e-5 if entry is entries[-1] else 1e-3
            assert entry.gap <= tolerance * entry.objective
            negatives = entry.negatives - entry.evicted
        assert entries[0].images == 1
        # The first image's proposals far from the class are all its first negatives.
        first = max_overlaps(images[0].proposals.boxes, images[0].objects.boxes, images[0].labels, 3)[:, label]
        assert entries[0].added == (first < 0.3).sum()
        assert all(entry.added > 60 for entry in entries[1:-1])
        assert sum(entry.evicted for entry in entries) > 0
    first_scores = images[0].proposals.values @ svms.weights.T + svms.biases
    np.testing.assert_allclose(svms.score(images[0].proposals), first_scores, atol=1e-4)


def test_scale_is_that_of_the_sample_and_folded_in(make_regions):
    images = make_regions()
    norms = np.concatenate([np.linalg.norm(r.proposals.values, axis=1) for r in images])
    svms, log = train_svms(lambda: images, 3, SETTINGS)
    assert log.mean_norm == pytest.approx(norms.mean(), rel=1e-6)
    assert log.scale == pytest.approx(10 / norms.mean(), rel=1e-6)

    def scaled(factor):
        return [
            TrainingRegions(
                dataclasses.replace(r.proposals, values=r.proposals.values * np.float32(factor)),
                dataclasses.replace(r.objects, values=r.objects.values * np.float32(factor)),
                r.labels,
                r.difficult,
            )
            for r in images
        ]

    doubled = scaled(2)
    others, _ = train_svms(lambda: doubled, 3, SETTINGS)
    # A power of two changes no digit.
    for one, other in zip(images, doubled, strict=True):
        np.testing.assert_allclose(svms.score(one.proposals), others.score(other.proposals), atol=1e-3)


@pytest.mark.parametrize("alone", [False, True])
def test_first_pass_without_the_proposals_nobody_samples(make_regions, alone):
    """alone: the sampled proposals apart, too."""
    images = make_regions(images=20)
    settings = dataclasses.replace(SETTINGS, norm=NormSettings(images=4, windows=10))
    sampled = set(norm_sample_images(20, settings.norm).tolist())

    def light():
        for i, r in enumerate(images):
            rows = norm_sample_proposals(i, len(r.proposals.boxes), settings.norm) if i in sampled else []
            none, some = take(r.proposals, []), take(r.proposals, rows)
            if alone:
                yield dataclasses.replace(r, proposals=none, norm_proposals=some)
            else:
                yield r if i in sampled else dataclasses.replace(r, proposals=none)

    plain, plain_log = train_svms(lambda: images, 3, settings)
    lighter, light_log = train_svms(lambda: images, 3, settings, first_pass=light)
    assert (plain.weights == lighter.weights).all()
    assert plain_log == light_log


def test_same_input_same_bits(make_regions):
    first, log = train_svms(lambda: iter(make_regions()), 3, SETTINGS)
    second, again = train_svms(lambda: iter(make_regions()), 3, SETTINGS)
    assert (first.weights == second.weights).all()
    assert log == again


def test_a_class_without_positives_stays_untrained(make_regions):
    images = make_regions()
    svms, log = train_svms(lambda: images, 5, SETTINGS)
    assert svms.trained.tolist() == [True, True, True, False, False]
    assert log.positives[3:] == (0, 0)
    assert {entry.label for entry in log.entries} == {0, 1, 2}
    assert (svms.score(images[0].proposals)[:, 3:] == -np.inf).all()
    fewer, _ = train_svms(lambda: images, 3, SETTINGS)
    assert (fewer.weights == svms.weights[:3]).all()


def test_difficult_objects_are_positives_if_wanted(make_regions):
    images = make_regions()
    count = sum(len(r.labels) for r in images)
    hard = sum(int(r.difficult.sum()) for r in images)
    assert hard > 0
    assert sum(train_svms(lambda: images, 3, SETTINGS)[1].positives) == count
    without = dataclasses.replace(SETTINGS, use_difficult=False)
    assert sum(train_svms(lambda: images, 3, without)[1].positives) == count - hard


def only_proposals(images, keep):
    return [
        dataclasses.replace(
            r,
            proposals=dataclasses.replace(
                r.proposals, boxes=r.proposals.boxes[keep(r)], values=r.proposals.values[keep(r)]
            ),
        )
        for r in images
    ]


def test_positives_but_no_negative(make_regions):
    images = only_proposals(make_regions(), lambda r: np.zeros(len(r.proposals.boxes), bool))
    svms, log = train_svms(lambda: images, 3, SETTINGS)
    assert not svms.trained.any()
    assert log.entries == ()
    assert log.scale == 1


def test_the_first_negatives_may_come_late(make_regions):
    images = make_regions()
    late = only_proposals(images, lambda r: np.full(len(r.proposals.boxes), r.image_id == "img 8"))
    svms, log = train_svms(lambda: late, 3, SETTINGS)
    assert svms.trained.all()
    assert {entry.images for entry in log.entries if entry.added} == {9}
    # Nothing came after it, and still the pass ends in a training to the finer tolerance.
    last = [next(entry for entry in log.entries[::-1] if entry.label == label) for label in range(3)]
    assert all(entry.gap <= SETTINGS.tolerance * entry.objective for entry in last)


def test_mining_to_the_tolerance_of_the_end_comes_to_the_same(make_regions):
    images = make_regions(images=24, proposals=80, noise=0.8)
    (coarse, of_coarse), (fine, of_fine) = (
        train_svms(lambda: images, 3, dataclasses.replace(SETTINGS, mining_tolerance=one)) for one in (1e-2, 5e-5)
    )
    assert sum(one.iterations for one in of_coarse.entries) < sum(one.iterations for one in of_fine.entries)
    for label in range(3):
        values, labels = brute_force(images, label, of_fine.scale, SETTINGS)
        found = [objective_of(one, label, values, labels, of_fine.scale, SETTINGS) for one in (coarse, fine)]
        assert found[0] == pytest.approx(found[1], rel=0.02)


def test_no_objects_and_no_classes(make_regions):
    images = [r for r in make_regions() if not len(r.labels)]
    svms, _ = train_svms(lambda: images, 2, SETTINGS)
    assert not svms.trained.any()
    assert train_svms(lambda: images, 0, SETTINGS)[0].weights.shape == (0, 16)


def unit(features):
    norms = np.linalg.norm(features.values, axis=1, keepdims=True)
    return dataclasses.replace(features, values=(features.values / norms).astype(np.float32))


def test_memory_grows_with_the_kept_negatives_only(make_regions):
    """Of twice as many images, the second half nearly without hard negatives: hardly a row more is held."""
    images = [
        dataclasses.replace(r, proposals=unit(r.proposals), objects=unit(r.objects))
        for r in make_regions(images=20, proposals=200, noise=0.3)
    ]
    svms, once = train_svms(lambda: images, 3, SETTINGS)
    proposals = np.concatenate([r.proposals.values for r in images])
    scores = np.concatenate([svms.score(r.proposals) for r in images])
    easy_rows = proposals[(scores < -1.5).all(axis=1)]
    assert len(easy_rows) > 50
    easy = []
    for i in range(20):
        rows = np.random.default_rng(i).choice(easy_rows, 200)
        boxes = np.tile(np.array([[0, 0, 5, 5]], np.float32), (200, 1))
        none = RegionFeatures(f"easy {i}", boxes[:0], rows[:0], "pool5")
        regions = RegionFeatures(f"easy {i}", boxes, rows, "pool5")
        easy.append(TrainingRegions(regions, none, np.zeros(0, np.int64), np.zeros(0, bool)))
    _, twice = train_svms(lambda: images + easy, 3, SETTINGS)
    assert once.peak_rows < len(proposals) / 2
    assert twice.images == 40
    assert twice.peak_rows <= 1.05 * once.peak_rows
    assert twice.peak_bytes <= 1.05 * once.peak_bytes


def test_proposals_are_shared_between_classes(make_regions):
    """The first image's proposals are negatives of several classes and lie in memory once, in later passes too."""
    one = next(r for r in make_regions(proposals=100) if len(r.labels) == 3)
    images = [dataclasses.replace(one, labels=np.arange(3))]
    _, log = train_svms(lambda: images, 3, dataclasses.replace(SETTINGS, passes=3))
    first = [entry for entry in log.entries if entry.mining_pass == 1]
    assert sum(entry.negatives for entry in first) > 200
    assert log.peak_rows <= 103


def test_images_that_change_between_passes(make_regions):
    images, calls = make_regions(), []

    def shrinking():
        calls.append(1)
        return images[: len(images) - len(calls)]

    with pytest.raises(ValueError, match="same 11 images in every pass, got 10"):
        train_svms(shrinking, 3, SETTINGS)


def test_what_is_refused(make_regions):
    with pytest.raises(ValueError, match="at least one image"):
        train_svms(list, 3, SETTINGS)
    with pytest.raises(ValueError, match=r"'img \d+': expected labels in 0 .. 1, got"):
        train_svms(lambda: make_regions(), 2, SETTINGS)
    mixed = make_regions() + make_regions(layer="fc7")
    with pytest.raises(
        ValueError, match="expected layer 'pool5' and length 16 as in the first image, got 'fc7' and 16"
    ):
        train_svms(lambda: mixed, 3, SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        {"C": 0}, {"bias_multiplier": -1}, {"positive_weight": 0}, {"loss": "l2"}, {"negative_iou": 0},
        {"evict_threshold": -1.0}, {"retrain_after": -1}, {"retrain_growth": -1}, {"passes": -1}, {"memory_mib": 0},
        {"tolerance": 0}, {"max_iter": 0}, {"seed": -1},
    ],
)  # fmt: skip
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=f"svm.{next(iter(change))}: expected"):
        SVMSettings(**change)


def test_the_samples_that_are_kept(make_regions):
    images = make_regions(images=12, proposals=60, noise=0.8)
    svms, log = train_svms(lambda: images, 3, SETTINGS)
    by_id = {one.image_id: one for one in images}
    assert [one.label for one in log.samples] == [0, 1, 2]
    for kept in log.samples:
        assert kept.positives == log.positives[kept.label] < len(kept.boxes)
        for row, (image_id, box) in enumerate(zip(kept.image_ids, kept.boxes, strict=True)):
            regions = by_id[image_id]
            source = regions.objects if row < kept.positives else regions.proposals
            (place,) = np.flatnonzero((source.boxes == box).all(axis=1))
            if row < kept.positives:
                assert regions.labels[place] == kept.label
            assert kept.margins[row] == svms.score(source)[place, kept.label]
        # Away from the margin nothing supports the machine, within it everything does.
        signs = np.where(np.arange(len(kept.boxes)) < kept.positives, 1, -1)
        assert not kept.alphas[signs * kept.margins > 1.01].any()
        assert (kept.alphas[signs * kept.margins < 0.99] > 0).all()
