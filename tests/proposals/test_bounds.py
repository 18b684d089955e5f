"""A tiny min_size leaves no more regions than can be grouped in reasonable time."""

import numpy as np
import pytest

from detection.proposals import ProposalSettings, selective_search
from detection.proposals import selective_search as function
from detection.proposals.segmentation import segment, sort_edges
from detection.proposals.settings import PRESETS

MODULE = __import__("sys").modules[function.__module__]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_too_many_regions_are_merged():
    graph = sort_edges(noise(200, 200).astype(np.float32))
    assert segment(graph, 1, 1).count > 200 * 200 // MODULE.LEAST_MEAN_SIZE
    assert MODULE._bounded(graph, 1, 1).count <= 200 * 200 // MODULE.LEAST_MEAN_SIZE
    few = segment(graph, 1, 64)
    assert np.array_equal(MODULE._bounded(graph, 1, 64).labels, few.labels)


def test_few_regions_stay_however_small():
    graph = sort_edges(noise(20, 20).astype(np.float32))
    assert MODULE._bounded(graph, 1, 1).count == segment(graph, 1, 1).count == 400


@pytest.mark.parametrize("k", sorted({k for _, ks, _ in PRESETS.values() for k in ks}))
def test_no_preset_reaches_the_bound(k):
    """Noise has the most regions: as many as without the bound; in an image of max_pixels too, of k px at least."""
    graph = sort_edges(noise(150, 160).astype(np.float32))
    free = segment(graph, k, k)
    assert free.count <= 150 * 160 // k
    assert np.array_equal(MODULE._bounded(graph, k, k).labels, free.labels)
    assert ProposalSettings().max_pixels // k <= MODULE.MOST_REGIONS


def test_the_slow_case_ends():
    settings = ProposalSettings(colour_spaces=("HSV",), ks=(1,), similarities=("CTSF",), min_size=1, min_side=0)
    assert len(selective_search(noise(120, 120), settings)) > 500
