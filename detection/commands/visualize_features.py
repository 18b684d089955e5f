"""What the filters of a trained network see, and why a box has its score: pictures and pages in RUN/looks/.

--images ID_OR_PATH ...   each image with the maps of its strongest (or chosen, --filter) filters, with arrows from
                          the strongest responses to their places and the receptive field as a rectangle
--images ... --pyramid    one --filter's map at every image size, and what the spatial pyramid makes of it
(no --images)             for every filter the --top photos of --split that answer it best: PNG sheets, and
                          index.html with all filters, by class of the photo
--window x1,y1,x2,y2      with one image: why this box of the image has its score for --class, and what NMS did with it
--samples CLASS ...       the positives and hard negatives that support a class's SVM, the hardest first

Proposals, maps and the detector of the run are used; maps that are absent are made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from detection.commands.session import experiment_command, images_of
from detection.data import image_size, read_image, write_image
from detection.detector import Detector
from detection.engines import limit_threads
from detection.inspection import filters
from detection.inspection.explanation import draw_explanation, explanation_json, explanation_lines
from detection.inspection.filters_page import filter_page
from detection.inspection.pyramids import draw_pyramids
from detection.inspection.samples import draw_samples, ranked_samples, read_samples
from detection.inspection.windows import explain_window
from detection.pipeline.experiment import Experiment
from detection.pipeline.train import SAMPLES
from detection.proposals import propose
from detection.storage import file_stem, write_json, write_text
from detection.types import AnnotatedImage, FeaturePyramid
from detection.visualization import stacked

_PAGE, _PICTURES = "index.html", "photos"


def add_options(parser: ArgumentParser) -> None:
    """What the command takes beyond a run's settings."""
    add = parser.add_argument
    add("--images", type=str, nargs="+", default=[], help="Image ids of the data set, or image files.")
    add("--filter", type=int, nargs="+", default=[], help="Filters (channels, from 0) that are shown; none: all, "
        "or of single images the strongest.")  # fmt: skip
    add("--stage", type=int | None, default=None, help="Stride in px of the stage looked at; none: the last one.")
    add("--short-side", type=int | None, default=None, help="Image scale looked at, one of features.short_sides; none: "
        "of each filter that of its strongest response.")  # fmt: skip
    add("--effective", type=float | None, default=None, help="Draw, dashed, also the square that holds this share "
        "(0.95) of a cell's gradient energy.")  # fmt: skip
    add("--strongest", type=PositiveInt, default=3, help="Filters shown of a single image where none is named.")
    add("--peaks", type=PositiveInt, default=3, help="Strongest responses of a filter that get an arrow.")
    add("--pyramid", action="store_true", help="Draw the spatial pyramid of one filter at every image size.")
    add("--split", type=Literal["train", "test", "all"], default="all", help="Photos that are ranked for each filter.")
    add("--top", type=int, default=8, help="Photos shown of each filter; memory is filters x classes x this.")
    add("--window", type=str | None, default=None, help="x1,y1,x2,y2 in px of the image, half-open.")
    add("--class", type=str | None, default=None, dest="class_name", help="The class whose score --window explains; "
        "none: that of the best score.")  # fmt: skip
    add("--channels", type=int, default=4, help="Filters that add most to the score, shown by --window.")
    add("--samples", type=str, nargs="+", default=[], help="Classes whose support vectors are shown.")
    add("--count", type=PositiveInt, default=48, help="Samples on a contact sheet.")
    add("--out", type=str | None, default=None, help="Folder written to; none: RUN/looks.")


def visualize(experiment: Experiment, options: Namespace) -> None:
    """Make what the options ask for, and print the files."""
    out = Path(options.out) if options.out else experiment.run.path / "looks"
    if options.samples:
        written = sample_sheets(experiment, options.samples, options.count, out)
    elif options.window is not None:
        written = [explain_box(experiment, options, out)]
    else:
        view = filter_view(experiment, options)
        draw = draw_pyramid if options.pyramid else draw_image
        written = [draw(experiment, name, view, out) for name in options.images]
        written = written or [rank_filters(experiment, view, options.split, options.top, out)]
    print(*written, sep="\n")


def filter_view(experiment: Experiment, options: Namespace) -> filters.FilterView:
    """What is looked at: stage and scale by their stride and short side, and what the stage's cells see.

    Raises ValueError for a stride, short side or filter that the run's features have not.
    """
    settings, backbone = experiment.settings.features, experiment.source.extractor().backbone
    stride = settings.stages[-1] if options.stage is None else options.stage
    if stride not in settings.stages:
        raise ValueError(f"--stage: expected one of features.stages {list(settings.stages)}, got {stride}")
    if options.short_side is not None and options.short_side not in settings.short_sides:
        raise ValueError(f"--short-side: expected one of {list(settings.short_sides)}, got {options.short_side}")
    stage = settings.stages.index(stride)
    for channel in options.filter:
        if not 0 <= channel < backbone.channels[stage]:
            raise ValueError(f"--filter: expected 0 to {backbone.channels[stage] - 1}, got {channel}")
    fields = [backbone.receptive_fields()[stage]]
    if options.effective is not None:
        fields.append(backbone.effective_field(stage, options.effective))
    scales = None if options.short_side is None else (settings.short_sides.index(options.short_side),)
    return filters.FilterView(stage, tuple(fields), scales, tuple(options.filter), options.strongest, options.peaks)


def find_image(experiment: Experiment, name: str) -> tuple[AnnotatedImage, np.ndarray]:
    """The data set's image of an id, or a file as an image without objects, and its pixels; ValueError for neither."""
    images = experiment.images
    found = next((image for image in images if image.image_id == name), None)
    if found is None:
        if not os.path.isfile(name):
            raise ValueError(f"--images: expected an id of the data set's {len(images)} images or a file, got {name!r}")
        labels = np.zeros(0, np.int64)
        nothing = np.zeros((0, 4), np.float32), labels, labels.astype(bool)
        found = AnnotatedImage(name, Path(name), image_size(name), *nothing)
    return found, read_image(found.path, found.size)


def _pyramid(experiment: Experiment, image: AnnotatedImage, rgb: np.ndarray) -> FeaturePyramid:
    source = experiment.source
    if image.image_id in source.image_keys:
        return source.pyramid(image)
    with limit_threads(source.threads):
        return source.extractor().pyramid(image.image_id, rgb)


def _stem(image: AnnotatedImage) -> str:
    return image.path.stem if image.image_id == str(image.path) else file_stem(image.image_id)


def draw_image(experiment: Experiment, name: str, view: filters.FilterView, out: Path) -> Path:
    """Draw one image with its filters to OUT/images/NAME-STRIDE.png; returns the file."""
    image, rgb = find_image(experiment, name)
    path = out / "images" / f"{_stem(image)}-stride{experiment.settings.features.stages[view.stage]}.png"
    write_image(path, filters.draw_filters(rgb, _pyramid(experiment, image, rgb), view))
    return path


def draw_pyramid(experiment: Experiment, name: str, view: filters.FilterView, out: Path) -> Path:
    """Draw one filter's map and pyramid at every size to OUT/pyramids/NAME-STRIDE-FILTER.png; returns the file.

    Raises ValueError unless one filter is named.
    """
    if len(view.channels) != 1:
        raise ValueError(f"--pyramid: expected one --filter with it, got {len(view.channels)}")
    image, rgb = find_image(experiment, name)
    settings = experiment.settings.features
    path = out / "pyramids" / f"{_stem(image)}-stride{settings.stages[view.stage]}-filter{view.channels[0]}.png"
    write_image(path, draw_pyramids(rgb, _pyramid(experiment, image, rgb), view, settings.levels))
    return path


def rank_filters(experiment: Experiment, view: filters.FilterView, split: str, top: int, out: Path) -> Path:
    """Rank the images of a split for every filter; all goes to OUT/filters-STRIDE. Returns the page."""
    images = images_of(experiment, split)
    by_id = {one.image_id: one for one in images}
    folder = out / f"filters-stride{experiment.settings.features.stages[view.stage]}"
    ranking = filters.rank_images(experiment.source, images, experiment.classes, view, top, experiment.work)
    if not ranking.groups:
        raise ValueError(f"{split}: expected at least one image that can be read, got none")
    pictures = filters.write_small_images(ranking, by_id, folder / _PICTURES, experiment.work)
    channels = view.channels or tuple(range(ranking.channels))
    names = [filters.ALL, *(name for name in experiment.classes if name in ranking.groups)]
    rows = {
        name: [
            (channel, filters.ranked_boxes(ranking, name, channel, by_id, experiment.source, view))
            for channel in channels
        ]
        for name in names
    }
    filters.filter_sheets(rows[filters.ALL], pictures, folder)
    places = {image_id: index for index, image_id in enumerate(pictures)}
    groups = {
        name: {channel: [(places[one.image_id], one.value, one.boxes) for one in ranked] for channel, ranked in part}
        for name, part in rows.items()
    }
    photos = [(one, f"{_PICTURES}/{quote(path.name)}", by_id[one].size) for one, path in pictures.items()]
    title, subtitle, words = _page_words(experiment, ranking, view, len(images))
    write_text(folder / _PAGE, filter_page(title, subtitle, photos, groups, words))
    return folder / _PAGE


def _page_words(
    experiment: Experiment, ranking: filters.FilterRanking, view: filters.FilterView, count: int
) -> tuple[str, str, list[str]]:
    settings, size = experiment.settings.features, view.fields[0].size
    words = ["The solid rectangle is what the response can see (its receptive field), cut off at the border."]
    if len(view.fields) > 1:
        words.append(f"The dashed one, {view.fields[1].size[0]:g} resized px wide, is where it mostly looks.")
    whole = "the whole image" if not np.isfinite(size[0]) else f"{size[0]:g} x {size[1]:g} px of the resized image"
    sides = settings.short_sides if view.scales is None else [settings.short_sides[one] for one in view.scales]
    return (
        f"Filters of {settings.backbone}, stride {settings.stages[view.stage]}",
        f"{ranking.channels} filters, {count} photos at short sides of {', '.join(map(str, sides))} px; "
        f"a cell sees {whole}",
        words,
    )


def explain_box(experiment: Experiment, options: Namespace, out: Path) -> Path:
    """Print why a box (--window) has its score; returns the figure's file, next to which the same lies as JSON.

    Raises ValueError for an unknown class, a box outside the image and a run without a detector.
    """
    if len(options.images) != 1:
        raise ValueError(f"--window: expected one image (--images ID) with it, got {len(options.images)}")
    try:
        box = np.array([float(one) for one in options.window.split(",")], np.float32)
    except ValueError as error:
        raise ValueError(f"--window: expected x1,y1,x2,y2, got {options.window!r}") from error
    classes, name, source = experiment.classes, options.class_name, experiment.source
    if name is not None and name not in classes:
        raise ValueError(f"--class: expected one of {', '.join(classes)}, got {name!r}")
    (image, rgb), detector = find_image(experiment, options.images[0]), Detector.load(experiment.run.detector)
    if detector.extractor.settings != experiment.settings.features:
        raise ValueError(
            f"{experiment.run.detector}: expected a detector of the features in force; run tools/train_svm.py"
        )
    label = None if name is None else detector.classes.index(name)
    pyramid, own = _pyramid(experiment, image, rgb), image.image_id in source.image_keys
    proposals = source.proposals(image) if own else propose(image.image_id, rgb, detector.proposal_settings)
    explanation = explain_window(detector, image, proposals, pyramid, box, label)
    corners = "-".join(f"{one:g}" for one in explanation.box.tolist())
    path = out / "windows" / f"{_stem(image)}-{corners}-{file_stem(detector.classes[explanation.label])}.png"
    write_image(path, draw_explanation(rgb, explanation, detector.classes, options.channels))
    write_json(path.with_suffix(".json"), explanation_json(explanation, detector.classes, options.channels))
    area = detector.extractor.settings.target_area
    print(*explanation_lines(explanation, detector.classes, area, pyramid.scales), sep="\n")
    return path


def sample_sheets(experiment: Experiment, names: Sequence[str], count: int, out: Path) -> list[Path]:
    """Write OUT/samples/CLASS.png for each class, its positives above its hard negatives; returns the files."""
    absent = [name for name in names if name not in experiment.classes]
    if absent:
        raise ValueError(f"--samples: expected classes among {', '.join(experiment.classes)}, got {absent[0]!r}")
    samples = read_samples(experiment.run.detector / SAMPLES)
    images = {one.image_id: one for one in experiment.train_images}
    unknown = sum(one.name in names and one.image_id not in images for one in samples)
    if unknown:
        experiment.warn(f"{unknown} samples are of photos that the training set has not; they are left out")
    samples = [one for one in samples if one.image_id in images]
    written = {name: out / "samples" / f"{file_stem(name)}.png" for name in names}
    for name, path in written.items():
        kinds = zip(("positives that support its SVM", "hard negatives"), ranked_samples(samples, name), strict=True)
        parts = [
            draw_samples(chosen, images, count, f"{name}: {len(chosen)} {kind}, the hardest first, with their margins")
            for kind, chosen in kinds
        ]
        write_image(path, stacked(parts, 12))
    return list(written.values())


main = experiment_command(__doc__, visualize, add_options)
