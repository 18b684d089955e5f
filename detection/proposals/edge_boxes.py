"""EdgeBoxes (Zitnick and Dollar, ECCV 2014) as OpenCV's contributed modules have it; an option, never needed."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detection.geometry import clip
from detection.proposals.selective_search import check_image, to_image_frame, to_working_size
from detection.proposals.settings import ProposalSettings
from detection.storage import file_fingerprint

# ECCV 2014, section 4.1: step of the sliding window (as IoU of neighbours) and threshold of non-maximum suppression.
ALPHA, BETA = 0.65, 0.75
# Boxes asked for where max_windows is None: the default of the authors' code.
MAX_BOXES = 10_000
VALUE_RANGE = 255.0


def model_fingerprint(path: str) -> str:
    """Fingerprint of a model file's content. Raises FileNotFoundError saying where such a file comes from."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"proposals.edge_boxes_model: expected a structured-forest model file, found none at {path}; "
            "opencv_extra has one: testdata/cv/ximgproc/model.yml.gz"
        )
    status = file.stat()
    return _fingerprint(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _fingerprint(path: str, _size: int, _time: int) -> str:
    return file_fingerprint(path)


@lru_cache(maxsize=1)
def _edge_detector(path: str, _content: str) -> Any:
    if not hasattr(cv2, "ximgproc") or not hasattr(cv2.ximgproc, "createStructuredEdgeDetection"):
        raise ValueError(
            "proposals.method edge_boxes: expected OpenCV with its contributed modules, got one without cv2.ximgproc; "
            "in an environment of its own, install opencv-contrib-python-headless instead of opencv-python-headless "
            "(not beside it: they overwrite each other)"
        )
    try:
        return cv2.ximgproc.createStructuredEdgeDetection(path)
    except cv2.error as error:
        raise ValueError(f"{path}: expected a structured-forest model that OpenCV reads, got {error}") from error


def edge_boxes(rgb: np.ndarray, settings: ProposalSettings) -> np.ndarray:
    """Proposals of one image by EdgeBoxes, best first: (R, 4) float32 half-open in px of the image.

    rgb: (H, W, 3) uint8 RGB, or grey. Of settings, edge_boxes_model, min_side, max_windows, resize_width and
    max_pixels are used. Raises ValueError without OpenCV's contributed modules, FileNotFoundError without the model.
    """
    detector = _edge_detector(settings.edge_boxes_model, model_fingerprint(settings.edge_boxes_model))
    rgb = check_image(rgb)
    resized = to_working_size(rgb, settings)
    edges = detector.detectEdges(resized.astype(np.float32) / np.float32(VALUE_RANGE))
    orientations = detector.computeOrientation(edges)
    maker = cv2.ximgproc.createEdgeBoxes(alpha=ALPHA, beta=BETA, maxBoxes=settings.max_windows or MAX_BOXES)
    found, scores = maker.getBoundingBoxes(detector.edgesNms(edges, orientations), orientations)
    boxes = np.asarray(found, dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes = boxes[np.argsort(-np.asarray(scores, dtype=np.float64).ravel(), kind="stable")]
    boxes = clip(boxes, resized.shape[:2])
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    return to_image_frame(boxes, resized.shape[:2], rgb.shape[:2], settings)
