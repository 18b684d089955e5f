"""Stage: vectors for anybody's boxes, from maps; and what maps take on disk."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from detection.backbones.networks import stage_shapes
from detection.engines import limit_threads
from detection.features.cache import estimate_bytes
from detection.pipeline.source import ImageSource
from detection.pipeline.work import Work, map_images
from detection.storage import file_stem, write_arrays
from detection.types import AnnotatedImage

EXPORT_FORMAT_VERSION = "1"


def maps_bytes(source: ImageSource, images: Sequence[AnnotatedImage]) -> int:
    """Bytes that the maps of `images` will take on disk."""
    settings = source.feature_settings
    shapes = stage_shapes(settings.backbone, settings.stages)
    return estimate_bytes([one.size for one in images], settings, shapes)


def _export_one(item: tuple[AnnotatedImage, ImageSource, np.ndarray | None], folder: Path, layer: str) -> int:
    image, source, boxes = item
    boxes = source.proposals(image).boxes if boxes is None else boxes
    with limit_threads(source.threads):
        regions = source.extractor().regions(source.pyramid(image), boxes, layer)
    metadata = {
        "format_version": EXPORT_FORMAT_VERSION,
        "image_id": image.image_id,
        "layer": layer,
        "height": str(image.size[0]),
        "width": str(image.size[1]),
    }
    arrays = {"boxes": regions.boxes, "values": regions.values}
    write_arrays(folder / f"{file_stem(image.image_id)}.safetensors", arrays, metadata)
    return len(boxes)


def export_regions(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    boxes: Mapping[str, np.ndarray] | None,
    layer: str,
    folder: Path,
    work: Work,
) -> dict[str, float]:
    """Write region features, one safetensors an image: `boxes` (R, 4), `values` (R, D), both float32.

    boxes: image id -> (R, 4) float32, image frame; None: the images' proposals. layer: pool5, fc6 or fc7. The
    file's metadata hold image_id, layer and the image's size. Returns figures: images, regions.
    """
    items = [(one, source.of(one), None if boxes is None else boxes[one.image_id]) for one in images]
    task = partial(_export_one, folder=Path(folder), layer=layer)
    counts = [count for _, count in map_images(task, items, work, f"{layer} vectors")]
    return {"images": len(counts), "regions": sum(counts)}
