import dataclasses

import numpy as np
import pytest

from detection.features import FeatureExtractor, FeatureSettings
from detection.inspection.contributions import window_contributions, winning_cells
from detection.pooling import spatial_pyramid_pool


@pytest.mark.parametrize("cells", [(0, 0, 7, 5), (1, 2, 2, 3), (3, 1, 6, 4)])
def test_winners_hold_the_pooled_values(cells):
    feature_map = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32)
    levels = (3, 2, 1)
    winners = winning_cells(feature_map, cells, levels)
    channels = np.concatenate([np.repeat(np.arange(3), n * n) for n in levels])
    assert np.array_equal(
        feature_map[channels, winners[:, 0], winners[:, 1]],
        spatial_pyramid_pool(feature_map, np.array([cells]), levels)[0],
    )


def test_the_first_of_equal_cells_wins():
    assert winning_cells(np.zeros((1, 3, 3)), (0, 0, 3, 3), (2, 1)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("box", [(3, 4, 60, 50), (10, 10, 14, 13), (0, 0, 90, 70)])
def test_parts_add_up_to_the_score(box):
    settings = FeatureSettings(
        weights="random", short_sides=(64, 96, 160), target_area=48.0**2, levels=(3, 1), stage_weights=(1.0, 0.5)
    )
    extractor = FeatureExtractor.from_settings(settings)
    rgb = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    pyramid = extractor.pyramid("image", rgb)
    vector = extractor.pool(pyramid, np.array([box], np.float32)).values[0]
    weights = np.random.default_rng(2).standard_normal(len(vector))
    explained = window_contributions(pyramid, np.array(box), vector, weights, settings)
    assert sum(stage.contributions.sum() for stage in explained.stages) == pytest.approx(vector @ weights)
    assert explained.areas.tolist() == pytest.approx(
        [(box[2] - box[0]) * (box[3] - box[1]) * s**2 for s in pyramid.scales]
    )
    assert explained.index == np.abs(explained.areas - 48.0**2).argmin()
    added = [explained.stages[stage].channels()[channel] for stage, channel in explained.strongest(5)]
    assert added == sorted(np.concatenate([stage.channels() for stage in explained.stages]).tolist(), reverse=True)[:5]
    for number, (stage, weight) in enumerate(zip(explained.stages, settings.stage_weights, strict=True)):
        one = np.asarray(pyramid.maps[explained.index][number], np.float32)
        rows, columns = stage.winners[..., 0], stage.winners[..., 1]
        assert np.array_equal(stage.values, weight * one[np.arange(len(one))[:, None], rows, columns])
        assert stage.heat().sum() == pytest.approx(stage.contributions.sum())
        assert stage.heat(3).sum() == pytest.approx(stage.channels()[3])
        assert not stage.heat()[: stage.cells[1]].any()
        assert not stage.heat()[:, stage.cells[2] :].any()
        centres = stage.centres(explained.scale, 3)
        assert centres[0].tolist() == [
            (stage.offset[1] + stage.stride * stage.winners[3, 0, 1]) / explained.scale,
            (stage.offset[0] + stage.stride * stage.winners[3, 0, 0]) / explained.scale,
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
        explained = window_contributions(pyramid, np.array(box), vector, np.ones(len(vector)), settings)
        other = window_contributions(pyramid, np.array(box), vector, np.ones(len(vector)), plain)
        apart += any((a.cells != b.cells).any() for a, b in zip(explained.stages, other.stages, strict=True))
        for number, stage in enumerate(explained.stages):
            one = np.asarray(pyramid.maps[explained.index][number], np.float32)
            rows, columns = stage.winners[..., 0], stage.winners[..., 1]
            assert np.array_equal(stage.values, one[np.arange(len(one))[:, None], rows, columns])
    assert apart
