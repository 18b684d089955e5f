from dataclasses import replace

import numpy as np
import pytest
from finetune_problem import CLASSES, LENGTH, SETTINGS, make_images

from detection.learning import FinetuneSettings
from detection.learning.finetune.samples import (
    BACKGROUND,
    LEFT_OUT,
    Sampler,
    batches_of_a_round,
    label_proposals,
    split_images,
)

OBJECTS = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
# IoU 0.5, just under it, 0.1, nothing; with the second object 0.8
PROPOSALS = np.array([[0, 0, 10, 5], [0, 0, 10, 4.9], [0, 0, 10, 1], [40, 40, 50, 50], [20, 0, 30, 8]], np.float32)


def kinds(difficult=(False, False), **changes):
    found = label_proposals(
        "a", PROPOSALS, OBJECTS, np.array([2, 0]), np.array(difficult), replace(FinetuneSettings(), **changes)
    )
    assert found.boxes.dtype == np.float32
    assert len(found.boxes) == len(found.kinds)
    return found.kinds.tolist()


def test_foreground_and_background():
    assert kinds() == [2, BACKGROUND, BACKGROUND, LEFT_OUT, 0, 2, 0]
    assert kinds(include_objects=False) == [2, BACKGROUND, BACKGROUND, LEFT_OUT, 0]
    assert kinds(background_min_iou=0.0, include_objects=False)[3] == BACKGROUND
    assert kinds(background_min_iou=0.2, include_objects=False)[2] == LEFT_OUT
    assert kinds(foreground_iou=0.7, include_objects=False) == [LEFT_OUT, BACKGROUND, BACKGROUND, LEFT_OUT, 0]
    assert kinds(background_max_iou=0.3, include_objects=False)[1] == LEFT_OUT


def test_difficult_objects():
    assert kinds((False, True), use_difficult=True)[4] == 0
    assert kinds((False, True), use_difficult=False) == [2, BACKGROUND, BACKGROUND, LEFT_OUT, LEFT_OUT, 2, LEFT_OUT]
    # What overlaps a difficult object a little is no background either.
    assert kinds((True, False), use_difficult=False) == [*[LEFT_OUT] * 4, 0, LEFT_OUT, 0]


def test_an_image_without_objects_or_proposals():
    empty = np.zeros((0, 4), np.float32)
    none = np.zeros(0, np.int64), np.zeros(0, bool)
    assert label_proposals("a", PROPOSALS, empty, *none, SETTINGS).kinds.tolist() == [LEFT_OUT] * 5
    assert label_proposals("a", empty, empty, *none, replace(SETTINGS, use_difficult=False)).kinds.tolist() == []


def test_split():
    trained, held = split_images(12, SETTINGS)
    assert len(held) == 3
    assert sorted([*trained, *held]) == list(range(12))
    assert [one.tolist() for one in split_images(12, SETTINGS)] == [trained.tolist(), held.tolist()]
    assert split_images(12, replace(SETTINGS, seed=2))[1].tolist() != held.tolist()
    assert len(split_images(12, replace(SETTINGS, held_out=0.0))[1]) == 0


def sampler(settings=SETTINGS, positions=(0, 3, 4)):
    return Sampler(make_images(), np.array(positions), CLASSES, 2, settings)


def test_batches_have_their_composition_and_no_proposal_twice():
    draw = sampler().round(0, 4)
    images = make_images()
    found = [images[i].kinds[row] for i, row in zip(draw.images, draw.rows, strict=True)]
    assert [CLASSES if kind == BACKGROUND else kind for kind in found] == draw.targets.tolist()
    assert set(draw.images) == {0, 3, 4}
    assert draw.batches.shape == (4 * SETTINGS.round_passes, 16)
    assert ((draw.targets[draw.batches] < CLASSES).sum(axis=1) == 4).all()
    for passes in np.split(draw.batches, SETTINGS.round_passes):
        assert sorted(passes.ravel()) == list(range(64))
    # 16 foreground proposals wanted of more: each at most once.
    foreground = [(i, row) for i, row, t in zip(draw.images, draw.rows, draw.targets, strict=True) if t < CLASSES]
    assert len(set(foreground)) == 16


def test_few_proposals_come_again_once_all_have_come():
    few = sampler(positions=(0,))
    available = int((make_images()[0].kinds >= 0).sum())
    draw = few.round(0, 20)
    taken = np.unique(draw.rows[draw.targets < CLASSES], return_counts=True)[1]
    assert len(taken) == available
    assert taken.max() - taken.min() <= 1


def test_rounds_differ_and_repeat():
    one = sampler()
    assert one.round(0, 4).rows.tolist() == sampler().round(0, 4).rows.tolist()
    assert one.round(0, 4).rows.tolist() != one.round(1, 4).rows.tolist()


def test_mirrored_proposals_and_random_scales():
    plain = sampler().round(0, 20)
    assert not plain.mirrored.any()
    assert (plain.scales == -1).all()
    settings = replace(SETTINGS, flips=True, random_scale=True)
    draw = sampler(settings).round(0, 20)
    assert 0.3 < draw.mirrored.mean() < 0.7
    assert set(draw.scales) == {0, 1}
    held = sampler(settings).held_out()
    assert not held.mirrored.any()
    assert (held.scales == -1).all()


def test_no_foreground_is_refused():
    images = [replace(one, kinds=np.full(30, BACKGROUND)) for one in make_images()]
    with pytest.raises(ValueError, match=r"expected foreground proposals in 2 images .* found none"):
        Sampler(images, np.arange(2), CLASSES, 1, SETTINGS)


def test_memory_bounds_a_round():
    batch = 16 * LENGTH * 2
    assert batches_of_a_round(LENGTH, SETTINGS) == 5
    assert batches_of_a_round(LENGTH, replace(SETTINGS, round_iterations=900)) == 16  # 32 iterations in two passes
    large = 2**20 // (16 * 2) // 5
    assert batches_of_a_round(large, SETTINGS) == 2  # 3 of 5 batches are held out
    assert batches_of_a_round(large, replace(SETTINGS, held_out=0.0)) == 5
    assert 5 * batch < 2**20
    with pytest.raises(ValueError, match=r"memory_mib: expected at least 2 for 3 held-out batches"):
        batches_of_a_round(large * 2, SETTINGS)


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": (4,)}, {"iterations": (3,)}, {"learning_rates": (0.1, 0.0)}, {"dropout": 1.0}, {"batch_size": 0},
        {"foreground_fraction": 0.0}, {"background_min_iou": 0.6}, {"held_out": -0.1}, {"snapshot_measure": "mAP"},
        {"initial": ""}, {"initial_sigma": 0.0}, {"seed": -1},
    ],
)  # fmt: skip
def test_impossible_settings(changes):
    with pytest.raises(ValueError, match="finetune"):
        replace(SETTINGS, **changes)


def test_learning_rate_steps():
    assert [SETTINGS.learning_rate(i) for i in (0, 23, 24, 31, 99)] == [0.05, 0.05, 0.01, 0.01, 0.01]
