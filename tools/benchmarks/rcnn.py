"""The baseline: R-CNN-style crops. Every proposal is cropped, warped and sent through the network by itself.

Girshick et al., *Rich feature hierarchies for accurate object detection and semantic segmentation*, CVPR 2014, appendix
A, and the released rcnn_im_crop.m. Network, normalisation and pyramid are this package's: all that differs from SPP-net
is that each proposal has maps of its own.
"""

import cv2
import numpy as np
import torch

from detection.backbones import Backbone
from detection.features.resize import normalise
from detection.pooling.torch_pooling import SpatialPyramidPooling

# Height and width of a warped crop in px, what the network was trained on: R-CNN 227 (Caffe's AlexNet),
# EfficientNet-Lite0 224; a multiple of the largest stride in use.
SIDE = 224
# Px of the warped crop, on each side, that show what surrounds the proposal (appendix A).
CONTEXT = 16
# Crops that go through the network together: R-CNN has 256 on a GPU; on a CPU few stay in its caches.
BATCH = 8


def warp_proposal(normalised: np.ndarray, box: np.ndarray, out: np.ndarray, context: int = CONTEXT) -> None:
    """Write one proposal, with its context, into out (side, side, 3) float32, stretched in both directions.

    normalised: (H, W, 3) float32, 0 the mean colour. box: (4,) x1, y1, x2, y2, image frame. Bilinear, without
    antialiasing; what lies beyond the image is 0. (rcnn_im_crop.m rounds the context's edges to whole px.)
    """
    side, centre = len(out), (box[:2] + box[2:]) / 2
    scale = (box[2:] - box[:2]) / (side - 2 * context)
    # From px u of the crop to px v of the image, both by index: v + 1/2 = centre + scale (u + 1/2 - side / 2).
    shift = centre - 0.5 + scale * (1 - side) / 2
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float64)
    out[:] = cv2.warpAffine(normalised, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def crop_vectors(
    backbone: Backbone, rgb: np.ndarray, boxes: np.ndarray, levels: tuple[int, ...], batch: int = BATCH
) -> np.ndarray:
    """(H, W, 3) uint8 RGB and boxes (R, 4), image frame -> (R, D) float32 pooled over the whole maps of each crop.

    Order of a vector: as of ``FeatureExtractor.pool`` with the same stages and levels.
    """
    normalised, pool = normalise(rgb, backbone.mean, backbone.std), SpatialPyramidPooling(levels)
    values = [np.empty((0, sum(level**2 for level in levels) * sum(backbone.channels)), np.float32)]
    crops = np.empty((batch, SIDE, SIDE, 3), np.float32)
    with torch.inference_mode():
        for start in range(0, len(boxes), batch):
            part = crops[: len(boxes[start : start + batch])]
            for crop, box in zip(part, boxes[start : start + batch], strict=True):
                warp_proposal(normalised, box, crop)
            maps = backbone(torch.from_numpy(part).permute(0, 3, 1, 2))
            values.append(torch.cat([pool(one) for one in maps], 1).numpy())
    return np.concatenate(values)
