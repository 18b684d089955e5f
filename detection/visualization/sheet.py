"""Several images on one page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from detection.visualization.colours import WHITE, Colour


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int,
    cell_size: tuple[int, int] | None = None,
    gap: int = 8,
    background: Colour = WHITE,
) -> np.ndarray:
    """Images side by side, row by row, each in the middle of a cell.

    images: (H, W, 3) uint8 of any sizes, at least one; those larger than the cell are made smaller, none
    larger. columns: cells a row, > 0. cell_size: (height, width) in px, the largest height and width where
    not given. gap: px between cells and around them. Returns (H, W, 3) uint8. Raises ValueError for no
    image or columns < 1.
    """
    if not images or columns < 1:
        raise ValueError(f"contact_sheet: expected images and columns >= 1, got {len(images)} and {columns}")
    height, width = cell_size or (max(one.shape[0] for one in images), max(one.shape[1] for one in images))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.empty(shape, dtype=np.uint8)
    sheet[:] = background
    for i, image in enumerate(images):
        small = _shrink(image, (height, width))
        top = gap + i // columns * (height + gap) + (height - small.shape[0]) // 2
        left = gap + i % columns * (width + gap) + (width - small.shape[1]) // 2
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    if scale >= 1:
        return image
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
