import dataclasses

import numpy as np
import pytest

from detection.learning import GrowingSVMs, NormSettings, SVMSettings, image_folds, train_svms

SETTINGS = SVMSettings(C=0.05, passes=0, tolerance=1e-6, norm=NormSettings(target=10))


def grown(images, settings=SETTINGS, classes=3):
    svms = GrowingSVMs(settings)
    svms.add_classes(classes)
    for one in images:
        svms.put(one)
        svms.train()
    return svms


def mined(svms, images):
    """Mined until no image has a hard negative more."""
    while sum(svms.mine(one) for one in images):
        svms.train()
    return svms.svms()


def check_equal(found, expected):
    assert found.trained.tolist() == expected.trained.tolist()
    np.testing.assert_allclose(found.weights, expected.weights, atol=5e-3)
    np.testing.assert_allclose(found.biases, expected.biases, atol=5e-3)


def with_labels(regions, labels):
    return dataclasses.replace(regions, labels=np.array(labels, np.int64))


def test_images_put_one_by_one_and_mined_give_the_svms_of_all(make_regions):
    images = make_regions(images=16, proposals=80, noise=0.8)
    check_equal(mined(grown(images), images), train_svms(lambda: images, 3, SETTINGS)[0])


def test_an_image_that_comes_again_has_its_new_objects_alone(make_regions):
    images = make_regions(images=12, proposals=80, noise=0.8)
    wrong = [with_labels(one, (one.labels + 1) % 3) for one in images[:4]]
    svms = grown([*wrong, *images[4:]])
    for one in images[:4]:
        svms.put(one)
        svms.train()
    expected, log = train_svms(lambda: images, 3, SETTINGS)
    check_equal(mined(svms, images), expected)
    assert svms.positives.tolist() == list(log.positives)


def test_a_removed_image_leaves_nothing(make_regions):
    images = make_regions(images=12, proposals=80, noise=0.8)
    svms = grown(images)
    for one in images[8:]:
        svms.remove(one.image_id)
    svms.remove("never seen")
    svms.train()
    # The norm, in which no object counts, stays that of all images that were seen.
    norm = dataclasses.replace(SETTINGS.norm, target=10 * scale_of(images[:8]) / scale_of(images))
    expected = train_svms(lambda: images[:8], 3, dataclasses.replace(SETTINGS, norm=norm))[0]
    found = mined(svms, images[:8])
    labels = np.concatenate([one.labels for one in images[:8]])
    assert svms.positives.tolist() == np.bincount(labels, minlength=3).tolist()
    assert found.trained.all()
    assert np.corrcoef(found.weights.ravel(), expected.weights.ravel())[0, 1] > 0.999


def scale_of(images):
    return 1 / train_svms(lambda: images, 3, SETTINGS)[1].scale


def test_a_class_that_comes_later(make_regions):
    images = make_regions(images=16, proposals=80, noise=0.8)
    without = [one for one in images if 2 not in one.labels]
    assert len(without) < len(images)
    svms = grown(without, classes=2)
    before = svms.svms()
    svms.add_classes(1)
    assert svms.num_classes == 3
    np.testing.assert_array_equal(svms.svms().weights[:2], before.weights)
    for one in images:
        if 2 in one.labels:
            svms.put(one)
            svms.train()
    assert svms.svms().trained.all()
    found = mined(svms, images)
    expected = train_svms(lambda: without + [one for one in images if 2 in one.labels], 3, SETTINGS)[0]
    check_equal(found, expected)


def test_a_class_that_loses_its_objects_is_untrained(make_regions):
    images = make_regions(images=8, proposals=80)
    svms = grown(images)
    assert svms.svms().trained.all()
    for one in images:
        svms.put(with_labels(one, np.where(one.labels == 1, 0, one.labels)))
    svms.train()
    found = svms.svms()
    assert found.trained.tolist() == [True, False, True]
    assert not found.weights[1].any()


def test_what_was_given_out_does_not_change(make_regions):
    images = make_regions(images=8, proposals=80)
    svms = grown(images[:4])
    before = svms.svms()
    weights, biases = before.weights.copy(), before.biases.copy()
    for one in images[4:]:
        svms.put(one)
    svms.train()
    assert not np.array_equal(svms.svms().biases, biases)
    np.testing.assert_array_equal(before.weights, weights)
    np.testing.assert_array_equal(before.biases, biases)


def test_negatives_outside_the_mask_are_never_used(make_regions):
    images = make_regions(images=12, proposals=80, noise=0.8)
    half = [np.arange(len(one.proposals.boxes)) % 2 == 0 for one in images]
    masked = [
        dataclasses.replace(one, negatives=np.repeat(mask[:, None], 3, axis=1))
        for one, mask in zip(images, half, strict=True)
    ]
    expected, log = train_svms(lambda: masked, 3, SETTINGS)
    allowed = {box.tobytes() for one, mask in zip(images, half, strict=True) for box in one.proposals.boxes[mask]}
    for samples in log.samples:
        assert len(samples.boxes) > samples.positives
        assert {box.tobytes() for box in samples.boxes[samples.positives :]} <= allowed
    check_equal(mined(grown(masked), masked), expected)


def test_bounded_memory(make_regions):
    images = make_regions(images=16, proposals=400, length=256, noise=0.8)
    small = dataclasses.replace(SETTINGS, memory_mib=1, tolerance=1e-4)
    svms = grown(images, small)
    assert svms._trainer.store.peak_bytes <= 2**20
    assert svms.svms().trained.all()


def test_svms_of_folds_know_nothing_of_images_without_a_fold(make_regions):
    images = make_regions(images=24, proposals=80, noise=0.8)
    fold_of = image_folds([one.image_id for one in images[:16]], 2, 0)
    svms = grown(images)
    before = svms.held_out(fold_of)
    for one in images[16:]:
        svms.remove(one.image_id)
    after = svms.held_out(fold_of)
    assert [one.trained.all() for one in before] == [True, True]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_before_the_first_image():
    svms = GrowingSVMs(SETTINGS)
    svms.add_classes(1)
    svms.train()
    with pytest.raises(ValueError, match="at least one image, got none"):
        svms.svms()


def test_an_image_that_was_not_put_is_not_mined(make_regions):
    images = make_regions(images=4)
    svms = grown(images[:3])
    expected = rf"image {images[3].image_id!r}: expected one that was put before"
    with pytest.raises(ValueError, match=expected):
        svms.mine(images[3])


def test_labels_out_of_range_change_nothing(make_regions):
    images = make_regions(images=4, proposals=40)
    svms = grown(images)
    before = svms.positives.tolist()
    with pytest.raises(ValueError, match=r"img 0.*expected labels in 0 \.\. 2"):
        svms.put(with_labels(images[0], images[0].labels + 9))
    assert svms.positives.tolist() == before
