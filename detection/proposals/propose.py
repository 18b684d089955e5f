"""Proposals of one image as a record, by whatever method the settings name."""

import numpy as np

from detection.data import DataError
from detection.proposals.edge_boxes import edge_boxes
from detection.proposals.selective_search import check_image, search, working_size
from detection.proposals.settings import ProposalSettings
from detection.types import Proposals


def propose(image_id: str, rgb: np.ndarray, settings: ProposalSettings) -> Proposals:
    """The proposals of one image (H, W, 3) uint8, or grey, made by ``settings.method``.

    ``source`` names the method and preset, and the size that the image was brought to, where it was. Raises
    ValueError naming the image for another dtype or shape, and DataError where proposals are imported, not made.
    """
    rgb = check_image(rgb, image_id)
    if settings.method == "imported":
        raise DataError(
            "no imported proposals",
            image_id or "image",
            "expected proposals that sppnet proposals import has put into the run, found none; a detector trained on "
            "imported proposals takes an image's own through Detector.detect_proposals",
        )
    size = rgb.shape[:2]
    working = working_size(size, settings)
    boxes = edge_boxes(rgb, settings) if settings.method == "edge_boxes" else search(rgb, settings, settings.seed)
    at = "" if working == size else f" at {working[1]}x{working[0]}"
    return Proposals(image_id, size, boxes, settings.source + at)
