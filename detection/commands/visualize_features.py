"""What tools/visualize_features.py does with a run: finds images and detector, makes the pictures, writes the files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from detection.data import image_size, read_image, write_image
from detection.detector import Detector
from detection.engines import limit_threads
from detection.inspection.explanation import draw_explanation, explanation_json, explanation_lines
from detection.inspection.filters import (
    ALL,
    FilterRanking,
    FilterView,
    draw_filters,
    filter_sheets,
    rank_images,
    ranked_boxes,
    write_small_images,
)
from detection.inspection.filters_page import filter_page
from detection.inspection.pyramids import draw_pyramids
from detection.inspection.samples import draw_samples, ranked_samples, read_samples
from detection.inspection.windows import explain_window
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.svms import SAMPLES
from detection.proposals import propose
from detection.storage import file_stem, write_json, write_text
from detection.types import AnnotatedImage, FeaturePyramid, Proposals
from detection.visualization import stacked

_PAGE, _PICTURES = "index.html", "photos"


def filter_view(
    experiment: Experiment,
    stride: int | None = None,
    short_side: int | None = None,
    effective: float | None = None,
    channels: tuple[int, ...] = (),
    strongest: int = 3,
    peaks: int = 3,
) -> FilterView:
    """What is looked at: stage and scale by their stride and short side, and what the stage's cells see.

    Raises ValueError for a stride, short side or filter that the run's features have not, and for counts < 1.
    """
    settings, backbone = experiment.settings.features, experiment.source.extractor().backbone
    stride = settings.stages[-1] if stride is None else stride
    if stride not in settings.stages:
        raise ValueError(f"--stage: expected one of features.stages {list(settings.stages)}, got {stride}")
    if short_side is not None and short_side not in settings.short_sides:
        raise ValueError(f"--short-side: expected one of {list(settings.short_sides)}, got {short_side}")
    for name, count in (("--strongest", strongest), ("--peaks", peaks)):
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}")
    stage = settings.stages.index(stride)
    for channel in channels:
        if not 0 <= channel < backbone.channels[stage]:
            raise ValueError(f"--filter: expected 0 to {backbone.channels[stage] - 1}, got {channel}")
    fields = [backbone.receptive_fields()[stage]]
    if effective is not None:
        fields.append(backbone.effective_field(stage, effective))
    scales = None if short_side is None else (settings.short_sides.index(short_side),)
    return FilterView(stage, tuple(fields), scales, channels, strongest, peaks)


def find_image(experiment: Experiment, name: str) -> AnnotatedImage:
    """The data set's image of an id, or a file as an image without objects. Raises ValueError for neither."""
    for image in experiment.images:
        if image.image_id == name:
            return image
    if os.path.isfile(name):
        nothing = np.zeros(0, np.int64)
        return AnnotatedImage(
            name, Path(name), image_size(name), np.zeros((0, 4), np.float32), nothing, nothing.astype(bool)
        )
    raise ValueError(
        f"--images: expected an id of the data set's {len(experiment.images)} images or a file, got {name!r}"
    )


def _pyramid(experiment: Experiment, image: AnnotatedImage, rgb: np.ndarray) -> FeaturePyramid:
    source = experiment.source
    if image.image_id in source.image_keys:
        return source.pyramid(image)
    with limit_threads(source.threads):
        return source.extractor().pyramid(image.image_id, rgb)


def _windows(experiment: Experiment, image: AnnotatedImage, rgb: np.ndarray, detector: Detector) -> Proposals:
    if image.image_id in experiment.source.image_keys:
        return experiment.source.windows(image)
    return propose(image.image_id, rgb, detector.proposal_settings)


def _stem(image: AnnotatedImage) -> str:
    return image.path.stem if image.image_id == str(image.path) else file_stem(image.image_id)


def draw_image(experiment: Experiment, name: str, view: FilterView, out: Path) -> Path:
    """Draw one image with its filters to OUT/images/NAME-STRIDE.png; returns the file."""
    image = find_image(experiment, name)
    rgb = read_image(image.path, image.size)
    path = out / "images" / f"{_stem(image)}-stride{experiment.settings.features.stages[view.stage]}.png"
    write_image(path, draw_filters(rgb, _pyramid(experiment, image, rgb), view))
    return path


def draw_pyramid(experiment: Experiment, name: str, view: FilterView, out: Path) -> Path:
    """Draw one filter's map and pyramid at every size to OUT/pyramids/NAME-STRIDE-FILTER.png; returns the file.

    Raises ValueError unless one filter is named.
    """
    if len(view.channels) != 1:
        raise ValueError(f"--pyramid: expected one --filter beside it, got {len(view.channels)}")
    image = find_image(experiment, name)
    rgb = read_image(image.path, image.size)
    settings = experiment.settings.features
    path = out / "pyramids" / f"{_stem(image)}-stride{settings.stages[view.stage]}-filter{view.channels[0]}.png"
    write_image(path, draw_pyramids(rgb, _pyramid(experiment, image, rgb), view, settings.levels))
    return path


def rank_filters(experiment: Experiment, view: FilterView, split: str, top: int, out: Path) -> Path:
    """Rank the images of a split for every filter; all goes to OUT/filters-STRIDE. Returns the page."""
    images = {"train": experiment.train_images, "test": experiment.test_images, "all": experiment.images}[split]
    by_id = {one.image_id: one for one in images}
    stride = experiment.settings.features.stages[view.stage]
    folder = out / f"filters-stride{stride}"
    ranking = rank_images(experiment.source, images, experiment.classes, view, top, experiment.work)
    if not ranking.groups:
        raise ValueError(f"{split}: expected at least one image that can be read, got none")
    pictures = write_small_images(ranking, by_id, folder / _PICTURES, experiment.work)
    channels = view.channels or tuple(range(ranking.channels))
    names = [ALL, *(name for name in experiment.classes if name in ranking.groups)]
    rows = {
        name: [(channel, ranked_boxes(ranking, name, channel, by_id, experiment.source, view)) for channel in channels]
        for name in names
    }
    filter_sheets(rows[ALL], pictures, folder)
    write_text(folder / _PAGE, _page(experiment, ranking, rows, by_id, pictures, folder, view, len(images)))
    return folder / _PAGE


def _page(experiment, ranking: FilterRanking, rows, by_id, pictures, folder, view: FilterView, count: int) -> str:
    places = {image_id: index for index, image_id in enumerate(pictures)}
    groups = {
        name: {channel: [(places[one.image_id], one.value, one.boxes) for one in ranked] for channel, ranked in part}
        for name, part in rows.items()
    }
    photos = [(one, f"{_PICTURES}/{quote(path.name)}", by_id[one].size) for one, path in pictures.items()]
    settings = experiment.settings.features
    stride = settings.stages[view.stage]
    size = view.fields[0].size
    words = ["The solid rectangle is what the response can see (its receptive field), cut off at the border."]
    if len(view.fields) > 1:
        words.append(f"The dashed one, {view.fields[1].size[0]:g} resized px wide, is where it mostly looks.")
    whole = "the whole image" if not np.isfinite(size[0]) else f"{size[0]:g} x {size[1]:g} px of the resized image"
    sides = settings.short_sides if view.scales is None else [settings.short_sides[one] for one in view.scales]
    return filter_page(
        f"Filters of {settings.backbone}, stride {stride}",
        f"{ranking.channels} filters, {count} photos at short sides of {', '.join(map(str, sides))} px; "
        f"a cell sees {whole}",
        photos,
        groups,
        words,
    )


def explain_box(
    experiment: Experiment, name: str, box: np.ndarray, class_name: str | None, channels: int, out: Path
) -> tuple[list[str], Path]:
    """Tell why a box has its score; (lines to print, the figure's file), beside which the same lies as JSON.

    Raises ValueError for an unknown class, a box outside the image and a run without a detector.
    """
    if class_name is not None and class_name not in experiment.classes:
        raise ValueError(f"--class: expected one of {', '.join(experiment.classes)}, got {class_name!r}")
    image, detector = find_image(experiment, name), Detector.load(experiment.run.detector)
    if detector.extractor.settings != experiment.settings.features:
        raise ValueError(
            f"{experiment.run.detector}: expected a detector of the features in force; run tools/train_svm.py"
        )
    rgb = read_image(image.path, image.size)
    label = None if class_name is None else detector.classes.index(class_name)
    pyramid = _pyramid(experiment, image, rgb)
    explanation = explain_window(detector, image, _windows(experiment, image, rgb, detector), pyramid, box, label)
    target = detector.extractor.settings.target_area
    corners = "-".join(f"{one:g}" for one in explanation.box.tolist())
    path = out / "windows" / f"{_stem(image)}-{corners}-{file_stem(detector.classes[explanation.label])}.png"
    write_image(path, draw_explanation(rgb, explanation, detector.classes, channels))
    write_json(path.with_suffix(".json"), explanation_json(explanation, detector.classes, channels))
    return explanation_lines(explanation, detector.classes, target, pyramid.scales), path


def sample_sheets(experiment: Experiment, names: Sequence[str], count: int, out: Path) -> list[Path]:
    """Write OUT/samples/CLASS.png for each class, its positives above its hard negatives; returns the files."""
    unknown = [name for name in names if name not in experiment.classes]
    if unknown:
        raise ValueError(f"--samples: expected classes among {', '.join(experiment.classes)}, got {unknown[0]!r}")
    if count < 1:
        raise ValueError(f"--count: expected at least 1, got {count}")
    samples = read_samples(experiment.run.detector / SAMPLES)
    images = {one.image_id: one for one in experiment.train_images}
    written = []
    strangers = sum(one.name in names and one.image_id not in images for one in samples)
    if strangers:
        experiment.warn(f"{strangers} samples are of photos that the training set has not; they are left out")
    samples = [one for one in samples if one.image_id in images]
    for name in names:
        positives, negatives = ranked_samples(samples, name)
        parts = [
            draw_samples(chosen, images, count, f"{name}: {len(chosen)} {kind}, the hardest first, with their margins")
            for kind, chosen in (("positives that support its SVM", positives), ("hard negatives", negatives))
        ]
        path = out / "samples" / f"{file_stem(name)}.png"
        write_image(path, stacked(parts, 12))
        written.append(path)
    return written
