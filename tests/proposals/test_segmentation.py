import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detection.proposals import _segmentation_kernels as kernels
from detection.proposals.segmentation import blur, segment, sort_edges

IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 255))
)


def reference_segments(image, k, min_size):
    """Felzenszwalb and Huttenlocher by the book: sets of pixels, a sorted list of edges. Labels in raster order."""
    height, width, channels = image.shape
    step = np.float32(255 * np.sqrt(channels) / (2**22 - 2))
    edges = []
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    difference = image[y, x].astype(np.float32) - image[y + dy, x + dx].astype(np.float32)
                    distance = np.float32(math.sqrt(float((difference**2).sum())))
                    edges.append((np.float32(int(distance * (np.float32(1) / step))) * step, (y, x), (y + dy, x + dx)))
    edges.sort(key=lambda edge: edge[0])  # stable: ties stay in raster order
    region = {(y, x): frozenset([(y, x)]) for y in range(height) for x in range(width)}
    limit = {members: np.float32(k) for members in region.values()}

    def join(a, b):
        union = region[a] | region[b]
        region.update(dict.fromkeys(union, union))
        return union

    for weight, a, b in edges:
        if region[a] != region[b] and weight <= limit[region[a]] and weight <= limit[region[b]]:
            union = join(a, b)
            limit[union] = weight + np.float32(k) / np.float32(len(union))
    for _, a, b in edges:
        if region[a] != region[b] and min(len(region[a]), len(region[b])) < min_size:
            join(a, b)
    numbers = {}
    labels = np.zeros((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            labels[y, x] = numbers.setdefault(region[y, x], len(numbers))
    pairs = {
        (int(min(labels[a], labels[b])), int(max(labels[a], labels[b]))) for _, a, b in edges if labels[a] != labels[b]
    }
    return labels, pairs


def _segment(image, k, min_size):
    return segment(sort_edges(image.astype(np.float32)), k, min_size)


@settings(max_examples=60)
@given(IMAGES, st.sampled_from([1, 20, 100, 500]), st.sampled_from([1, 3, 10]))
def test_equals_the_plain_reference(image, k, min_size):
    found = _segment(image, k, min_size)
    labels, pairs = reference_segments(image, k, min_size)
    assert np.array_equal(found.labels, labels)
    assert found.count == labels.max() + 1
    assert set(map(tuple, found.pairs.tolist())) == pairs
    assert len(found.pairs) == len(pairs)


def test_equals_the_reference_on_a_smooth_image_with_noise():
    rng = np.random.default_rng(0)
    image = np.cumsum(rng.normal(0, 4, (24, 31, 3)), axis=1) + 128 + rng.normal(0, 2, (24, 31, 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    for k in (20, 100):
        found = _segment(image, k, 8)
        labels, pairs = reference_segments(image, k, 8)
        assert np.array_equal(found.labels, labels)
        assert set(map(tuple, found.pairs.tolist())) == pairs
        assert found.count > 3


@settings(max_examples=40)
@given(IMAGES, st.integers(1, 12))
def test_every_pixel_is_in_one_region_of_sufficient_size(image, min_size):
    found = _segment(image, 10, min_size)
    sizes = np.bincount(found.labels.ravel(), minlength=found.count)
    assert sizes.sum() == image.shape[0] * image.shape[1]
    assert len(sizes) == found.count
    assert found.count == 1 or sizes.min() >= min_size


def test_two_flat_halves_are_two_regions():
    image = np.zeros((6, 8, 3), np.uint8)
    image[:, 4:] = 200
    found = _segment(image, 50, 1)
    assert found.count == 2
    assert np.array_equal(found.labels, np.repeat([[0] * 4 + [1] * 4], 6, axis=0))
    assert found.pairs.tolist() == [[0, 1]]
    assert _segment(image, 50, 25).count == 1


def test_one_pixel():
    found = _segment(np.zeros((1, 1, 3), np.uint8), 50, 50)
    assert found.labels.tolist() == [[0]]
    assert found.count == 1
    assert found.pairs.shape == (0, 2)


def test_blur_is_a_gaussian_and_zero_sigma_is_none():
    image = np.zeros((21, 21, 1), np.uint8)
    image[10, 10] = 255
    found = blur(image, 0.8)[..., 0]
    at = np.arange(-10, 11)
    weights = np.exp(-(at**2) / (2 * 0.8**2)) * (np.abs(at) <= 4)
    expected = 255 * np.outer(weights, weights) / weights.sum() ** 2
    assert np.abs(found - expected).max() < 1e-3
    assert np.array_equal(blur(image, 0), image)
    assert blur(np.full((3, 5, 3), 77, np.uint8), 0.8) == pytest.approx(77)


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
def test_entries_are_sorted_by_their_keys_and_equal_ones_stay_in_order(count):
    rng = np.random.default_rng(count)
    # Few different ones, and both ends of each digit.
    keys = rng.choice(np.array([0, 1, 2**11 - 1, 2**11, 2**22 - 1], np.uint64), count)
    entries = keys << np.uint64(32) | rng.permutation(count).astype(np.uint64)
    expected = entries[np.argsort(keys, kind="stable")]
    kernels.sort_entries(entries, np.empty_like(entries))
    assert (entries == expected).all()
