"""Selective search against OpenCV's, in one process and one thread: CPU time, recall, and agreement with proposals of
the original MATLAB code.

Recall: of the objects of VOC 2007's test split that are not difficult, with a standard error by resampling images.
Agreement: of photos NAME.jpg with proposals NAME_boxes.mat in the same folder.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import cv2
import numpy as np
from benchmarks.harness import Row, Tables, progress, take_turns, timing_rows
from benchmarks.inputs import Photo, matlab_photos, sample_paths
from jsonargparse.typing import PositiveInt

from detection.data import VOC_CLASSES, DatasetSource, Problems, load_annotations, read_image
from detection.geometry import iou
from detection.proposals import ProposalSettings, selective_search
from detection.proposals.quality import overlaps_by_count

Method = Callable[[np.ndarray], np.ndarray]

# For recall: proposals with both sides of so many px, the first so many of every image. 1,129 is the mean number that
# OpenCV's fast mode has on the photos of the first measurement.
MIN_SIDE, BUDGETS = 20, (2000, 1129)
RECALL_IOUS, AGREEMENT_IOUS = (0.5, 0.7), (0.9, 0.7)
AGREEMENT_LIMIT, RESAMPLES = 4300, 1000
OPENCV = "OpenCV fast"


def opencv_fast(rgb: np.ndarray) -> np.ndarray:
    """All proposals of OpenCV's fast mode in its own order: (R, 4) float32 half-open."""
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(rgb[:, :, ::-1]))
    search.switchToSelectiveSearchFast()
    boxes = np.asarray(search.process(), dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def methods_of(presets: Sequence[str]) -> dict[str, Method]:
    """Name -> all proposals of a photo, whatever their size; OpenCV's where its contributed modules are installed."""
    every = {one: ProposalSettings(preset=one, min_side=0, max_windows=None) for one in presets}
    found = {name: partial(selective_search, settings=settings) for name, settings in every.items()}
    if hasattr(cv2, "ximgproc"):
        return {OPENCV: opencv_fast, **found}
    print("OpenCV is here without its contributed modules (cv2.ximgproc): nothing to compare with; see make bench")
    return found


def time_rows(methods: Mapping[str, Method], photos: Mapping[str, np.ndarray], repeats: int) -> list[Row]:
    """Median CPU seconds of each method on each photo."""
    rows = []
    for photo, rgb in photos.items():
        timings = take_turns({name: partial(method, rgb) for name, method in methods.items()}, repeats, photo)
        found = timing_rows(timings, OPENCV, photo=photo, size=rgb.shape[:2])
        rows += [row | {"proposals": len(timings[row["method"]].result)} for row in found]
    return rows


def recall_rows(methods: Mapping[str, Method], voc: str, limit: int | None) -> list[Row]:
    """Recall and MABO of each method at each budget on VOC 2007's test split."""
    source, rows = DatasetSource("VOC2007", "test", voc), []
    images = load_annotations([source], VOC_CLASSES, Problems())[:limit]
    labels = [image.labels[~image.difficult] for image in images]
    for name, method in methods.items():
        tables, counts = [], []
        for image in images:
            boxes = method(read_image(image.path, image.size))
            boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(axis=1)]
            tables.append(overlaps_by_count(boxes, image.boxes[~image.difficult], BUDGETS))
            counts.append(len(boxes))
            progress(f"{name}: {len(counts)}/{len(images)} photos")
        for column, budget in enumerate(BUDGETS):
            proposals = float(np.mean(np.minimum(counts, budget)))
            row = {"method": name, "at_most": budget, "photos": len(images), "proposals": proposals}
            rows.append(row | coverage([table[:, column] for table in tables], labels))
    progress("")
    return rows


def coverage(best: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Row:
    """Recall and MABO of the best overlap of each object, an array an image, with standard errors over the images."""

    def figures(images: np.ndarray) -> list[float]:
        overlap, label = (np.concatenate([part[image] for image in images]) for part in (best, labels))
        by_class = np.bincount(label, overlap)[np.unique(label)] / np.bincount(label)[np.unique(label)]
        return [*((overlap >= one).mean() for one in RECALL_IOUS), by_class.mean()]

    every, rng = np.arange(len(best)), np.random.default_rng(0)
    errors = np.std([figures(rng.choice(every, len(best))) for _ in range(RESAMPLES)], axis=0)
    row: Row = {"objects": sum(map(len, best))}
    names = (*(f"recall_{one:g}" for one in RECALL_IOUS), "mabo")
    for name, value, error in zip(names, figures(every), errors, strict=True):
        row |= {name: float(value), f"{name}_error": float(error)}
    return row


def agreement_rows(methods: Mapping[str, Method], photos: Sequence[Photo]) -> list[Row]:
    """Share of the MATLAB proposals of each photo that each method finds at each IoU."""
    rows = []
    for photo in photos:
        for name, method in methods.items():
            overlaps = iou(photo.boxes, method(photo.rgb)[:AGREEMENT_LIMIT])
            row = {"photo": photo.name, "matlab_proposals": len(photo.boxes), "method": name}
            row["proposals"] = overlaps.shape[1]
            rows.append(row | {f"found_{one:g}": float((overlaps.max(axis=1) >= one).mean()) for one in AGREEMENT_IOUS})
    return rows


def benchmark(
    voc: str | None = None,
    matlab: str | None = None,
    presets: tuple[str, ...] = ("fast", "diverse", "texture"),
    repeats: PositiveInt = 5,
    limit: PositiveInt | None = None,
) -> Tables:
    """Measure selective search against OpenCV's (opencv-contrib), one thread; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC 2007 devkit, for recall. None: no recall.
        matlab: Folder with photos NAME.jpg and the original code's proposals NAME_boxes.mat; also the photos that are
            timed. None: no agreement, and scikit-learn's two sample photos are timed.
        presets: Presets of selective search.
        repeats: Runs of each method on each photo that is timed.
        limit: Photos of the split for recall; None: all.
    """
    cv2.setNumThreads(1)
    methods, theirs = methods_of(presets), [] if matlab is None else matlab_photos(matlab)
    photos = {one.name: one.rgb for one in theirs} or {path.name: read_image(path) for path in sample_paths()}
    yield "CPU time of one thread", time_rows(methods, photos, repeats)
    if voc is not None:
        yield f"Recall, proposals of {MIN_SIDE} px and more", recall_rows(methods, voc, limit)
    if theirs:
        title = f"Proposals of the original MATLAB code, first {AGREEMENT_LIMIT} of all sizes"
        yield title, agreement_rows(methods, theirs)
