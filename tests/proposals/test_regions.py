import numpy as np
import pytest

from detection.proposals import regions as module
from detection.proposals.regions import derivatives, describe, textures
from detection.proposals.segmentation import Segmentation


def reference_histograms(labels, image):
    """Colour and texture histograms by loops over pixels, channels and directions."""
    count, channels = labels.max() + 1, image.shape[2]
    along_x, along_y = derivatives(image)
    colour = np.zeros((count, channels, 25))
    texture = np.zeros((count, channels, 8, 10))
    for y, x in np.ndindex(labels.shape):
        for c in range(channels):
            colour[labels[y, x], c, int(image[y, x, c]) * 25 // 256] += 1
            for orientation in range(4):
                angle = np.pi * orientation / 4
                slope = np.cos(angle) * along_x[y, x, c] + np.sin(angle) * along_y[y, x, c]
                for side, value in enumerate((slope, -slope)):
                    place = min(int(max(value, 0) / (0.43 * 255) * 10), 9)
                    texture[labels[y, x], c, 2 * orientation + side, place] += 1
    colour, texture = colour.reshape(count, -1), texture.reshape(count, -1)
    return np.hstack([colour / colour.sum(1, keepdims=True), texture / texture.sum(1, keepdims=True)])


@pytest.mark.parametrize("channels", [1, 3])
def test_histograms_equal_plain_loops(channels):
    rng = np.random.default_rng(channels)
    image = rng.integers(0, 256, (14, 17, channels), dtype=np.uint8)
    labels = np.zeros((14, 17), np.int32)
    labels[5:, 3:] = 1
    labels[9:, 8:12] = 2
    found = describe(Segmentation(labels, 3, np.zeros((0, 2), np.int32)), image, textures(image))
    expected = reference_histograms(labels, image)
    # A derivative on the edge of a bin may round to either side; one pixel weighs at most 1 / (its region's share).
    assert np.abs(found.histograms - expected).max() < 2e-3
    assert np.mean(np.abs(found.histograms - expected) > 1e-6) < 0.01
    assert found.colours == 25 * channels
    assert found.histograms[:, : found.colours].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert found.histograms[:, found.colours :].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_sizes_and_half_open_boxes():
    labels = np.array([[0, 0, 1], [0, 2, 1]], np.int32)
    image = np.zeros((2, 3, 3), np.uint8)
    found = describe(Segmentation(labels, 3, np.zeros((0, 2), np.int32)), image, textures(image))
    assert found.sizes.tolist() == [3, 2, 1]
    assert found.boxes.tolist() == [[0, 0, 2, 2], [2, 0, 3, 2], [1, 1, 2, 2]]


def test_derivatives_of_ramps():
    image = np.zeros((20, 30, 1), np.uint8)
    image[..., 0] = np.arange(30) * 3 + np.arange(20)[:, None] * 2
    along_x, along_y = derivatives(image)
    inner = np.s_[5:-5, 5:-5]
    assert along_x[inner] == pytest.approx(3, abs=1e-3)
    assert along_y[inner] == pytest.approx(2, abs=1e-3)


def test_a_flat_image_has_only_the_lowest_texture_bins():
    image = np.full((4, 5, 3), 9, np.uint8)
    assert not (textures(image) % module.TEXTURE_BINS).any()
    found = describe(Segmentation(np.zeros((4, 5), np.int32), 1, np.zeros((0, 2), np.int32)), image, textures(image))
    lowest = found.histograms[0, found.colours :].reshape(-1, module.TEXTURE_BINS)
    assert lowest[:, 0] == pytest.approx(1 / 24)
    assert (lowest[:, 1:] == 0).all()
