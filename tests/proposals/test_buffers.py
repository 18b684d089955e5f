from concurrent.futures import ThreadPoolExecutor

import numpy as np

from detection.proposals import selective_search
from detection.proposals._buffers import MOST_KEPT_BYTES, Buffers


def test_a_name_is_one_piece_of_memory_that_grows():
    buffers = Buffers()
    first = buffers.take("a", (3, 4), np.int32)
    assert (first.shape, first.dtype) == ((3, 4), np.int32)
    assert np.shares_memory(first, buffers.take("a", (6,), np.uint64))
    assert not np.shares_memory(first, buffers.take("b", (3, 4), np.int32))
    assert not np.shares_memory(first, buffers.take("a", (100,), np.int32))
    assert buffers.take("empty", (0, 4), np.float32).shape == (0, 4)


def test_large_pieces_are_not_kept():
    buffers = Buffers()
    shape = (MOST_KEPT_BYTES + 1,)
    assert not np.shares_memory(buffers.take("a", shape, np.uint8), buffers.take("a", shape, np.uint8))


def test_threads_share_nothing_and_a_larger_image_before_changes_nothing():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((30, 40), (90, 80), (25, 30), (60, 70))]
    alone = [selective_search(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(selective_search, images * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        assert np.array_equal(found, expected)
