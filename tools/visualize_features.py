"""What the filters of a trained network see, and why a window has its score: pictures and pages in RUN/looks/.

--images ID_OR_PATH ...   each image beside the maps of its strongest (or chosen, --filter) filters, with arrows from
                          the strongest responses to their places and the receptive field as a rectangle
--images ... --pyramid    one --filter's map at every image size, and what the spatial pyramid makes of it
(no --images)             for every filter the --top photos of --split that answer it best: PNG sheets, and
                          index.html with all filters, by class of the photo
--window x1,y1,x2,y2      with one image: why this box of the image has its score for --class, and what NMS did with it
--samples CLASS ...       the positives and hard negatives that support a class's SVM, the hardest first

Windows, maps and the detector of the run are used; maps that are absent are made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from detection.commands import visualize_features as look_tool
from detection.config import run_tool
from detection.pipeline.experiment import Experiment


def add_options(parser: ArgumentParser) -> None:
    """The options of this tool."""
    add = parser.add_argument
    add("--images", type=str, nargs="+", default=[], help="Image ids of the data set, or image files.")
    add("--filter", type=int, nargs="+", default=[], help="Filters (channels, from 0) that are shown; none: all, "
        "or of single images the strongest.")  # fmt: skip
    add("--stage", type=int | None, default=None, help="Stride in px of the stage looked at; none: the last one.")
    add("--short-side", type=int | None, default=None, help="Image scale looked at, one of features.short_sides; none: "
        "of each filter that of its strongest response.")  # fmt: skip
    add("--effective", type=float | None, default=None, help="Draw, dashed, also the square that holds this share "
        "(0.95) of a cell's gradient energy.")  # fmt: skip
    add("--strongest", type=int, default=3, help="Filters shown of a single image where none is named.")
    add("--peaks", type=int, default=3, help="Strongest responses of a filter that get an arrow.")
    add("--pyramid", action="store_true", help="Draw the spatial pyramid of one filter at every image size.")
    add("--split", type=Literal["train", "test", "all"], default="all", help="Photos that are ranked for each filter.")
    add("--top", type=int, default=8, help="Photos shown of each filter; memory is filters x classes x this.")
    add("--window", type=str | None, default=None, help="x1,y1,x2,y2 in px of the image, half-open.")
    add("--class", type=str | None, default=None, dest="class_name", help="The class whose score --window explains; "
        "none: that of the best score.")  # fmt: skip
    add("--channels", type=int, default=4, help="Filters that add most to the score, shown by --window.")
    add("--samples", type=str, nargs="+", default=[], help="Classes whose support vectors are shown.")
    add("--count", type=int, default=48, help="Samples on a contact sheet.")
    add("--out", type=str | None, default=None, help="Folder written to; none: RUN/looks.")


def body(experiment: Experiment, options: Namespace) -> None:
    """Do what the options ask for."""
    out = Path(options.out) if options.out else experiment.run.path / "looks"
    if options.samples:
        for path in look_tool.sample_sheets(experiment, options.samples, options.count, out):
            print(path)
        return
    if options.window is not None:
        explain(experiment, options, out)
        return
    view = look_tool.filter_view(
        experiment, options.stage, options.short_side, options.effective, tuple(options.filter), options.strongest,
        options.peaks,
    )  # fmt: skip
    if options.images:
        draw = look_tool.draw_pyramid if options.pyramid else look_tool.draw_image
        for name in options.images:
            print(draw(experiment, name, view, out))
    else:
        print(look_tool.rank_filters(experiment, view, options.split, options.top, out))


def explain(experiment: Experiment, options: Namespace, out: Path) -> None:
    """Print and draw the explanation of one window."""
    if not options.images or len(options.images) != 1:
        raise ValueError("--window: expected one image (--images ID) beside it, got " + str(len(options.images or [])))
    try:
        box = np.array([float(one) for one in options.window.split(",")], np.float32)
    except ValueError as error:
        raise ValueError(f"--window: expected x1,y1,x2,y2, got {options.window!r}") from error
    lines, path = look_tool.explain_box(experiment, options.images[0], box, options.class_name, options.channels, out)
    print("\n".join(lines))
    print(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, body, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
