import subprocess
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.io import loadmat

from detection.geometry import iou
from detection.proposals import ProposalSettings, propose, selective_search
from detection.proposals import selective_search as function

# The package's name of the module is the function.
MODULE = sys.modules[function.__module__]
hierarchies, working_size = MODULE.hierarchies, MODULE.working_size

ALL = ProposalSettings(min_side=0, max_windows=None)


def textured_image(height=90, width=120, seed=0):
    """Coloured rectangles with noise: many regions at every setting."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 90.0)
    for _ in range(25):
        x, y = rng.integers(0, width - 10), rng.integers(0, height - 10)
        image[y : y + rng.integers(8, 40), x : x + rng.integers(8, 40)] = rng.integers(0, 256, 3)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def check(boxes, size, min_side):
    height, width = size
    assert boxes.dtype == np.float32
    assert boxes.ndim == 2
    assert boxes.shape[1] == 4
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= width).all()
    assert (boxes[:, 3] <= height).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= max(min_side, 1e-6)).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@settings(max_examples=25)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda s: arrays(np.uint8, (*s, 3))),
    st.sampled_from([0, 5, 20]),
)
def test_boxes_are_unique_inside_and_large_enough(image, min_side):
    chosen = ProposalSettings(min_side=min_side, ks=(5, 30))
    found = selective_search(image, chosen)
    check(found, image.shape[:2], min_side)
    assert np.array_equal(found, selective_search(image, chosen))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (19, 19), (20, 20), (10, 2000), (3, 70000)])
def test_images_of_any_shape(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = selective_search(image)
    check(found, size, 20)
    assert len(found) == 0 or min(size) >= 20
    whole = selective_search(image, ALL)
    assert [0, 0, size[1], size[0]] in whole.tolist()
    assert selective_search(image * 0, ALL).tolist() == [[0, 0, size[1], size[0]]]


def test_a_one_colour_image_has_the_one_proposal():
    assert selective_search(np.full((60, 80, 3), 128, np.uint8)).tolist() == [[0, 0, 80, 60]]


def test_a_grey_image_equals_its_rgb_copy():
    grey = textured_image()[..., 0]
    expected = selective_search(np.repeat(grey[..., None], 3, axis=2))
    assert len(expected) > 10
    assert np.array_equal(selective_search(np.ascontiguousarray(grey)), expected)
    assert np.array_equal(selective_search(grey[..., None]), expected)


def test_a_strided_image_equals_its_copy():
    image = textured_image()[::-1, ::2]
    assert np.array_equal(selective_search(image, ALL), selective_search(image.copy(), ALL))


def test_a_large_image_is_bounded_by_resizing():
    image = np.asarray(Image.fromarray(textured_image()).resize((1000, 750)))
    found = selective_search(image, ProposalSettings(max_pixels=20_000))
    check(found, (750, 1000), 20)
    assert [0, 0, 1000, 750] in found.tolist()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "uint8 array .* got float32"),
        ([[1]], "got list"),
        (np.zeros((4, 4, 4), np.uint8), r"got \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\)"),
    ],
)
def test_what_is_no_image_is_refused_by_name(image, message):
    with pytest.raises(ValueError, match=message):
        selective_search(image)
    with pytest.raises(ValueError, match="'odd one'"):
        propose("odd one", image, ProposalSettings())


CHANGES = {
    "preset": "single",
    "colour_spaces": ("HSV",),
    "ks": (50, 101),
    "similarities": ("CTSF", "SF"),
    "sigma": 0.9,
    "min_size": 40,
    "min_side": 24,
    "max_overlap": 0.7,
    "max_windows": 30,
    "resize_width": 100,
    "max_pixels": 9000,
    "seed": 4,
}


@pytest.mark.parametrize("key", CHANGES)
def test_every_parameter_changes_the_proposals(key):
    image = textured_image()
    changed = selective_search(image, ProposalSettings(**{key: CHANGES[key]}))
    assert not np.array_equal(changed, selective_search(image))
    check(changed, image.shape[:2], 24 if key == "min_side" else 20)


def test_max_windows_keeps_the_first():
    image = textured_image()
    few = selective_search(image, ProposalSettings(max_windows=20))
    assert np.array_equal(few, selective_search(image, ProposalSettings(max_windows=None))[:20])


@pytest.mark.parametrize("chosen", [ProposalSettings(max_overlap=0.6), ProposalSettings(preset="diverse")])
def test_near_duplicates_of_better_proposals_are_dropped_before_the_first_are_counted(chosen):
    image = textured_image()
    found = selective_search(image, replace(chosen, max_windows=None))
    overlaps = iou(found, found) - np.eye(len(found))
    assert overlaps.max() <= chosen.resolved_max_overlap
    everything = selective_search(image, replace(chosen, max_windows=None, max_overlap=1.0))
    places = [everything.tolist().index(box) for box in found.tolist()]
    assert places == sorted(places)
    gone = np.setdiff1d(np.arange(len(everything)), places)
    assert len(gone) > 0
    better = iou(everything[gone], found) * (np.array(places)[None, :] < gone[:, None])
    assert (better.max(axis=1) > chosen.resolved_max_overlap).all()
    assert np.array_equal(selective_search(image, replace(chosen, max_windows=5)), found[:5])


def test_the_seed_orders_and_does_not_choose():
    image = textured_image()
    first, second = (selective_search(image, ALL, seed) for seed in (1, 2))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.unique(first, axis=0), np.unique(second, axis=0))
    assert np.array_equal(first, selective_search(image, ProposalSettings(min_side=0, max_windows=None, seed=1)))


def test_levels_come_first_on_average():
    image = textured_image()
    places = [selective_search(image, ALL, seed).tolist().index([0, 0, 120, 90]) for seed in range(8)]
    assert np.median(places) < 3


def test_priority_is_level_times_a_random_number():
    """The rule by a dictionary: a box's priority is its least one over all runs."""
    image = textured_image(60, 70)
    boxes, levels = hierarchies(image, ALL)
    stream = np.random.Generator(np.random.PCG64([ALL.seed, zlib.crc32(image.tobytes())]))
    least: dict[tuple[int, ...], float] = {}
    for box, priority in zip(map(tuple, boxes.tolist()), (levels * stream.random(len(levels))).tolist(), strict=True):
        least[box] = min(priority, least.get(box, np.inf))
    assert len(least) < len(boxes)
    assert selective_search(image, ALL).tolist() == [list(box) for box in sorted(least, key=least.__getitem__)]


def test_of_equal_priority_the_first_of_all_runs_comes_first(monkeypatch):
    class Coarse:
        def __init__(self, _):
            pass

        def random(self, count):
            return np.arange(count) % 3 / 3

    image = textured_image(60, 70)
    boxes, levels = hierarchies(image, ALL)
    ranked = sorted(range(len(boxes)), key=(levels * Coarse(0).random(len(levels))).tolist().__getitem__)
    monkeypatch.setattr(np.random, "Generator", Coarse)
    assert selective_search(image, ALL).tolist() == list(map(list, dict.fromkeys(map(tuple, boxes[ranked].tolist()))))


def test_regions_have_k_px_and_the_blur_is_the_originals():
    image = textured_image()
    chosen = ProposalSettings(preset="single")
    assert np.array_equal(selective_search(image, chosen), selective_search(image, replace(chosen, min_size=100)))
    assert np.array_equal(selective_search(image, chosen), selective_search(image, replace(chosen, sigma=0.8)))


def test_the_resize_rule_is_a_parameter():
    width_500 = ProposalSettings(resize_width=500)
    assert working_size((400, 1000), width_500) == (200, 500)
    assert working_size((75, 100), width_500) == (375, 500)
    assert working_size((1, 3000), width_500) == (1, 500)
    assert working_size((400, 1000), ProposalSettings()) == (400, 1000)
    image = textured_image()
    half = cv2.resize(image, (60, 45), interpolation=cv2.INTER_AREA)
    chosen = replace(ALL, resize_width=60)
    found, small = selective_search(image, chosen), selective_search(half, chosen)
    assert sorted(found.tolist()) == sorted((2 * small).tolist())


def test_an_image_of_4000_by_3000():
    image = np.asarray(Image.fromarray(textured_image()).resize((4000, 3000)))
    found = selective_search(image, preset="single")
    check(found, (3000, 4000), 20)
    assert len(found) > 20
    assert working_size((3000, 4000), ProposalSettings()) == (1224, 1632)


def test_presets_by_name():
    image = textured_image()
    assert np.array_equal(selective_search(image, preset="single"), selective_search(image, "single"))
    assert len(selective_search(image, preset="quality")) > len(selective_search(image, preset="single"))
    with pytest.raises(ValueError, match="settings or preset"):
        selective_search(image, ProposalSettings(), preset="fast")


def test_propose_makes_the_record():
    image = textured_image()
    found = propose("id", image, ProposalSettings())
    assert found.image_id == "id"
    assert found.size == (90, 120)
    assert found.source == "selective_search/fast"
    assert np.array_equal(found.boxes, selective_search(image))


def test_other_processes_and_another_order_give_the_same_proposals():
    images = [textured_image(40, 50, seed) for seed in range(3)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        elsewhere = list(pool.map(selective_search, images[::-1]))[::-1]
    for image, found in zip(images, elsewhere, strict=True):
        assert np.array_equal(found, selective_search(image))


def test_threads_share_nothing():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((30, 40), (90, 80), (25, 30), (60, 70))]
    alone = [selective_search(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(selective_search, images * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        assert np.array_equal(found, expected)


def test_importing_needs_no_torch():
    code = "import sys, detection.proposals; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_proposals_of_the_authors_code_are_found(shared_data):
    folder = shared_data / "selective-search-matlab"
    for name, least in (("000004", 0.70), ("001551", 0.75)):
        theirs = loadmat(folder / f"{name}_boxes.mat")["boxes"].astype(np.float32) + np.float32([0, 0, 1, 1])
        image = np.asarray(Image.open(folder / f"{name}.jpg").convert("RGB"))
        ours = selective_search(image, ProposalSettings(preset="texture", min_side=0, max_windows=None))
        best = iou(theirs, ours).max(axis=1)
        assert (best >= 0.9).mean() > least
        assert (best >= 0.7).mean() > 0.9


def test_a_side_of_just_the_least_length_stays():
    boxes = np.array([[0, 0, 20, 30], [0, 0, 30, 20], [0, 0, 19, 30], [0, 0, 30, 19], [5, 5, 25, 25]])
    kept = MODULE.to_image_frame(boxes, (60, 60), (60, 60), ProposalSettings(min_side=20))
    assert kept.tolist() == boxes[[0, 1, 4]].tolist()
