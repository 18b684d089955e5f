"""Convolutional maps of a data set's images: RUN/features/; with --export, vectors of proposals or boxes.

The cache keeps maps (float16), not pooled vectors, which would take some hundred times the disk. Images that
have their maps are passed over. --export writes RUN/regions/LAYER/NAME/ (NAME: proposals, objects, or the name of
the file of --boxes), one safetensors file an image: boxes (R, 4), values (R, D), both float32, and the layer
in its metadata. Of objects also labels (R,), places in the names under "classes" of the metadata (one a line), and
difficult (R,).

  sppnet extract --config custom --dataset.root photos --run runs/mine --dry-run
  sppnet extract --run runs/mine --export pool5 --boxes mine.csv
"""

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from detection.backbones.networks import stage_shapes
from detection.command_line import FLAG
from detection.commands.session import run_command
from detection.data import read_boxes
from detection.engines import limit_threads
from detection.features.cache import estimate_bytes
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import ImageSource
from detection.pipeline.stages.images import MAPS, missing_maps
from detection.pipeline.work import Work, map_images
from detection.storage import file_stem, write_arrays
from detection.types import AnnotatedImage

EXPORT_FORMAT_VERSION = "1"


def maps_bytes(source: ImageSource, images: Sequence[AnnotatedImage]) -> int:
    """Bytes that the maps of `images` will take on disk."""
    settings = source.feature_settings
    shapes = stage_shapes(settings.backbone, settings.stages)
    return estimate_bytes([one.size for one in images], settings, shapes)


def _export_one(
    item: tuple[AnnotatedImage, ImageSource, np.ndarray | None, Sequence[str] | None], folder: Path, layer: str
) -> int:
    image, source, boxes, classes = item
    boxes = source.proposals(image).boxes if boxes is None else boxes
    with limit_threads(source.threads):
        regions = source.extractor().regions(source.pyramid(image), boxes, layer)
    metadata = {"format_version": EXPORT_FORMAT_VERSION, "image_id": image.image_id, "layer": layer}
    metadata |= {"height": str(image.size[0]), "width": str(image.size[1])}
    arrays = {"boxes": regions.boxes, "values": regions.values}
    if classes is not None:
        arrays |= {"labels": image.labels, "difficult": image.difficult}
        metadata["classes"] = "\n".join(classes)
    write_arrays(folder / f"{file_stem(image.image_id)}.safetensors", arrays, metadata)
    return len(boxes)


def export_regions(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    boxes: Mapping[str, np.ndarray] | None,
    layer: str,
    folder: Path,
    work: Work,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, float]:
    """Write region features, one safetensors an image: `boxes` (R, 4), `values` (R, D), both float32.

    boxes: image id -> (R, 4) float32, image frame; None: the images' proposals. layer: pool5, fc6 or fc7. The
    file's metadata hold image_id, layer and the image's size. classes: where `boxes` are those of the objects, image
    id -> the list in which their labels count: `labels` (R,) int64, `difficult` (R,) bool and, in the metadata, the
    list are written too. Returns figures: images, regions.
    """
    boxes, lists = boxes or {}, classes or {}
    items = [(one, source.of(one), boxes.get(one.image_id), lists.get(one.image_id)) for one in images]
    task = partial(_export_one, folder=Path(folder), layer=layer)
    counts = [count for _, count in map_images(task, items, work, f"{layer} vectors")]
    return {"images": len(counts), "regions": sum(counts)}


# Image ids in an error message.
_NAMED = 5


def extract_features(
    experiment: Experiment,
    dry_run: bool = False,
    export: Literal["pool5", "fc6", "fc7"] | None = None,
    of: Literal["windows", "objects"] = "windows",
    boxes: str | None = None,
) -> None:
    """Make the maps, or export vectors.

    Args:
        experiment: The run.
        dry_run: Print the disk that the maps will need, in MiB, and make none.
        export: Write region features of this layer (fc6, fc7: alexnet and vgg16, with features.layer set to it).
        of: What --export takes the vectors of: the proposals (windows) or the ground-truth boxes (objects).
        boxes: Boxes of your own instead: JSON {image id: [[x1, y1, x2, y2], ...]} or CSV image_id,x1,y1,x2,y2;
            px of the image, half-open.
    """
    if boxes is not None and export is None:
        raise ValueError("--boxes: expected --export pool5, fc6 or fc7 with it, got none")
    if dry_run:
        _print_disk(experiment)
    elif export is not None:
        _export(experiment, export, of, boxes)
    else:
        MAPS.make(experiment)


def _print_disk(experiment: Experiment) -> None:
    missing = missing_maps(experiment.source, experiment.images)
    needed = maps_bytes(experiment.source, missing) / 2**20
    there = shutil.disk_usage(next(one for one in [experiment.run.path, *experiment.run.path.parents] if one.exists()))
    disk = f"{needed:,.1f} MiB in {experiment.run.features}; {there.free / 2**20:,.0f} MiB free"
    print(f"maps: {len(experiment.images)} images, {len(missing)} to be made: {disk}")


def _export(experiment: Experiment, layer: str, of: str, boxes_file: str | None) -> None:
    """Write the vectors asked for; maps that are absent are made.

    Raises ValueError for boxes of an image that the data set has not.
    """
    images, boxes, name, classes = experiment.images, None, "proposals", None
    experiment.source.extractor().length(layer)  # an error now, not after an hour
    if boxes_file is not None:
        boxes, name = read_boxes(boxes_file), Path(boxes_file).stem
        images = [one for one in images if one.image_id in boxes]
        unknown = list(boxes.keys() - {one.image_id for one in images})
        if unknown:
            got = f"{len(unknown)} others: {', '.join(sorted(unknown)[:_NAMED])}"
            expected = f"ids of the data set's {len(experiment.images)} images"
            raise ValueError(f"{boxes_file}: expected {expected}, got {got}")
    elif of == "objects":
        boxes, name = {one.image_id: one.boxes for one in images}, of
        # After a class was added or dropped, training images still count in the list before.
        classes = {one.image_id: experiment.base_classes for one in experiment.train_images}
        classes |= {one.image_id: experiment.classes for one in experiment.test_images}
    folder = experiment.run.regions / layer / name
    facts = export_regions(experiment.source, images, boxes, layer, folder, experiment.work, classes)
    print(f"{folder}: {facts['images']} images, {facts['regions']} vectors")


main = run_command(__doc__, extract_features, {"--dry-run": FLAG}, lambda options: not options.dry_run)
