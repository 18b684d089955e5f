"""Memory of large arrays is used again, and never while anything can see it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from detection.pooling import recycling
from detection.pooling.recycling import LEAST_BYTES, empty_values

LARGE = LEAST_BYTES // 4


@pytest.fixture(autouse=True)
def nothing_kept():
    recycling._free.clear()
    yield
    recycling._free.clear()


def address(values):
    return values.__array_interface__["data"][0]


def test_memory_that_nobody_sees_is_used_again():
    first = empty_values(LARGE)
    first[:] = 1
    place, part = address(first), first.reshape(4, -1)[2:, 5:]
    del first
    other = empty_values(LARGE)
    assert address(other) != place
    other[:] = 2
    assert (part == 1).all()
    del part
    assert address(empty_values(LARGE + 100)) == place


def test_small_ones_and_misfits_are_not_kept_in_a_block_of_others():
    small = empty_values(LARGE - 1)
    del small
    assert not recycling._free
    huge = empty_values(40 * LARGE)
    del huge
    # Small arrays do not hold on to much larger blocks; beyond the bound, nothing is kept.
    assert not recycling._free
    large = empty_values(12 * LARGE)
    place = address(large)
    del large
    assert address(empty_values(LARGE)) != place


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(recycling, "_MOST_BYTES", 3 * recycling._STEP_BYTES)
    arrays = [empty_values(LARGE) for _ in range(8)]
    assert not recycling._free
    del arrays
    assert sum(one.nbytes for one in recycling._free) == 3 * recycling._STEP_BYTES


def test_threads_never_share_a_block():
    def work(number):
        for _ in range(20):
            values = empty_values(LARGE)
            values[::1000] = number
            if not (values[::1000] == number).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
    arrays = [empty_values(LARGE) for _ in range(4)]
    assert len({address(one) for one in arrays}) == 4
    assert all(one.dtype == np.float32 for one in arrays)
