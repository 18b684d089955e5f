import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.proposals.grouping import group_regions
from detection.proposals.regions import Regions
from detection.proposals.settings import SIMILARITY_SETS

COLOURS = 5


def random_regions(rng, count):
    boxes = rng.integers(0, 30, (count, 4)).astype(np.int32)
    boxes[:, 2:] = boxes[:, :2] + rng.integers(1, 12, (count, 2))
    histograms = rng.random((count, COLOURS + 7)).astype(np.float32)
    histograms[:, :COLOURS] /= histograms[:, :COLOURS].sum(axis=1, keepdims=True)
    histograms[:, COLOURS:] /= histograms[:, COLOURS:].sum(axis=1, keepdims=True)
    return Regions(rng.integers(1, 60, count).astype(np.int32), boxes, histograms, COLOURS)


def random_pairs(rng, count, extra):
    """A connected graph: a random tree and some more edges."""
    pairs = {(int(rng.integers(0, b)), b) for b in range(1, count)}
    for _ in range(extra if count > 1 else 0):
        a, b = sorted(rng.choice(count, 2, replace=False).tolist())
        pairs.add((a, b))
    return np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2)


def reference_boxes(regions, pairs, similarity, area):
    """Merge the best pair found by scanning all pairs anew each time; similarities in float64."""
    sizes = dict(enumerate(regions.sizes.tolist()))
    boxes = dict(enumerate(regions.boxes.tolist()))
    colour = dict(enumerate(regions.histograms[:, : regions.colours].astype(np.float64)))
    texture = dict(enumerate(regions.histograms[:, regions.colours :].astype(np.float64)))
    touching = {tuple(pair) for pair in pairs.tolist()}

    def around(a, b):
        (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = boxes[a], boxes[b]
        return [min(ax1, bx1), min(ay1, by1), max(ax2, bx2), max(ay2, by2)]

    def value(a, b):
        x1, y1, x2, y2 = around(a, b)
        measures = {
            "C": np.minimum(colour[a], colour[b]).sum(),
            "T": np.minimum(texture[a], texture[b]).sum(),
            "S": 1 - (sizes[a] + sizes[b]) / area,
            "F": 1 - ((x2 - x1) * (y2 - y1) - sizes[a] - sizes[b]) / area,
        }
        return sum(measures[letter] for letter in similarity)

    made, new = [], len(sizes)
    while touching:
        a, b = max(touching, key=lambda pair: (round(value(*pair), 5), -pair[0], -pair[1]))
        share = sizes[a] / (sizes[a] + sizes[b])
        boxes[new], sizes[new] = around(a, b), sizes[a] + sizes[b]
        for histogram in (colour, texture):
            histogram[new] = share * histogram[a] + (1 - share) * histogram[b]
        others = {x for pair in touching if a in pair or b in pair for x in pair} - {a, b}
        touching = {pair for pair in touching if a not in pair and b not in pair} | {(x, new) for x in others}
        made.append(boxes[new])
        new += 1
    return made


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(0, 20), st.sampled_from(SIMILARITY_SETS))
def test_equals_a_full_scan_of_all_pairs(seed, count, extra, similarity):
    rng = np.random.default_rng(seed)
    regions, pairs = random_regions(rng, count), random_pairs(rng, count, extra)
    # Areas are integers, so S and F tie often; a power of two keeps their float32 arithmetic exact.
    found = group_regions(regions, pairs, similarity, 1024)
    assert found.tolist() == reference_boxes(regions, pairs, similarity, 1024)


def test_a_hub_with_many_neighbours():
    rng = np.random.default_rng(5)
    regions = random_regions(rng, 61)
    pairs = np.array([(0, leaf) for leaf in range(1, 61)], dtype=np.int32)
    found = group_regions(regions, pairs, "CTSF", 4096)
    assert found.tolist() == reference_boxes(regions, pairs, "CTSF", 4096)


def test_three_regions_by_hand():
    histograms = np.float32([[1, 0, 1, 0], [0.9, 0.1, 1, 0], [0, 1, 0, 1]])
    boxes = np.int32([[0, 0, 2, 4], [2, 0, 4, 4], [4, 0, 6, 4]])
    regions = Regions(np.int32([8, 8, 8]), boxes, histograms, 2)
    pairs = np.int32([[0, 1], [1, 2]])
    assert group_regions(regions, pairs, "C", 24).tolist() == [[0, 0, 4, 4], [0, 0, 6, 4]]
    # Equal similarities: the pair with the lower number first.
    assert group_regions(regions, pairs, "S", 24).tolist() == [[0, 0, 4, 4], [0, 0, 6, 4]]


@pytest.mark.parametrize("similarity", ["CTSF", "S"])
def test_one_region_merges_nothing(similarity):
    regions = random_regions(np.random.default_rng(0), 1)
    assert group_regions(regions, np.zeros((0, 2), np.int32), similarity, 10).shape == (0, 4)
