"""Detections of a run's test split, or of any photos and videos with a saved detector.

With --run: RUN/detections/SPLIT.json (COCO results format; image_id is the split's string, category_id the
line of RUN/classes.txt from 1) and the devkit's comp4_det_SPLIT_CLASS.txt next to it; in RUN/drawings/ some drawn
images, and detections.csv and counts.csv as below.

With --model, in OUT: drawn copies of photos and videos; detections.csv (a line a box) and counts.csv (a line a photo)
of what reaches its class's threshold, which training chose; detections.json with all that was found.

  sppnet detect --model runs/mine/detector PHOTO.jpg FOLDER VIDEO.mp4 --out found
  sppnet detect --model runs/mine/detector FOLDER --out found --threshold 0.8 --labels cvat
  sppnet detect --run runs/mine
"""

from argparse import SUPPRESS
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jsonargparse import ArgumentParser

from detection import data
from detection.command_line import FLAG, add_function_options, command, function_command
from detection.commands.found_files import (
    CHOSEN,
    Least,
    drawn_copies,
    labels_folder,
    photo_id,
    write_found,
    write_labels,
)
from detection.commands.renamed import renamed_options
from detection.commands.session import always, run_command
from detection.config import Settings, build_parser
from detection.data.draft_labels import check_drafts
from detection.data.images import MAX_PIXELS
from detection.detector import Detector
from detection.detector_files import read_description
from detection.engines import single_threaded_pool
from detection.parallel import OrderedMap, ordered_map, over
from detection.pipeline.executors import dask_workers, scheduler_address
from detection.pipeline.stages.detections import detect, shared_detector
from detection.pipeline.stages.drawings import draw
from detection.pipeline.work import Work, default_workers, map_images
from detection.storage import fingerprint
from detection.types import Detections
from detection.visualization import draw_detections, enlarge

_OWN = {"paths": {"type": str, "nargs": "+"}, "--strict": FLAG}
_RENAMED = {"--min_score": "--margin"}
# Groups of a run's settings that decide nothing once the detector is trained.
_OF_TRAINING = ("finetune", "svm", "regression", "calibration", "evaluation", "intervals", "diagnosis", "report")
# Frames a second by which a drawn copy may differ without a word.
_RATE_TOLD = 2e-3


def detect_paths(
    model: str,
    paths: list[str],
    out: str = "detections",
    threshold: float | None = None,
    margin: float | None = None,
    labels: str | None = None,
    workers: int = 0,
    threads: int = 0,
    device: str = "cpu",
    strict: bool = False,
    max_pixels: int = MAX_PIXELS,
    scheduler: str | None = None,
    mixed_processors: bool = False,
) -> int:
    """Detect in the user's own files; returns the exit status, 1 where one of them could not be read.

    Args:
        model: Folder of a saved detector, e.g. RUN/detector.
        paths: Images, folders of images with all of their subfolders, videos.
        out: Folder for drawn copies, detections.csv, counts.csv and detections.json.
        threshold: Least probability (0 to 1) of a detection that is drawn, listed and counted; null: what was chosen
            for each class when the detector was trained.
        margin: The same as an SVM margin, in place of --threshold.
        labels: Write what is drawn as draft labels too, to be corrected and trained on, in OUT/labels-FORMAT:
            folder (XML beside the photos), voc, coco, yolo or labelstudio, each with the photos, linked or copied; or
            cvat, a file to import.
        workers: Images or frames worked on at a time; 0: one a processor, at most 4.
        threads: Threads on each, for its proposals and scales; 0: what the processors have left; results do not change.
        device: torch device of the convolutions.
        strict: Stop at the first image that cannot be read.
        max_pixels: Pixels of the largest image or frame that is read; 100 million take some 2 GB.
        scheduler: Address of a Dask scheduler whose workers work on the images (not on videos). null: what
            DASK_SCHEDULER_ADDRESS in the environment says.
        mixed_processors: Take workers with other processors than this machine's, which change the last bits.
    """
    one_photo = len(paths) == 1 and Path(paths[0]).is_file() and not data.is_video(paths[0])
    workers = workers or (1 if one_photo else default_workers())
    threads = threads or max(default_workers() // workers, 1)
    work = Work(workers, threads, device, problems=data.Problems(strict))
    least = Least(threshold, margin)
    address = scheduler_address(scheduler)
    with dask_workers(address, Path(out), mixed_processors) if address else nullcontext() as cluster:
        found = detect_files(model, paths, out, work, least, max_pixels, labels, cluster)
    print(f"{out}: {len(found)} images, {sum(len(one.labels) for one in found)} detections {least}")
    for one in work.problems:
        work.log.warning(f"left out: {one.file}: {one.message}")
    return 1 if work.problems else 0


def detect_files(
    detector_folder: Path | str,
    paths: Sequence[Path | str],
    out: Path | str,
    work: Work,
    least: Least = CHOSEN,
    max_pixels: int | None = MAX_PIXELS,
    labels: str | None = None,
    cluster: OrderedMap | None = None,
) -> list[Detections]:
    """Detect in images, folders of images and videos; one record an image or frame of what reaches `least`.

    Writes to the folder `out` a drawn copy of each image (``.jpg``; a tiny one enlarged) or video (``.mp4``) with these
    detections, in subfolders as the input has them, and the files of `write_found`. An image or video that cannot be
    read, or not whole, or has more than `max_pixels`, is listed in ``work.problems``. Bytes of names that are no UTF-8
    are escaped. image_id is the path, for a video ``PATH#frame``, frames from 0.

    ``work.workers`` images or frames are worked on at a time, in threads of this process, with ``work.threads``
    threads each for its proposals and scales; no bit depends on either. cluster: works on the images instead.

    labels: format of draft labels to be written too, see `write_labels`.

    Raises DataError for a path that is not there or a folder without images, ValueError where a drawn copy would
    replace its original, and as ``Detector.load`` and ``check_drafts``.
    """
    out, detector = Path(out), Detector.load(detector_folder, work.device)
    targets = drawn_copies(paths, out)
    if labels is not None:
        check_drafts(labels_folder(out, labels), labels)
    detect = partial(_detect, least=least, threads=1 if cluster else work.threads)
    key = fingerprint(read_description(detector_folder))
    # In another process it is loaded, once.
    load = partial(shared_detector, Path(detector_folder).absolute(), key, work.device) if cluster else lambda: detector
    with single_threaded_pool(work.workers) as pool:
        items = [
            _Photo(photo_id(path), path.absolute(), target.absolute())
            for path, target in targets.items()
            if not data.is_video(path)
        ]
        task = partial(_detect_photo, load=load, detect=detect, max_pixels=max_pixels)
        of_photos = replace(work, executor=cluster or over(pool, work.workers))
        found = [one for _, one in map_images(task, items, of_photos, "detections")]
        for path, target in targets.items():
            if data.is_video(path):
                found += _detect_video(path, target, partial(detect, detector=detector), work, pool, max_pixels)
    shown = [one.chosen(least.reached(detector, one)) for one in found]
    write_found(out, found, shown, detector)
    if labels is not None:
        write_labels(out, labels, shown, detector.classes, targets)
    return shown


class _Photo(NamedTuple):
    """image_id: what it is called. path, target: where it and its drawn copy lie, whatever the working folder."""

    image_id: str
    path: Path
    target: Path


def _detect(
    rgb: np.ndarray, image_id: str, detector: Detector, least: Least, threads: int, as_large: bool = False
) -> tuple[Detections, np.ndarray]:
    """(detections, the image with those that reach `least`, a tiny one enlarged unless `as_large`).

    Margins and labels are those of the image itself, whatever size it is drawn at.
    """
    found = detector.detect(rgb, image_id, threads)
    shown = found.chosen(least.reached(detector, found))
    drawn = (rgb, shown) if as_large else enlarge(rgb, shown)
    return found, draw_detections(*drawn, detector.classes, rough=~detector.sigmoids.trained)


def _detect_photo(photo: _Photo, load: Callable[[], Detector], detect: Callable, max_pixels: int | None) -> Detections:
    found, drawn = detect(data.read_image(photo.path, max_pixels=max_pixels), photo.image_id, detector=load())
    data.write_image(photo.target, drawn)
    return found


def _detect_video(
    path: Path, target: Path, detect: Callable, work: Work, pool: Executor, max_pixels: int | None
) -> list[Detections]:
    """The detections of frame i get the id ``PATH#i``."""
    found: list[Detections] = []

    def drawn_frames() -> Iterator[np.ndarray]:
        name, read = photo_id(path), data.read_video(path, max_pixels)
        frames = ((rgb, f"{name}#{number}") for number, rgb in enumerate(read))
        for detections, drawn in ordered_map(lambda one: detect(*one, as_large=True), frames, pool, work.workers):
            found.append(detections)
            yield drawn

    work.log.info(f"{path} ...")
    try:
        rate = data.video_rate(path)
        data.write_video(target, drawn_frames(), rate)
        written = data.written_rate(target, rate)
        if abs(written - rate) > _RATE_TOLD:
            work.log.info(f"{target}: {written:g} frames a second, not {rate:.6g}: MPEG-4 has none nearer")
        if lost := data.missing_frames(path, len(found)):
            work.problems.skip("video that ends early", path, lost)
    except data.DataError as error:
        work.problems.skip_error(error)
    return found


def _help_parser() -> ArgumentParser:
    """What ``--help`` shows: the options with --model, then those with --run, without what is for training alone."""

    def add_own(parser: ArgumentParser) -> None:
        shared = {one.name for one in fields(Settings)}
        own = {name: more for name, more in _OWN.items() if name.lstrip("-") not in shared}
        add_function_options(parser, detect_paths, own, given=0, left_out=shared)

    parser = build_parser(__doc__ or "", add_own)
    for action in parser._actions:
        if action.dest.split(".")[0] in _OF_TRAINING:
            action.help = SUPPRESS
        action.required = False  # with --run there is no model
    return parser


def _run(arguments: list[str]) -> int:
    if any(one.split("=")[0] == "--model" for one in arguments):
        arguments = renamed_options(arguments, _RENAMED)
        return function_command(__doc__, detect_paths, _OWN)(arguments)
    if asked := [one for one in arguments if one in ("--help", "-h", "--help-all")]:
        _help_parser().parse_args(asked)  # prints, and ends the process
    return run_command(__doc__, lambda one: (detect(one), draw(one)), needs_run=always)(arguments)


main = command(_run)
