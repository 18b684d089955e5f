"""Boxes, their projection onto feature maps, and non-maximum suppression."""

from detection.geometry.boxes import area, clip, decode_offsets, encode_offsets, flip, has_area, iou, overlap_areas
from detection.geometry.nms import nms
from detection.geometry.projection import choose_scale, project_to_cells, resize_scale, valid_cells

__all__ = [
    "area",
    "choose_scale",
    "clip",
    "decode_offsets",
    "encode_offsets",
    "flip",
    "has_area",
    "iou",
    "nms",
    "overlap_areas",
    "project_to_cells",
    "resize_scale",
    "valid_cells",
]
