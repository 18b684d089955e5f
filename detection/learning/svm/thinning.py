"""Fewer negatives where proposals tell the same: the paper's rule and the released code's."""

from __future__ import annotations

import dataclasses

import numpy as np

from detection.geometry import nms
from detection.learning.assignment import best_objects
from detection.learning.svm.mining import SVMSettings
from detection.learning.svm.stream import TrainingRegions
from detection.types import RegionFeatures


def thinned(regions: TrainingRegions, settings: SVMSettings) -> TrainingRegions:
    """An image's proposals without those that ``distinct_negatives`` and ``negative_overlap`` leave out.

    Both go through the proposals in their order and keep the first of several. Proposals are compared by their vectors,
    bit for bit, which are one where scale and cells are; overlap counts among the proposals that are negatives of every
    class, the others all stay.
    """
    if settings.distinct_negatives:
        rows = np.ascontiguousarray(regions.proposals.values).view(np.uint32)
        regions = _of_proposals(regions, np.sort(np.unique(rows, axis=0, return_index=True)[1]))
    if settings.negative_overlap is not None:
        boxes = regions.proposals.boxes
        negative = best_objects(boxes, regions.objects.boxes)[1] < settings.negative_iou
        candidates = np.flatnonzero(negative)
        kept = nms(boxes[candidates], -np.arange(len(candidates), dtype=np.float32), settings.negative_overlap)
        regions = _of_proposals(regions, np.sort(np.concatenate([np.flatnonzero(~negative), candidates[kept]])))
    return regions


def _of_proposals(regions: TrainingRegions, rows: np.ndarray) -> TrainingRegions:
    proposals = regions.proposals
    fewer = RegionFeatures(proposals.image_id, proposals.boxes[rows], proposals.values[rows], proposals.layer)
    return dataclasses.replace(regions, proposals=fewer)
