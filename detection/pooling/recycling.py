"""Large arrays in memory that was used before.

The system fills fresh pages with zeros, which takes longer than pooling into them.
"""

import weakref
from collections import deque

import numpy as np

_MIB = 2**20
# Smaller arrays are left to malloc, which uses their memory again.
LEAST_BYTES = 16 * _MIB
# What is kept for arrays to come.
_MOST_BYTES = 512 * _MIB
# Blocks are made in multiples of this, so that one fits the next image, which has somewhat more regions.
_STEP_BYTES = 32 * _MIB

_free: deque[np.ndarray] = deque()


class _Loan:
    """What an array in a block holds on to: when the last view of it is gone, so is this, and the block is free."""

    def __init__(self, block: np.ndarray) -> None:
        self.__array_interface__ = block.__array_interface__
        weakref.finalize(self, _give_back, block).atexit = False


def empty_values(count: int) -> np.ndarray:
    """(count,) float32, not initialised. The memory of large ones is used again once no view of them is left."""
    if count * 4 < LEAST_BYTES:
        return np.empty(count, np.float32)
    return np.asarray(_Loan(_block(count * 4)))[:count]


def _block(size: int) -> np.ndarray:
    # No lock: each step of the deque is one, and what ends an array may be the collector within any of them.
    for _ in range(len(_free)):
        try:
            one = _free.popleft()
        except IndexError:
            break
        if size <= one.nbytes <= 2 * size + _STEP_BYTES:
            return one
        _free.append(one)
    return np.empty(-(-size // _STEP_BYTES) * _STEP_BYTES // 4, np.float32)


def _give_back(block: np.ndarray) -> None:
    _free.append(block)
    try:
        while sum(one.nbytes for one in tuple(_free)) > _MOST_BYTES:
            _free.popleft()
    except (IndexError, RuntimeError):
        # Another thread has taken or given one meanwhile.
        pass
