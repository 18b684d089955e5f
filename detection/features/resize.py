"""From an image to a network's input at one scale."""

import math

import cv2
import numpy as np


def resized_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) in px of an image of `size` after resizing by `scale`: rounded, halves to even, >= 1."""
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(height, width) raised to the next multiples of `multiple` px."""
    return math.ceil(size[0] / multiple) * multiple, math.ceil(size[1] / multiple) * multiple


def resize_image(image: np.ndarray, scale: float) -> np.ndarray:
    """Bilinear resizing by exactly `scale`: (H, W, C) uint8 or float32 -> same type, of `resized_size`.

    The value at x in the result is the image's at x / scale, both in continuous px, whatever the sizes are
    rounded to, so that regions and maps need no second scale. Without antialiasing, as in the paper's
    released code (imresize with 'antialiasing' false).
    """
    height, width = image.shape[:2]
    if min(round(height * scale), round(width * scale)) < 1:
        # A side vanishes; OpenCV refuses that, and where one px stands for all no scale is exact.
        rows, columns = resized_size((height, width), scale)
        return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
    # Given factors and no size, OpenCV maps by the factors; given a size it would use the ratio of sizes.
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)


def normalise(rgb: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """(rgb - mean) / std: (H, W, 3) uint8 -> (H, W, 3) float32. mean, std: of each channel in grey levels 0..255."""
    height, width, channels = rgb.shape
    # Rows of width * 3 values: numpy is ten times slower on inner loops of 3.
    factor = np.tile((1 / np.asarray(std)).astype(np.float32), width)
    shift = np.tile((-np.asarray(mean) / np.asarray(std)).astype(np.float32), width)
    values = np.multiply(rgb.reshape(height, width * channels), factor, dtype=np.float32)
    values += shift
    return values.reshape(height, width, channels)


def network_input(normalised: np.ndarray, scale: float, multiple: int) -> np.ndarray:
    """Resize a normalised image by `scale` and pad it: (H, W, 3) float32 -> (1, H'', W'', 3) float32.

    Padding, at the right and the bottom up to multiples of `multiple` px, holds 0, the mean colour.
    """
    resized = resize_image(normalised, scale)
    height, width = resized.shape[:2]
    rows, columns = padded_size((height, width), multiple)
    padded = np.empty((1, rows, columns, 3), np.float32)
    padded[0, :height, :width] = resized
    padded[0, :height, width:] = 0
    padded[0, height:] = 0
    return padded
