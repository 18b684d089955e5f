import dataclasses

import numpy as np
import pytest

from detection.learning import NormSettings, TrainingRegions, norm_sample_images
from detection.learning.svm.stream import NormSample
from detection.types import RegionFeatures


def features(image_id, count, length=3, layer="pool5"):
    boxes = np.tile(np.array([[0, 0, 5, 5]], np.float32), (count, 1))
    return RegionFeatures(image_id, boxes, np.ones((count, length), np.float32), layer)


def sample_of(images, settings):
    sample = NormSample(settings)
    for values in images:
        sample.add(values)
    return sample


def test_mean_norm_by_hand():
    rows = np.array([[3, 4], [0, 1]], np.float32)
    sample = sample_of([rows, np.zeros((0, 2), np.float32), rows[:1]], NormSettings(target=22))
    assert sample.mean() == 11 / 3
    assert sample.scale() == 6


@pytest.mark.parametrize("images", [[], [np.zeros((0, 4), np.float32)], [np.zeros((5, 4), np.float32)]])
def test_no_norm_to_speak_of(images):
    assert sample_of(images, NormSettings()).scale() == 1


def test_the_sample_is_seeded_bounded_and_told_beforehand():
    rng = np.random.default_rng(0)
    images = [rng.random((9, 2)).astype(np.float32) for _ in range(30)]
    settings = NormSettings(images=7, windows=4, seed=5)
    chosen = norm_sample_images(30, settings)
    assert len(set(chosen.tolist())) == 7
    assert (np.diff(chosen) > 0).all()
    without_the_others = [one if i in chosen else one[:0] for i, one in enumerate(images)]
    mean = sample_of(images, settings).mean()
    assert mean == sample_of(without_the_others, settings).mean()
    assert mean != sample_of(images, dataclasses.replace(settings, seed=6)).mean()
    assert sum(len(norms) for _, _, norms in sample_of(images, settings)._kept) == 28


def test_few_images_are_all_in_the_sample():
    assert norm_sample_images(5, NormSettings()).tolist() == [0, 1, 2, 3, 4]
    assert norm_sample_images(0, NormSettings()).tolist() == []


def test_regions_of_one_image_only():
    labels, difficult = np.zeros(1, np.int64), np.zeros(1, bool)
    TrainingRegions(features("a", 0), features("a", 1), labels, difficult)
    for proposals in (features("b", 2), features("a", 2, length=4), features("a", 2, layer="fc7")):
        with pytest.raises(ValueError, match="of image 'a': expected proposals and objects of one image"):
            TrainingRegions(proposals, features("a", 1), labels, difficult)
        with pytest.raises(ValueError, match="of image 'a': expected proposals and objects of one image"):
            TrainingRegions(features("a", 0), features("a", 1), labels, difficult, norm_proposals=proposals)
    with pytest.raises(ValueError, match="labels of image 'a'"):
        TrainingRegions(features("a", 1), features("a", 1), labels.astype(np.int32), difficult)


@pytest.mark.parametrize("change", [{"target": 0}, {"images": 0}, {"proposals": -1}, {"seed": -1}])
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=f"norm.{next(iter(change))}: expected"):
        NormSettings(**change)
