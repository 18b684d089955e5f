"""Compiled search for equal boxes."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def first_of_equals(boxes, order, found):
    """Write to found the rows of boxes, in the order given, that equal no earlier one; returns their number."""
    room = 4
    while room < 2 * order.size:
        room *= 2
    table = np.full(room, -1, np.int64)
    mask = np.uint64(room - 1)
    count = 0
    for row in order:
        code = np.uint64(0)
        for i in range(4):
            code = (code ^ np.uint64(boxes[row, i])) * np.uint64(0x9E3779B97F4A7C15)
            code ^= code >> np.uint64(29)
        place = code & mask
        while table[place] >= 0:
            other = table[place]
            if (
                boxes[other, 0] == boxes[row, 0]
                and boxes[other, 1] == boxes[row, 1]
                and boxes[other, 2] == boxes[row, 2]
                and boxes[other, 3] == boxes[row, 3]
            ):
                break
            place = (place + np.uint64(1)) & mask
        if table[place] < 0:
            table[place] = row
            found[count] = row
            count += 1
    return count
