"""Photos that several commands measure on; loads no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detection.data import VOC_CLASSES, DatasetSource, Problems, load_annotations

# (height, width) in px of most VOC photos, which the figures of one image are told for.
VOC_SIZE = (375, 500)


def sample_photos() -> dict[str, np.ndarray]:
    """scikit-learn's two photos, name -> (427, 640, 3) uint8 RGB."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images()
    return {Path(name).name: np.array(rgb) for name, rgb in zip(images.filenames, images.images, strict=True)}


def photo_paths(voc: str | None, year: str, split: str, count: int) -> list[Path]:
    """The first photos of a split that are of VOC_SIZE; without a devkit scikit-learn's two, (427, 640) px.

    Raises ValueError where there are none.
    """
    if voc is None:
        from sklearn.datasets import images

        return sorted(Path(images.__path__[0]).glob("*.jpg"))[:count]
    found = load_annotations([DatasetSource(year, split, voc)], VOC_CLASSES, Problems())
    paths = [Path(image.path) for image in found if tuple(image.size) == VOC_SIZE][:count]
    if not paths:
        raise ValueError(f"{voc}: expected photos of {VOC_SIZE} px in split {split} of {year}, found none")
    return paths
