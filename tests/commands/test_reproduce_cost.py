import pytest

from detection.commands.reproduce_cost import Cost, trial
from detection.config import read_settings

COST = Cost(
    proposals=0.1, maps=0.2, vectors=0.3, batch=0.04, iterations=100, workers=2, maps_bytes=3 * 2**30, map_sets=2
)


def test_seconds_of_all_photos_and_batches():
    # 9963 photos searched, 2 x 5011 + 4952 computed, 2 x 5011 + 4952 pooled, by two processes
    assert COST.seconds == pytest.approx((996.3 + 0.2 * 14974 + 0.3 * 14974) / 2 + 4)


def test_what_is_told():
    disk, time = COST.lines(2**30, 5 * 2**30)
    assert "maps 3 GiB" in disk
    assert "mirrored too" in disk
    assert "unpack to 2.0 GiB; free 5 GiB" in disk
    assert time.startswith("time: 1.2 hours at least")


def test_the_trial_measures_each_part(tmp_path):
    small = ["--proposals.preset=single", "--features.short_sides=96", "--finetune.widths=16,16"]
    settings = read_settings("--config=voc2007_released", "--features.backbone=alexnet", f"--run={tmp_path}", *small)
    found = trial(settings, 3)
    assert (found.workers, found.iterations, found.map_sets) == (3, 200_000, 2)
    assert 0 < found.proposals < 60
    assert 0 < found.batch < 60
    assert found.vectors > found.batch
    # 96 x 128 px at stride 16, 256 channels of 2 bytes, and a header: alexnet lacks a row and a column
    assert found.maps_bytes == pytest.approx((2 * 5011 + 4952) * (5 * 7 * 256 * 2 + 1024), rel=0.1)
