"""What several commands measure on: photos, proposals. Loads no torch."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.data import VOC_CLASSES, DatasetSource, Problems, load_annotations, read_image
from detection.proposals import ProposalSettings, selective_search
from detection.proposals.foreign import match_proposals, read_proposals

# (height, width) in px of most VOC photos, which the figures of one image are given for.
VOC_SIZE = (375, 500)
# Sides of random boxes in px, and how many times wider or taller one may be.
_MIN_SIDE, _MAX_ASPECT = 20, 4


@dataclass(frozen=True)
class Photo:
    """A photo with proposals. rgb: (H, W, 3) uint8. boxes: (R, 4) float32, image frame, best first."""

    name: str
    rgb: np.ndarray
    boxes: np.ndarray


def sample_paths() -> list[Path]:
    """Files of scikit-learn's two photos, (427, 640) px."""
    from sklearn.datasets import images

    return sorted(Path(images.__path__[0]).glob("*.jpg"))


def photo_paths(voc: str | None, count: int) -> list[Path]:
    """The first photos of VOC_SIZE in VOC 2007's test split under `voc`; None: scikit-learn's two.

    Raises ValueError where there are none.
    """
    if voc is None:
        return sample_paths()[:count]
    found = load_annotations([DatasetSource("VOC2007", "test", voc)], VOC_CLASSES, Problems())
    paths = [Path(image.path) for image in found if tuple(image.size) == VOC_SIZE][:count]
    if not paths:
        raise ValueError(f"{voc}: expected photos of {VOC_SIZE} px in split test of VOC2007, found none")
    return paths


def matlab_photos(folder: str) -> list[Photo]:
    """The photos NAME.jpg of a folder with proposals of the original MATLAB code, NAME_boxes.mat."""
    photos = []
    for path in sorted(Path(folder).glob("*_boxes.mat")):
        photo, file = path.with_name(path.name.replace("_boxes.mat", ".jpg")), read_proposals(path)
        match_proposals(file, [photo.stem])
        boxes = file.convention.to_half_open(file.boxes[0]).astype(np.float32)
        photos.append(Photo(photo.name, read_image(photo), boxes))
    if not photos:
        raise ValueError(f"{folder}: expected photos NAME.jpg with NAME_boxes.mat, found none")
    return photos


def photo_with_proposals(matlab: str | None) -> Photo:
    """The first of `matlab_photos`; None: scikit-learn's first photo with all of this package's proposals."""
    if matlab is not None:
        return matlab_photos(matlab)[0]
    path = sample_paths()[0]
    rgb = read_image(path)
    return Photo(path.name, rgb, selective_search(rgb, ProposalSettings(min_side=0, max_windows=None)))


def random_boxes(count: int, size: tuple[int, int]) -> np.ndarray:
    """(count, 4) float32 boxes in an image of `size` (height, width), the logarithms of their areas uniform; seed 0."""
    rng = np.random.default_rng(0)
    height, width = size
    side = np.exp(rng.uniform(math.log(_MIN_SIDE), math.log(min(size)), count))
    aspect = np.exp(rng.uniform(-0.5, 0.5, count) * math.log(_MAX_ASPECT))
    sides = np.minimum(np.stack([side * np.sqrt(aspect), side / np.sqrt(aspect)], axis=1), [width, height])
    corner = rng.uniform(0, 1, (count, 2)) * ([width, height] - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
