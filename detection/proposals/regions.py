"""What grouping knows of a region: size, box, colour histogram, texture histogram (IJCV 2013, section 3.2)."""

from dataclasses import dataclass

import cv2
import numpy as np

from detection.proposals import _region_kernels as kernels
from detection.proposals.segmentation import Segmentation

# IJCV 2013, section 3.2: 25 colour bins a channel; derivatives in 8 directions, 10 bins each.
COLOUR_BINS = 25
TEXTURE_BINS = 10
# Not in the paper: the constants of the authors' texture code (sigma 0.8, bins over 0 to 0.43 of the value range,
# larger values in the last one). All channels and bins rounded down agree best with the proposals in Fast R-CNN's demo.
TEXTURE_SIGMA = 0.8
TEXTURE_RANGE = 0.43 * 255
# The Gaussian derivative is cut at 4 standard deviations.
DERIVATIVE_CUT = 4.0


@dataclass(frozen=True)
class Regions:
    """N regions of a segmentation.

    sizes: (N,) int32 px. boxes: (N, 4) int32 half-open. histograms: (N, D) float32, the colour part (the first
    `colours` places), then the texture part, each summing to 1.
    """

    sizes: np.ndarray
    boxes: np.ndarray
    histograms: np.ndarray
    colours: int


def derivatives(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian derivatives of (H, W, C) uint8 along x and y: two (H, W, C) float32, grey levels per px."""
    radius = int(np.ceil(DERIVATIVE_CUT * TEXTURE_SIGMA))
    at = np.arange(-radius, radius + 1, dtype=np.float64)
    gauss = np.exp(-(at**2) / (2 * TEXTURE_SIGMA**2))
    gauss /= gauss.sum()
    slope = at * gauss
    slope /= (slope * at).sum()
    along_x = cv2.sepFilter2D(image, cv2.CV_32F, slope, gauss, borderType=cv2.BORDER_REPLICATE)
    along_y = cv2.sepFilter2D(image, cv2.CV_32F, gauss, slope, borderType=cv2.BORDER_REPLICATE)
    return along_x.reshape(image.shape), along_y.reshape(image.shape)


def textures(image: np.ndarray) -> np.ndarray:
    """Texture bins of (H, W, C) uint8: half-rectified derivatives in 8 directions; see ``texture_places``.

    Returns (ORIENTATIONS, H, W, C) uint8.
    """
    places = np.empty((kernels.ORIENTATIONS, *image.shape), np.uint8)
    scale = np.float32(TEXTURE_BINS / TEXTURE_RANGE)
    along_x, along_y = (one.reshape(-1) for one in derivatives(image))
    kernels.texture_places(along_x, along_y, scale, TEXTURE_BINS, places.reshape(kernels.ORIENTATIONS, -1))
    return places


def describe(segmentation: Segmentation, image: np.ndarray, texture: np.ndarray) -> Regions:
    """Sizes, boxes and histograms of the regions of an image (H, W, C) uint8 with these `textures`."""
    channels, count = image.shape[2], segmentation.count
    colours = channels * COLOUR_BINS
    counts = np.zeros((count, colours + channels * 2 * kernels.ORIENTATIONS * TEXTURE_BINS), np.int32)
    sizes, boxes = np.zeros(count, np.int32), np.empty((count, 4), np.int32)
    colour_bins = np.arange(256) * COLOUR_BINS // 256
    kernels.count_pixels(segmentation.labels, image, colour_bins, texture, TEXTURE_BINS, counts, sizes, boxes)
    # Of every orientation's two parts the one that is not meant counts as a derivative of 0.
    directions = counts[:, colours:].reshape(count, -1, TEXTURE_BINS)
    directions[..., 0] = sizes[:, None] - directions[..., 1:].sum(axis=-1)
    histograms = counts.astype(np.float32)
    for part, number in ((np.s_[:, :colours], channels), (np.s_[:, colours:], directions.shape[1])):
        histograms[part] *= np.float32(1) / (sizes * number).astype(np.float32)[:, None]
    return Regions(sizes, boxes, histograms, colours)
