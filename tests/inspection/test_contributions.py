import dataclasses

import numpy as np
import pytest

from detection.features import FeatureExtractor, FeatureSettings
from detection.inspection.contributions import _shares_of_all, bins_of, region_contributions, winning_cells
from detection.pooling import spatial_pyramid_pool

PAPER = {"short_sides": (64, 96, 160), "target_area": 48.0**2}
RELEASED = {
    "short_sides": (64, 96, 160), "target_area": 40.0**2, "scale_rule": "side", "projection": "released",
    "projection_inset": 6.5, "box_scaling": "pixels", "pool_floor": 0.0,
}  # fmt: skip
MEANS = {**PAPER, "pooling": "mean", "pool_floor": 0.0}


def test_bins_are_those_of_the_pyramid():
    assert bins_of((2, 1, 5, 3), (1, 2)).tolist() == [
        [2, 1, 5, 3], [2, 1, 4, 2], [3, 1, 5, 2], [2, 2, 4, 3], [3, 2, 5, 3],
    ]  # fmt: skip
    assert bins_of((4, 4, 5, 5), (2,)).tolist() == [[4, 4, 5, 5]] * 4


@pytest.mark.parametrize("cells", [(0, 0, 7, 5), (1, 2, 2, 3), (3, 1, 6, 4)])
def test_winners_hold_the_pooled_values(cells):
    feature_map = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32)
    levels = (3, 2, 1)
    winners = winning_cells(feature_map, cells, levels)
    values = feature_map[np.arange(3)[:, None], winners[..., 0], winners[..., 1]]
    ordered = [part.ravel() for part in np.split(values, np.cumsum([n * n for n in levels])[:-1], axis=1)]
    pooled = spatial_pyramid_pool(feature_map, np.array([cells]), levels)[0]
    assert np.array_equal(np.concatenate(ordered), pooled)


def test_the_first_of_equal_cells_wins():
    winners = winning_cells(np.zeros((1, 3, 3)), (0, 0, 3, 3), (2, 1))
    assert winners.tolist() == [[[0, 0], [0, 1], [1, 0], [1, 1], [0, 0]]]


def take_apart(rules, box):
    """(settings, pyramid, contributions, the region's score) under the rules, with random weights."""
    settings = FeatureSettings(weights="random", levels=(3, 1), stage_weights=(1.0, 0.5), engine="torch", **rules)
    extractor = FeatureExtractor.from_settings(settings)
    rgb = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    pyramid = extractor.pyramid("image", rgb)
    vector = extractor.pool(pyramid, np.array([box], np.float32)).values[0]
    weights, bias = np.random.default_rng(2).standard_normal(len(vector)), 0.25
    found = region_contributions(pyramid, np.array(box, np.float32), vector, weights, settings)
    return settings, pyramid, found, bias, vector @ weights + bias


@pytest.mark.parametrize("rules", [PAPER, RELEASED], ids=["paper", "released"])
@pytest.mark.parametrize("box", [(3, 4, 60, 50), (10, 10, 14, 13), (0, 0, 90, 70), (30, 20, 89, 30)])
def test_contributions_and_bias_add_up_to_the_score(rules, box):
    settings, pyramid, found, bias, score = take_apart(rules, box)
    assert sum(stage.contributions.sum() for stage in found.stages) + bias == pytest.approx(score)
    floor = -np.inf if settings.pool_floor is None else settings.pool_floor
    for number, (stage, weight) in enumerate(zip(found.stages, settings.stage_weights, strict=True)):
        # The cells are those that were pooled: they hold the vector's values.
        maps = np.asarray(pyramid.maps[found.index][number], np.float32)
        rows, columns = stage.winners[..., 0], stage.winners[..., 1]
        values = np.maximum(maps[np.arange(len(maps))[:, None], rows, columns], floor)
        assert np.array_equal(stage.values, weight * values)


@pytest.mark.parametrize("box", [(3, 4, 60, 50), (10, 10, 14, 13), (0, 0, 90, 70)])
def test_every_cell_has_its_share_of_the_means(box):
    settings, pyramid, found, bias, score = take_apart(MEANS, box)
    assert sum(stage.contributions.sum() for stage in found.stages) + bias == pytest.approx(score)
    for number, stage in enumerate(found.stages):
        assert stage.winners is None
        assert stage.saliency().sum() == pytest.approx(stage.contributions.sum())
        assert stage.saliency(3).sum() == pytest.approx(stage.channels()[3])
        x1, y1, x2, y2 = stage.cells
        outside = stage.shares.copy()
        outside[:, y1:y2, x1:x2] = 0
        assert not outside.any()
        # A cell that is larger by some share of its bin's cells raises the bin's mean by as much.
        maps = np.asarray(pyramid.maps[found.index][number], np.float64)
        ((left, top, right, bottom),) = bins_of(stage.cells, settings.levels)[-1:]
        assert (left, top, right, bottom) == (x1, y1, x2, y2)
        whole = maps[:, y1:y2, x1:x2].mean(axis=(1, 2)) * settings.stage_weights[number]
        assert stage.values[:, -1] == pytest.approx(np.maximum(whole, 0), rel=1e-6, abs=1e-9)


def test_shares_follow_the_cells_values():
    """One bin, one channel: what a cell adds is its value, times what a unit of the mean adds, over their number."""
    maps = np.array([[[1.0, 2.0, 6.0]]])
    (shares,) = _shares_of_all(maps, np.array([[0, 0, 3, 1]]), np.array([[3.0 * 2]]), np.array([[2.0]]))
    assert shares.tolist() == [[2 / 3, 4 / 3, 4.0]]


def test_the_rules_choose_another_scale_and_other_cells():
    box = (30, 20, 89, 30)
    _, _, paper, _, _ = take_apart(PAPER, box)
    _, _, released, _, _ = take_apart(RELEASED, box)
    assert (paper.index, *paper.stages[0].cells) != (released.index, *released.stages[0].cells)


@pytest.mark.parametrize("box", [(3, 4, 60, 50), (10, 10, 14, 13), (0, 0, 90, 70)])
def test_scale_channels_and_saliency(box):
    _, pyramid, found, _, _ = take_apart(PAPER, box)
    assert found.areas.tolist() == pytest.approx([(box[2] - box[0]) * (box[3] - box[1]) * s**2 for s in pyramid.scales])
    assert found.index == np.abs(found.areas - 48.0**2).argmin()
    added = [stage.channels()[channel] for stage, channel in found.strongest(5)]
    assert added == sorted(np.concatenate([stage.channels() for stage in found.stages]).tolist(), reverse=True)[:5]
    for stage in found.stages:
        assert stage.saliency().sum() == pytest.approx(stage.contributions.sum())
        assert stage.saliency(3).sum() == pytest.approx(stage.channels()[3])
        assert not stage.saliency()[: stage.cells[1]].any()
        assert not stage.saliency()[:, stage.cells[2] :].any()
        assert stage.centres(stage.winners[3], found.scale)[0].tolist() == [
            (stage.offset[1] + stage.stride * stage.winners[3, 0, 1]) / found.scale,
            (stage.offset[0] + stage.stride * stage.winners[3, 0, 0]) / found.scale,
        ]


def test_the_released_rules_decide_scale_and_cells():
    """Under the released code's projection and rule of scales the winners hold what was pooled, floor and all."""
    settings = FeatureSettings(
        weights="random", short_sides=(64, 96, 160), target_area=48.0**2, levels=(2, 1), engine="torch",
        scale_rule="side", projection="released", box_scaling="pixels",
    )  # fmt: skip
    extractor = FeatureExtractor.from_settings(settings)
    rgb = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    pyramid, apart = extractor.pyramid("image", rgb), 0
    plain = dataclasses.replace(settings, scale_rule="area", projection="centres", box_scaling="edges")
    for box in ((3, 4, 60, 50), (10, 10, 34, 23), (0, 0, 90, 70), (41, 20, 80, 66)):
        vector = extractor.pool(pyramid, np.array([box], np.float32)).values[0]
        explained = region_contributions(pyramid, np.array(box), vector, np.ones(len(vector)), settings)
        other = region_contributions(pyramid, np.array(box), vector, np.ones(len(vector)), plain)
        apart += any((a.cells != b.cells).any() for a, b in zip(explained.stages, other.stages, strict=True))
        for number, stage in enumerate(explained.stages):
            one = np.asarray(pyramid.maps[explained.index][number], np.float32)
            rows, columns = stage.winners[..., 0], stage.winners[..., 1]
            assert np.array_equal(stage.values, one[np.arange(len(one))[:, None], rows, columns])
    assert apart
