"""What the filters of a trained network see, and why a box has its score: pictures and pages in RUN/looks/.

With --images: each image with the maps of its strongest filters (or of --filter), arrows from the strongest responses
to their places, and receptive fields as rectangles; with --pyramid too: one filter's map at every image size, and what
the spatial pyramid makes of it.

With --images and --window: why this box has its score for --class, and what NMS did with it.

With --samples: the positives and hard negatives that support a class's SVM, the hardest first.

Without any of these: for every filter the --top photos that excite it most, as PNG sheets and index.html.

  sppnet inspect --run runs/demo --images 000201 --stage 8 --filter 18 1
  sppnet inspect --run runs/demo --images 000201 --window 148,264,201,362
  sppnet inspect --run runs/demo --samples three
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from detection.command_line import say
from detection.commands.session import experiment_command, images_of, never
from detection.data import image_size, read_image, write_image
from detection.detector import Detector
from detection.engines import limit_threads
from detection.features import FeatureSettings
from detection.features.settings import stage_label
from detection.inspection.explanation import draw_explanation, explanation_json, explanation_lines
from detection.inspection.filters import ALL, FilterView, draw_filters, rank_images, write_sheets, write_small_images
from detection.inspection.filters_page import filter_page
from detection.inspection.pyramids import draw_pyramids
from detection.inspection.samples import draw_samples, ranked_samples
from detection.inspection.windows import explain_window
from detection.pipeline.experiment import Experiment
from detection.pipeline.training_samples import SAMPLES, read_samples
from detection.proposals import propose
from detection.storage import readable_stem, write_json, write_text
from detection.types import AnnotatedImage, FeaturePyramid
from detection.visualization import stacked

_PAGE, _PICTURES = "index.html", "photos"


def add_options(parser: ArgumentParser) -> None:
    """The options of this tool."""
    add = parser.add_argument
    add("--images", type=str, nargs="+", default=[], help="Image ids of the data set, or image files.")
    add("--filter", type=int, nargs="+", default=[], help="Filters (channels, from 0) that are shown; without: all, "
        "or of single images the strongest.")  # fmt: skip
    add("--stage", type=int | str | None, default=None, help="Stage shown, as in features.stages; without: the last.")
    add("--short-side", type=int | None, default=None, help="Image scale shown, px, one of features.short_sides; "
        "without: of each filter that of its strongest response.")  # fmt: skip
    add("--effective", type=float | None, default=None, help="Draw, dashed, also the square that holds this share "
        "(0.95) of a cell's gradient energy.")  # fmt: skip
    add("--strongest", type=int, default=3, help="Filters shown of a single image where none is named.")
    add("--peaks", type=int, default=3, help="Strongest responses of a filter that get an arrow.")
    add("--pyramid", action="store_true", help="Draw the spatial pyramid of one filter at every image size.")
    add("--split", type=Literal["train", "test", "all"], default="all", help="Photos that are ranked for each filter.")
    add("--top", type=int, default=8, help="Photos shown of each filter; memory is filters x classes x this.")
    add("--window", type=str | None, default=None, help="x1,y1,x2,y2 in px of the image, half-open.")
    add("--class", type=str | None, default=None, dest="class_name", help="The class whose score --window explains; "
        "without: that of the best score.")  # fmt: skip
    add("--channels", type=int, default=4, help="Filters that add most to the score, shown by --window.")
    add("--samples", type=str, nargs="+", default=[], help="Classes whose support vectors are shown.")
    add("--count", type=int, default=48, help="Samples on a contact sheet.")
    add("--out", type=str | None, default=None, help="Folder written to; without: RUN/looks.")


def body(experiment: Experiment, options: Namespace) -> None:
    """Do what the options ask for."""
    out = Path(options.out) if options.out else experiment.run.path / "looks"
    if options.samples:
        write_samples(experiment, options, out)
    elif options.window is not None:
        explain(experiment, options, out)
    elif options.images:
        draw_images(experiment, options, out)
    else:
        rank_filters(experiment, options, out)


def _require(option: str, is_met: bool, expected: str, got: object) -> None:
    if not is_met:
        raise ValueError(f"--{option}: expected {expected}, got {got}")


def filter_view(experiment: Experiment, options: Namespace) -> FilterView:
    """What is shown: stage and scale by their name or stride and short side, and what the stage's cells see.

    Raises ValueError for a stride, short side or filter that the run's features have not, and for counts < 1.
    """
    settings, backbone = experiment.settings.features, experiment.source.extractor().backbone
    stages, sides, side = list(settings.stages), list(settings.short_sides), options.short_side
    shown = stages[-1] if options.stage is None else options.stage
    _require("stage", shown in stages, f"one of features.stages {stages}", shown)
    _require("short-side", side is None or side in sides, f"one of {sides}", side)
    for name in ("strongest", "peaks"):
        _require(name, options[name] >= 1, "at least 1", options[name])
    stage = stages.index(shown)
    for channel in options.filter:
        count = backbone.channels[stage]
        _require("filter", 0 <= channel < count, f"0 to {count - 1}", channel)
    fields = [backbone.receptive_fields()[stage]]
    if options.effective is not None:
        fields.append(backbone.effective_field(stage, options.effective))
    scales = range(len(sides)) if side is None else [sides.index(side)]
    return FilterView(stage, tuple(fields), tuple(scales), tuple(options.filter), options.strongest, options.peaks)


def find_image(experiment: Experiment, name: str) -> AnnotatedImage:
    """The data set's image of an id, or a file as an image without objects. Raises ValueError for neither."""
    for image in experiment.images:
        if image.image_id == name:
            return image
    expected = f"an id of the data set's {len(experiment.images)} images or a file"
    _require("images", os.path.isfile(name), expected, repr(name))
    none = np.zeros(0, np.int64)
    return AnnotatedImage(name, Path(name), image_size(name), np.zeros((0, 4), np.float32), none, none.astype(bool))


def _pyramid(experiment: Experiment, image: AnnotatedImage, rgb: np.ndarray, mirrored: bool = False) -> FeaturePyramid:
    source = experiment.source
    if image.image_id in source.image_keys:
        return source.both_sides(image) if mirrored else source.pyramid(image)
    with limit_threads(source.threads):
        return source.extractor().pyramid(image.image_id, rgb, mirrored=mirrored)


def _stem(image: AnnotatedImage) -> str:
    return image.path.stem if image.image_id == str(image.path) else readable_stem(image.image_id)


def _of_stage(settings: FeatureSettings, view: FilterView) -> str:
    """The stage's part of a file's name: stride16, blocks.11."""
    return stage_label(settings.stages[view.stage]).replace(" ", "")


def draw_images(experiment: Experiment, options: Namespace, out: Path) -> None:
    """Draw each image with its filters to OUT/images/NAME-STAGE.png, and print the files.

    --pyramid: one filter's map and pyramid at every size to OUT/pyramids/NAME-STAGE-filterN.png; raises ValueError
    unless one filter is named.
    """
    view, settings = filter_view(experiment, options), experiment.settings.features
    _require("pyramid", not options.pyramid or len(view.channels) == 1, "one --filter with it", len(view.channels))
    for name in options.images:
        image = find_image(experiment, name)
        rgb = read_image(image.path, image.size)
        pyramid = _pyramid(experiment, image, rgb)
        stem = f"{_stem(image)}-{_of_stage(settings, view)}"
        if options.pyramid:
            path = out / "pyramids" / f"{stem}-filter{view.channels[0]}.png"
            write_image(path, draw_pyramids(rgb, pyramid, view, settings.levels, settings.pooling))
        else:
            path = out / "images" / f"{stem}.png"
            write_image(path, draw_filters(rgb, pyramid, view))
        say(experiment.work.console, path)


def rank_filters(experiment: Experiment, options: Namespace, out: Path) -> None:
    """Rank the images of a split for every filter; all goes to OUT/filters-STAGE. Prints the page's file."""
    view, source = filter_view(experiment, options), experiment.source
    images = images_of(experiment, options.split)
    by_id = {one.image_id: one for one in images}
    folder = out / f"filters-{_of_stage(experiment.settings.features, view)}"
    groups = rank_images(source, images, experiment.classes, view, options.top, experiment.work)
    pictures = write_small_images(groups, by_id, folder / _PICTURES, experiment.work)
    channels = view.channels or range(source.extractor().backbone.channels[view.stage])
    names = [name for name in (ALL, *experiment.classes) if name in groups]
    rows = {name: {channel: groups[name].of(channel) for channel in channels} for name in names}
    write_sheets(rows[ALL], pictures, folder)
    photos = {one: (f"{_PICTURES}/{quote(path.name)}", by_id[one].size) for one, path in pictures.items()}
    write_text(folder / _PAGE, _page(experiment, view, len(images), photos, rows))
    say(experiment.work.console, folder / _PAGE)


def _page(experiment: Experiment, view: FilterView, count: int, photos: Mapping, rows: Mapping) -> str:
    """The page of `filter_page`, which tells what photos and rows are."""
    settings, backbone = experiment.settings.features, experiment.source.extractor().backbone
    fields = ["The solid rectangle is what the response can see (its receptive field), cut off at the border."]
    if len(view.fields) > 1:
        fields.append(f"The dashed one, {view.fields[1].size[0]:g} resized px wide, is where it mostly looks.")
    height, width = view.fields[0].size
    seen = f"{height:g} x {width:g} px of the resized image" if np.isfinite(height) else "the whole image"
    sides = ", ".join(str(settings.short_sides[scale]) for scale in view.scales)
    title = f"Filters of {settings.backbone}, {stage_label(settings.stages[view.stage])}"
    facts = f"{backbone.channels[view.stage]} filters, {count} photos at short sides of {sides} px; a cell sees {seen}"
    return filter_page(title, facts, photos, rows, fields)


def explain(experiment: Experiment, options: Namespace, out: Path) -> None:
    """Explain a box's score: lines that are printed, OUT/windows/IMAGE-BOX-CLASS.png, and the same as .json.

    Raises ValueError for other than one image, an unknown class, a box outside the image, a run without a detector.
    """
    _require("window", len(options.images) == 1, "one image (--images ID) with it", len(options.images))
    try:
        box = np.array([float(one) for one in options.window.split(",")], np.float32)
    except ValueError as error:
        raise ValueError(f"--window: expected x1,y1,x2,y2, got {options.window!r}") from error
    classes, name = experiment.classes, options.class_name
    _require("class", name is None or name in classes, f"one of {', '.join(classes)}", repr(name))
    image, detector = find_image(experiment, options.images[0]), Detector.load(experiment.run.detector)
    if detector.extractor.settings != experiment.settings.features:
        needed = "a detector of the features in force; run sppnet train"
        raise ValueError(f"{experiment.run.detector}: expected {needed}")
    rgb = read_image(image.path, image.size)
    is_known = image.image_id in experiment.source.image_keys
    own = experiment.source.proposals(image) if is_known else propose(image.image_id, rgb, detector.proposal_settings)
    label = None if name is None else detector.classes.index(name)
    pyramid = _pyramid(experiment, image, rgb, detector.postprocess_settings.mirrored)
    explanation = explain_window(detector, image, own, pyramid, box, label)
    corners = "-".join(f"{one:g}" for one in box.tolist())
    path = out / "windows" / f"{_stem(image)}-{corners}-{readable_stem(detector.classes[explanation.label])}.png"
    write_image(path, draw_explanation(rgb, explanation, options.channels))
    write_json(path.with_suffix(".json"), explanation_json(explanation, options.channels))
    say(experiment.work.console, *explanation_lines(explanation), path)


def write_samples(experiment: Experiment, options: Namespace, out: Path) -> None:
    """Write OUT/samples/CLASS.png for each class, its positives above its hard negatives, and print the files."""
    names, classes = options.samples, experiment.classes
    for name in names:
        _require("samples", name in classes, f"classes among {', '.join(classes)}", repr(name))
    _require("count", options.count >= 1, "at least 1", options.count)
    images = {one.image_id: one for one in experiment.train_images}
    samples = [one for one in read_samples(experiment.run.detector / SAMPLES) if one.name in names]
    known = [one for one in samples if one.image_id in images]
    if len(known) < len(samples):
        experiment.warn(
            f"{len(samples) - len(known)} samples are of photos that the training set has not; they are left out"
        )
    for name in names:
        positives, negatives = ranked_samples(known, name)
        parts = []
        for kind, chosen in (("positives that support its SVM", positives), ("hard negatives", negatives)):
            title = f"{name}: {len(chosen)} {kind}, the hardest first, with their margins"
            parts.append(draw_samples(chosen, images, options.count, title))
        path = out / "samples" / f"{readable_stem(name)}.png"
        write_image(path, stacked(parts, 12))
        say(experiment.work.console, path)


def _needs_run(options: Namespace) -> bool:
    """Filters can be looked at before there is a run, with a --config that tells the data."""
    return bool(options.samples or options.window) or not options.config


main = experiment_command(__doc__, body, add_options, never, _needs_run)
