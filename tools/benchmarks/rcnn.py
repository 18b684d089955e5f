"""The baseline: R-CNN-style crops to the vectors of proposals, every one cropped, warped and sent through the network
alone.

Girshick et al., *Rich feature hierarchies for accurate object detection and semantic segmentation*, CVPR 2014, appendix
A, and the released rcnn_im_crop.m. The network, its normalisation and the pyramid are this package's, so that what
differs from SPP-net is the way alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from detection.backbones import Backbone
from detection.data import read_image
from detection.features.resize import normalise
from detection.pooling.spp import pooled_length
from detection.pooling.torch_pooling import SpatialPyramidPooling
from detection.storage import file_fingerprint, file_stem, fingerprint, read_arrays, write_arrays

# To be raised where the same proposal gets other values.
_VERSION = 1


@dataclass(frozen=True)
class CropSettings:
    """How a proposal becomes an input of the network.

    Args:
        side: Height and width of a warped crop, in px: what the network was trained on. R-CNN 227 (Caffe's AlexNet),
            EfficientNet-Lite0 224; a multiple of the largest stride in use.
        context: Px of the warped crop, on each side, that show what surrounds the proposal. R-CNN, appendix A: 16.
        batch: Crops that go through the network together. R-CNN has 256 on a GPU; on a CPU few stay in its caches.
    """

    side: int = 224
    context: int = 16
    batch: int = 8

    def __post_init__(self) -> None:
        if self.batch < 1 or not 0 <= 2 * self.context < self.side:
            raise ValueError(f"crops: expected batch >= 1 and 0 <= 2 x context < side, got {self}")


def warp_proposal(normalised: np.ndarray, box: np.ndarray, settings: CropSettings, out: np.ndarray) -> None:
    """Write one proposal, with its context, into out (side, side, 3) float32, stretched in both directions.

    normalised: (H, W, 3) float32, 0 the mean colour. box: (4,) x1, y1, x2, y2, image frame, inside the image. The
    context's edges are rounded to whole px; what lies beyond the image is 0. Bilinear without antialiasing, as
    rcnn_im_crop.m, whose inclusive px make its context one px wider.
    """
    side = settings.side
    scale = side / (side - 2 * settings.context)
    spans = []
    for low, high, length in zip(box[:2].tolist(), box[2:].tolist(), normalised.shape[1::-1], strict=True):
        middle, half = (low + high) / 2, (high - low) / 2 * scale
        first = min(_rounded(middle - half), length - 1)
        last = max(_rounded(middle + half), first + 1)
        spans.append(_span(first, last, length, side))
    (x1, x2, left, width), (y1, y2, top, height) = spans
    out[:] = 0
    out[top : top + height, left : left + width] = cv2.resize(
        normalised[y1:y2, x1:x2], (width, height), interpolation=cv2.INTER_LINEAR
    )


def _rounded(value: float) -> int:
    # MATLAB's round but for negative halves; NumPy's takes halves to even numbers.
    return int(np.floor(value + 0.5))


def _span(first: int, last: int, length: int, side: int) -> tuple[int, int, int, int]:
    """(first px, px behind the last) inside an image of `length` px, and (start, length) in the crop."""
    scale = side / (last - first)
    inside = max(first, 0), min(last, length)
    start = min(_rounded((inside[0] - first) * scale), side - 1)
    return (*inside, start, min(max(_rounded((inside[1] - inside[0]) * scale), 1), side - start))


def crop_vectors(
    backbone: Backbone, rgb: np.ndarray, boxes: np.ndarray, levels: tuple[int, ...], settings: CropSettings
) -> np.ndarray:
    """R-CNN-style crops: (H, W, 3) uint8 RGB and boxes (R, 4), image frame -> (R, D) float32 pooled from each crop's
    maps.

    The pyramid lies over the whole map of a crop. Order of a vector: as of ``FeatureExtractor.pool`` with the same
    stages and levels.
    """
    normalised = normalise(rgb, backbone.mean, backbone.std)
    pool = SpatialPyramidPooling(levels)
    values = np.empty((len(boxes), sum(pooled_length(channels, levels) for channels in backbone.channels)), np.float32)
    crops = np.empty((settings.batch, settings.side, settings.side, 3), np.float32)
    device = next(backbone.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(boxes), settings.batch):
            part = crops[: len(boxes[start : start + settings.batch])]
            for crop, box in zip(part, boxes[start : start + settings.batch], strict=True):
                warp_proposal(normalised, box, settings, crop)
            maps = backbone(torch.from_numpy(part).permute(0, 3, 1, 2).to(device))
            values[start : start + len(part)] = torch.cat([pool(one) for one in maps], 1).cpu().numpy()
    return values


class CropStore:
    """R-CNN's vectors on disk, one file an image, float16 as this package's maps are: they take hours.

    Files lie in FOLDER/KEY, the key of all that decides a vector; what was computed of another image file or other
    boxes counts as absent.
    """

    def __init__(self, folder: Path | str, backbone: Backbone, levels: tuple[int, ...], settings: CropSettings) -> None:
        self.backbone, self.levels, self.settings = backbone, levels, settings
        # Crops that go together change last bits, far below float16.
        facts = (_VERSION, backbone.name, backbone.strides, levels, replace(settings, batch=1))
        self.folder = Path(folder) / fingerprint(*facts, backbone.weights_fingerprint)

    def path(self, image_id: str) -> Path:
        """The file of an image, there or not."""
        return self.folder / f"{file_stem(image_id)}.safetensors"

    def read(self, image_id: str, path: Path, boxes: np.ndarray) -> np.ndarray | None:
        """(R, D) float16 of the boxes of the image file `path`, or None where they have not been computed."""
        if not self.path(image_id).is_file():
            return None
        arrays, metadata = read_arrays(self.path(image_id))
        current = metadata.get("image") == file_fingerprint(path) and np.array_equal(arrays["boxes"], boxes)
        return arrays["values"] if current else None

    def make(self, image_id: str, path: Path, boxes: np.ndarray) -> np.ndarray:
        """The same, computed and written where it is absent."""
        values = self.read(image_id, path, boxes)
        if values is None:
            rgb = read_image(path)
            values = crop_vectors(self.backbone, rgb, boxes, self.levels, self.settings).astype(np.float16)
            metadata = {"image": file_fingerprint(path), "image_id": image_id}
            write_arrays(self.path(image_id), {"boxes": boxes, "values": values}, metadata)
        return values
