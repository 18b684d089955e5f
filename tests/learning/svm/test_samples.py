import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.geometry import iou
from detection.learning import (
    NormSettings,
    SVMSettings,
    TrainingRegions,
    jittered_boxes,
    norm_sample_images,
    norm_sample_proposals,
    thinned,
)
from detection.learning.svm.samples import NormSample, checked
from detection.types import RegionFeatures


def features(image_id, count, length=3, layer="pool5"):
    boxes = np.tile(np.array([[0, 0, 5, 5]], np.float32), (count, 1))
    return RegionFeatures(image_id, boxes, np.ones((count, length), np.float32), layer)


def image_of(values, norm_values=None, labels=()):
    """An image whose proposals have these vectors, with an object for each of `labels`."""
    found = [None if one is None else RegionFeatures("a", np.zeros((len(one), 4), np.float32), one, "pool5")
             for one in (values, norm_values)]  # fmt: skip
    objects, labels = features("a", len(labels), values.shape[1]), np.array(labels, np.int64)
    return TrainingRegions(found[0], objects, labels, np.zeros(len(labels), bool), norm_proposals=found[1])


def sample_of(images, settings):
    sample = NormSample(settings)
    for values in images:
        sample.add(image_of(values))
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
    assert sum(len(norms) for norms in sample_of(images, settings).norms.values()) == 28


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


@pytest.mark.parametrize("change", [{"target": 0}, {"images": 0}, {"windows": -1}, {"seed": -1}])
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=f"norm.{next(iter(change))}: expected"):
        NormSettings(**change)


def test_proposals_of_the_sample_may_come_by_themselves():
    rng, settings = np.random.default_rng(0), NormSettings(images=3, windows=4)
    images = [rng.random((9, 2)).astype(np.float32) for _ in range(6)]
    sampled, sample = norm_sample_images(6, settings), NormSample(settings)
    for i, values in enumerate(images):
        chosen = norm_sample_proposals(i, 9, settings) if i in sampled else []
        sample.add(image_of(values[:0], values[chosen]))
    assert sample.mean() == sample_of(images, settings).mean()


def test_images_are_checked_as_they_come():
    first, second = image_of(np.ones((2, 3), np.float32), labels=[1]), image_of(np.ones((2, 4), np.float32))
    assert list(checked([first, first], 2, "learner")) == [first, first]
    with pytest.raises(ValueError, match="learner: image 'a': expected layer 'pool5' and length 3 as in the first"):
        list(checked([first, second], 2, "learner"))
    with pytest.raises(ValueError, match="expected layer 'fc7' and length 3 as in the first image, got 'pool5' and 3"):
        list(checked([first], 2, "learner", ("fc7", 3)))
    with pytest.raises(ValueError, match=r"learner: image 'a': expected labels in 0 .. 0, got \[1\]"):
        list(checked([first], 1, "learner"))


# Four overlapping proposals (IoU 0.8, 0.6, 0.8 of neighbours) and one on the object.
BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [0, 0, 10, 5], [50, 50, 60, 60]], np.float32)
VALUES = np.array([[1, 2], [3, 4], [1, 2], [0, 0], [3, 4]], np.float32)


def regions(boxes=BOXES, values=VALUES, objects=((50, 50, 60, 60),)):
    objects = np.array(objects, np.float32).reshape(-1, 4)
    count = len(objects)
    return TrainingRegions(
        RegionFeatures("a", boxes, values, "pool5"),
        RegionFeatures("a", objects, np.zeros((count, 2), np.float32), "pool5"),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )


def kept(settings, **changes):
    found = thinned(regions(**changes), settings).proposals
    return [row.tolist() for row in found.boxes], found.values


def test_the_defaults_keep_all():
    assert kept(SVMSettings())[0] == BOXES.tolist()


def test_overlapping_negatives():
    """0.8 drops the second; the third overlaps the first by 0.6, the fourth the third by 5 / 6."""
    assert kept(SVMSettings(negative_overlap=0.7))[0] == BOXES[[0, 2, 4]].tolist()
    assert kept(SVMSettings(negative_overlap=0.82))[0] == BOXES[[0, 1, 2, 4]].tolist()


def test_proposals_near_an_object_stay():
    both = np.array([[50, 50, 60, 60], [50, 50, 60, 59.5], [0, 0, 10, 10]], np.float32)
    found, _ = kept(SVMSettings(negative_overlap=0.7), boxes=both, values=VALUES[:3])
    assert found == both.tolist()
    found, _ = kept(SVMSettings(negative_overlap=0.7), boxes=both, values=VALUES[:3], objects=())
    assert found == both[[0, 2]].tolist()


def test_equal_vectors():
    boxes, values = kept(SVMSettings(distinct_negatives=True))
    assert boxes == BOXES[[0, 1, 3]].tolist()
    assert values.tolist() == VALUES[[0, 1, 3]].tolist()


@pytest.mark.parametrize("settings", [SVMSettings(negative_overlap=0.7), SVMSettings(distinct_negatives=True)])
def test_no_proposal(settings):
    assert kept(settings, boxes=BOXES[:0], values=VALUES[:0])[0] == []


def test_an_overlap_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r"svm.negative_overlap: expected 0 .. 1 or null, got 1.5"):
        SVMSettings(negative_overlap=1.5)


@given(st.integers(0, 1000), st.sampled_from([0.5, 0.7, 0.9]), st.integers(0, 4))
def test_boxes_near_objects(seed, least, count):
    boxes = np.array([[0, 0, 50, 40], [20, 30, 90, 99.5], [3, 3, 4, 5]], np.float32)
    moved, owners = jittered_boxes(boxes, (100, 120), count, least, seed, "img")
    assert moved.dtype == np.float32
    assert owners.tolist() == [i for i in range(3) for _ in range(count)]
    for box, owner in zip(moved, owners, strict=True):
        assert iou(box[None], boxes[owner][None])[0, 0] >= least
        assert 0 <= box[0] < box[2] <= 120
        assert 0 <= box[1] < box[3] <= 100


def test_seed_and_image_decide_the_boxes():
    boxes = np.array([[10, 10, 60, 50]], np.float32)
    first, _ = jittered_boxes(boxes, (100, 120), 4, 0.7, 3, "a")
    assert (jittered_boxes(boxes, (100, 120), 4, 0.7, 3, "a")[0] == first).all()
    assert (jittered_boxes(boxes, (100, 120), 4, 0.7, 3, "b")[0] != first).any()
    assert (jittered_boxes(boxes, (100, 120), 4, 0.7, 4, "a")[0] != first).any()
    assert len(np.unique(first, axis=0)) == 4


def test_no_box_to_move():
    moved, owners = jittered_boxes(np.zeros((0, 4), np.float32), (10, 10), 3, 0.8, 0, "a")
    assert moved.shape == (0, 4)
    assert owners.shape == (0,)


def test_extra_positives_of_settings():
    assert SVMSettings().extra_positives is None
    extra = SVMSettings(mirrored_positives=True, jittered_positives=2).extra_positives
    assert (extra.mirrored, extra.jittered, extra.jitter_iou, extra.difficult) == (True, 2, 0.8, True)


@pytest.mark.parametrize(("count", "mirrored"), [(1, True), (7, True), (8, False), (900, False)])
def test_mirrored_where_photos_are_few(count, mirrored):
    settings = SVMSettings(C=0.5, mirrored_below=8)
    assert settings.for_photos(count) == SVMSettings(C=0.5, mirrored_positives=mirrored)
    assert dataclasses.replace(settings, mirrored_positives=True).for_photos(count).mirrored_positives
    assert not SVMSettings().for_photos(0).mirrored_positives
    with pytest.raises(ValueError, match=r"svm\.mirrored_below: expected"):
        SVMSettings(mirrored_below=-1)


def test_images_of_one_seed_have_samples_of_their_own():
    settings = NormSettings(windows=5)
    samples = [norm_sample_proposals(position, 100, settings).tolist() for position in range(4)]
    assert len(set(map(tuple, samples))) == 4
    assert samples[1] == norm_sample_proposals(1, 100, settings).tolist()
    assert samples[1] != norm_sample_proposals(1, 100, dataclasses.replace(settings, seed=4)).tolist()
