"""What is measured on, where several commands share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def sample_photos() -> dict[str, np.ndarray]:
    """scikit-learn's two photos, name -> (427, 640, 3) uint8 RGB."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images()
    return {Path(name).name: np.array(rgb) for name, rgb in zip(images.filenames, images.images, strict=True)}
