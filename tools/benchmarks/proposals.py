"""Selective search against OpenCV's, in one process and one thread: CPU time, recall, agreement with MATLAB's
proposals.

Time: the methods take turns on every photo, so that whatever else the machine does hits all of them; what counts is
the process's CPU time. Recall: of the objects of a VOC split that are not marked difficult, with a standard error
by resampling images. Agreement: of photos NAME.jpg with proposals NAME_boxes.mat beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.inputs import sample_photos
from benchmarks.measure import keep, progress, run, take_turns

from detection.data import VOC_CLASSES, DatasetSource, Problems, image_size, load_annotations, read_image
from detection.geometry import iou
from detection.proposals import PRESETS, ProposalSettings, selective_search
from detection.proposals.foreign import match_proposals, read_proposals
from detection.proposals.quality import overlaps_by_count

Method = Callable[[np.ndarray], np.ndarray]

# What is measured: proposals with both sides of so many px, the first so many of every image. 1,129 is the mean number
# that OpenCV's fast mode has on the photos of the first measurement.
MIN_SIDE = 20
BUDGETS = (2000, 1129)
RECALL_IOUS = (0.5, 0.7)
AGREEMENT_IOUS = (0.9, 0.7)
AGREEMENT_LIMIT = 4300
OPENCV = "OpenCV fast"
RESAMPLES = 1000


def opencv_fast(rgb: np.ndarray) -> np.ndarray:
    """All proposals of OpenCV's fast mode in its own order: (R, 4) float32 half-open."""
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(rgb[:, :, ::-1]))
    search.switchToSelectiveSearchFast()
    boxes = np.asarray(search.process(), dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def own(preset: str) -> Method:
    """Selective search of this package: all proposals of a preset, by priority, whatever their size."""
    settings = ProposalSettings(preset=preset, min_side=0, max_windows=None)
    return lambda rgb: selective_search(rgb, settings)


def methods_of(presets: Sequence[str]) -> dict[str, Method]:
    """Name -> method; OpenCV's where its contributed modules are installed."""
    found = {preset: own(preset) for preset in presets}
    if hasattr(cv2, "ximgproc"):
        return {OPENCV: opencv_fast} | found
    print("OpenCV is here without its contributed modules (cv2.ximgproc): nothing to compare with; see make bench")
    return found


def cpu_times(methods: Mapping[str, Method], photos: Mapping[str, np.ndarray], repeats: int) -> list[dict[str, Any]]:
    """CPU seconds of each method on each photo: median and least of `repeats` runs, the methods taking turns."""
    rows = []
    for photo, rgb in photos.items():
        timings = take_turns({name: partial(method, rgb) for name, method in methods.items()}, repeats, photo)
        for name, timing in timings.items():
            row = {"photo": photo, "size": list(rgb.shape[:2]), "method": name, "proposals": len(methods[name](rgb))}
            row |= {"median_s": timing.cpu_s, "least_s": min(timing.cpu)}
            if OPENCV in timings:
                row["times_faster"] = timings[OPENCV].cpu_s / timing.cpu_s
            rows.append(row)
    return rows


def large_enough(boxes: np.ndarray) -> np.ndarray:
    """The proposals with both sides of MIN_SIDE px or more."""
    return boxes[(boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(axis=1)]


def recall_rows(methods: Mapping[str, Method], root: str, year: str, split: str, limit: int | None) -> list[dict]:
    """Recall and MABO of each method at each budget on a VOC split."""
    images = load_annotations([DatasetSource(year, split, root)], VOC_CLASSES, Problems())[:limit]
    rows = []
    for name, method in methods.items():
        tables, labels, counts = [], [], []
        for place, image in enumerate(images):
            boxes = large_enough(method(read_image(image.path, image.size)))
            keep = ~image.difficult
            tables.append(overlaps_by_count(boxes, image.boxes[keep], BUDGETS))
            labels.append(image.labels[keep])
            counts.append(len(boxes))
            progress(f"{name}: {place + 1}/{len(images)} photos")
        for column, budget in enumerate(BUDGETS):
            proposals = float(np.mean(np.minimum(counts, budget)))
            row = {"method": name, "at_most": budget, "photos": len(images), "proposals": proposals}
            rows.append(row | coverage([table[:, column] for table in tables], labels))
    progress("")
    return rows


def coverage(best: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> dict[str, Any]:
    """Recall, mean best overlap over objects, and over classes (MABO), each with its standard error over images."""

    def figures(chosen: np.ndarray) -> list[float]:
        overlap = np.concatenate([best[i] for i in chosen])
        label = np.concatenate([labels[i] for i in chosen])
        by_class = np.bincount(label, overlap)[np.unique(label)] / np.bincount(label)[np.unique(label)]
        return [*((overlap >= one).mean() for one in RECALL_IOUS), overlap.mean(), by_class.mean()]

    names = [*(f"recall_{one:g}" for one in RECALL_IOUS), "mean_best_overlap", "mabo"]
    everything = np.arange(len(best))
    rng = np.random.default_rng(0)
    spread = np.std([figures(rng.choice(everything, len(best))) for _ in range(RESAMPLES)], axis=0)
    values = {name: float(value) for name, value in zip(names, figures(everything), strict=True)}
    errors = {f"{name}_error": float(value) for name, value in zip(names, spread, strict=True)}
    return {"objects": int(sum(map(len, best)))} | values | errors


def agreement_rows(methods: Mapping[str, Method], folder: str) -> list[dict]:
    """Share of the MATLAB proposals of each photo that each method has at each IoU, and the other way round."""
    rows = []
    for path in sorted(Path(folder).glob("*_boxes.mat")):
        photo = path.with_name(path.name.replace("_boxes.mat", ".jpg"))
        file = read_proposals(path)
        match_proposals(file, [photo.stem])
        theirs, rgb = file.convention.to_half_open(file.boxes[0]), read_image(photo, image_size(photo))
        for name, method in methods.items():
            overlaps = iou(theirs, method(rgb)[:AGREEMENT_LIMIT])
            row = {"photo": photo.name, "matlab_proposals": len(theirs), "method": name, "proposals": overlaps.shape[1]}
            row |= {f"found_{one:g}": float((overlaps.max(axis=1) >= one).mean()) for one in AGREEMENT_IOUS}
            row |= {f"confirmed_{one:g}": float((overlaps.max(axis=0) >= one).mean()) for one in AGREEMENT_IOUS}
            rows.append(row)
    return rows


def benchmark(
    voc: str | None = None,
    year: str = "VOC2007",
    split: str = "test",
    matlab: str | None = None,
    presets: list[str] = ["fast", "diverse"],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    agreement_presets: list[str] = ["fast", "diverse", "texture"],  # noqa: B006
    repeats: int = 5,
    limit: int | None = None,
    out: str = "runs/benchmark",
) -> None:
    """Measure selective search against OpenCV's (opencv-contrib), one thread; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC devkit, for recall. None: no recall.
        year: Name of the year folder.
        split: Split whose photos are used.
        matlab: Folder with photos NAME.jpg and the original code's proposals NAME_boxes.mat; also the photos that are
            timed. None: no agreement, and scikit-learn's two sample photos are timed.
        presets: Presets measured for time and recall.
        agreement_presets: Presets compared with the original code's proposals.
        repeats: Runs of each method on each photo that is timed.
        limit: Photos of the split for recall; None: all.
        out: Folder of benchmark.json and benchmark.md.
    """
    unknown = [one for one in [*presets, *agreement_presets] if one not in PRESETS]
    if unknown or repeats < 1:
        raise ValueError(f"presets: expected some of {', '.join(PRESETS)}, repeats >= 1; got {unknown}, {repeats}")
    cv2.setNumThreads(1)
    methods = methods_of(presets)
    photos = sample_photos()
    if matlab is not None:
        paths = sorted(path for path in Path(matlab).glob("*.jpg"))
        photos = {path.name: read_image(path) for path in paths}
    tables = {
        "CPU time of one thread": cpu_times(methods, photos, repeats),
        f"Recall, proposals of {MIN_SIDE} px and more": []
        if voc is None
        else recall_rows(methods, voc, year, split, limit),
        f"Proposals of the original MATLAB code, first {AGREEMENT_LIMIT} of all sizes": []
        if matlab is None
        else agreement_rows(methods_of(agreement_presets), matlab),
    }
    keep(out, "proposals", tables)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "proposals", arguments)
