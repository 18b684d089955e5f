"""Convolutional maps of a data set's images: RUN/features/; with --export, vectors of proposals or boxes.

The cache keeps maps (float16), not pooled vectors, which would take some hundred times the disk. Images that
have their maps are passed over. --export writes RUN/regions/LAYER/NAME/ (NAME: proposals, objects, or the name of
the file of --boxes), one safetensors file an image: boxes (R, 4), values (R, D), both float32, and the layer
in its metadata.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from detection.config import run_tool
from detection.data import read_boxes
from detection.pipeline.experiment import Experiment
from detection.pipeline.extract import export_regions, maps_bytes
from detection.pipeline.stages.images import MAPS, missing_maps

# Image ids in an error message.
NAMED = 5


def add_options(parser: ArgumentParser) -> None:
    """The options of this tool."""
    parser.add_argument(
        "--dry-run", action="store_true", help="Print the disk that the maps will need, in MiB, and make none."
    )
    parser.add_argument(
        "--export",
        type=Literal["pool5", "fc6", "fc7"] | None,
        default=None,
        help="Write region features of this layer (fc6, fc7: alexnet and vgg16, with features.layer set to it).",
    )
    parser.add_argument(
        "--of",
        type=Literal["windows", "objects"],
        default="windows",
        help="What --export takes the vectors of: the proposals or the ground-truth boxes.",
    )
    parser.add_argument(
        "--boxes",
        type=str | None,
        default=None,
        help="Boxes of your own instead: JSON {image id: [[x1, y1, x2, y2], ...]} or CSV image_id,x1,y1,x2,y2; "
        "px of the image, half-open.",
    )


def dry_run(experiment: Experiment) -> None:
    """Print the disk needed and the disk there is."""
    missing = missing_maps(experiment.source, experiment.images)
    needed = maps_bytes(experiment.source, missing) / 2**20
    there = shutil.disk_usage(next(one for one in [experiment.run.path, *experiment.run.path.parents] if one.exists()))
    print(
        f"maps: {len(experiment.images)} images, {len(missing)} to be made: {needed:,.1f} MiB in "
        f"{experiment.run.features}; {there.free / 2**20:,.0f} MiB free"
    )


def user_boxes(experiment: Experiment, path: str) -> dict[str, np.ndarray]:
    """The boxes of a file. Raises ValueError for an image that the data set has not."""
    boxes, known = read_boxes(path), {one.image_id for one in experiment.images}
    unknown = [image_id for image_id in boxes if image_id not in known]
    if unknown:
        raise ValueError(
            f"{path}: expected ids of the data set's {len(known)} images, got {len(unknown)} others: "
            f"{', '.join(unknown[:NAMED])}"
        )
    return boxes


def export(experiment: Experiment, options: Namespace) -> None:
    """Write the vectors asked for; maps that are absent are made."""
    images, boxes, name = experiment.images, None, options.of
    experiment.source.extractor().length(options.export)  # an error now, not after an hour
    if options.boxes is not None:
        boxes, name = user_boxes(experiment, options.boxes), Path(options.boxes).stem
        images = [one for one in images if one.image_id in boxes]
    elif options.of == "objects":
        boxes = {one.image_id: one.boxes for one in images}
    folder = experiment.run.regions / options.export / name
    facts = export_regions(experiment.source, images, boxes, options.export, folder, experiment.work)
    print(f"{folder}: {facts['images']} images, {facts['regions']} vectors")


def body(experiment: Experiment, options: Namespace) -> None:
    """Run the tool."""
    if options.boxes is not None and options.export is None:
        raise ValueError("--boxes: expected --export pool5, fc6 or fc7 beside it, got none")
    if options.dry_run:
        dry_run(experiment)
    elif options.export is not None:
        export(experiment, options)
    else:
        MAPS.make(experiment)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, body, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
