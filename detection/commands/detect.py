"""Detections of a run's test split, or of any photos and videos with a saved detector.

With --run: RUN/detections/SPLIT.json (COCO results format; image_id is the split's string, category_id the
line of RUN/classes.txt from 1), the devkit's comp4_det_SPLIT_CLASS.txt next to it, and some drawn images in
RUN/drawings/.

With --model: drawn copies of images and videos, detections.json and classes.txt, in OUT.

  sppnet detect --model runs/mine/detector PHOTO.jpg FOLDER VIDEO.mp4 --out found
  sppnet detect --run runs/mine
"""

from argparse import SUPPRESS
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser

from detection import data
from detection.command_line import FLAG, add_function_options, command, function_command
from detection.commands.session import always, run_command
from detection.config import Settings, build_parser
from detection.data.images import MAX_PIXELS
from detection.detector import Detector
from detection.engines import single_threaded_pool
from detection.parallel import ordered_map
from detection.pipeline.stages.detections import detect
from detection.pipeline.stages.drawings import DRAWN_MIN_SCORE, draw
from detection.pipeline.work import Work, default_workers, map_images
from detection.storage import encodable, readable_stems, write_text
from detection.types import Detections
from detection.visualization import draw_detections, enlarge

_OWN = {"paths": {"type": str, "nargs": "+"}, "--strict": FLAG}
# Groups of a run's settings that decide nothing once the detector is trained.
_OF_TRAINING = ("finetune", "svm", "regression", "evaluation", "intervals", "diagnosis", "report")
# Frames a second by which a drawn copy may differ without a word.
_RATE_TOLD = 2e-3


def detect_paths(
    model: str,
    paths: list[str],
    out: str = "detections",
    min_score: float = DRAWN_MIN_SCORE,
    workers: int = 0,
    threads: int = 0,
    device: str = "cpu",
    strict: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> int:
    """Detect in the user's own files; returns the exit status, 1 where one of them could not be read.

    Args:
        model: Folder of a saved detector, e.g. RUN/detector.
        paths: Images, folders of images, videos.
        out: Folder for drawn copies and detections.json.
        min_score: Least SVM margin of a detection that is drawn; the JSON holds all.
        workers: Images or frames worked on at a time; 0: one a processor, at most 4.
        threads: Threads on each, for its proposals and scales; 0: what the processors have left; results do not change.
        device: torch device of the convolutions.
        strict: Stop at the first image that cannot be read.
        max_pixels: Pixels of the largest image or frame that is read; 100 million take some 2 GB.
    """
    one_photo = len(paths) == 1 and Path(paths[0]).is_file() and not data.is_video(paths[0])
    workers = workers or (1 if one_photo else default_workers())
    work = Work(workers, threads or max(default_workers() // workers, 1), device, data.Problems(strict))
    found = detect_files(model, paths, out, min_score, work, max_pixels)
    shown = sum(int((one.scores >= min_score).sum()) for one in found)
    print(f"{out}: {len(found)} images, {shown} detections of at least {min_score}")
    for one in work.problems:
        work.log.warning(f"left out: {one.file}: {one.message}")
    return 1 if work.problems else 0


def detect_files(
    detector_folder: Path | str,
    paths: Sequence[Path | str],
    out: Path | str,
    min_score: float,
    work: Work,
    max_pixels: int | None = MAX_PIXELS,
) -> list[Detections]:
    """Detect in images, folders of images and videos; one record an image or frame.

    Writes to the folder `out`: a drawn copy of each image (``.jpg``; a tiny one enlarged) or video (``.mp4``) with the
    detections of at least `min_score` (SVM margin), ``detections.json`` with all of them (COCO results format; image_id
    is the path, for a video ``PATH#frame``, frames from 0; category_id the line of ``classes.txt`` from 1;
    probability, where the detector was calibrated), and ``classes.txt``. An image or video that cannot be read, or not
    whole, or has more than `max_pixels`, is listed in ``work.problems``. Bytes of names that are no UTF-8 are escaped.

    ``work.workers`` images or frames are worked on at a time, in threads of this process, with ``work.threads``
    threads each for its proposals and scales; no bit depends on either.

    Raises DataError for a path that is not there or a folder without images, ValueError where a drawn copy would
    replace its original, and as ``Detector.load``.
    """
    out, detector = Path(out), Detector.load(detector_folder, work.device)
    videos = data.list_images([path for path in paths if data.is_video(path)])
    images = data.list_images([path for path in paths if not data.is_video(path)])
    targets = _targets([*images, *videos], out)
    detect = partial(_detect, detector=detector, min_score=min_score, threads=work.threads)
    with single_threaded_pool(work.workers) as pool:
        items = [(path, targets[path]) for path in images]
        task = partial(_detect_photo, detect=detect, max_pixels=max_pixels)
        found = [one for _, one in map_images(task, items, replace(work, executor=pool), "detections")]
        for path in videos:
            found += _detect_video(path, targets[path], detect, work, pool, max_pixels)
    chances = None if detector.calibration is None else [detector.calibration.of(one) for one in found]
    data.write_coco_results(out / "detections.json", found, chances)
    write_text(out / "classes.txt", "".join(f"{name}\n" for name in detector.classes))
    return found


def _targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """The drawn copy of each file: under its own name where no other has it, else under its whole path.

    Raises ValueError where a copy would take the place of a file that is read.
    """
    counts = Counter(path.stem for path in paths)
    names = {path: path.stem if counts[path.stem] == 1 else path.as_posix() for path in paths}
    stems = readable_stems(names.values())
    targets = {path: out / f"{stems[name]}{'.mp4' if data.is_video(path) else '.jpg'}" for path, name in names.items()}
    sources = {path.resolve() for path in paths}
    taken = [str(target) for target in targets.values() if target.resolve() in sources]
    if taken:
        raise ValueError(f"{out}: expected another folder than the images', a drawn copy would replace {taken[0]}")
    return targets


def _detect(
    rgb: np.ndarray, image_id: str, detector: Detector, min_score: float, threads: int, as_large: bool = False
) -> tuple[Detections, np.ndarray]:
    """(detections, the image with those of `min_score`, a tiny one enlarged unless `as_large`).

    Margins and labels are those of the image itself, whatever size it is drawn at.
    """
    found = detector.detect(rgb, image_id, threads)
    chances = None if detector.calibration is None else detector.calibration.of(found)
    drawn = (rgb, found) if as_large else enlarge(rgb, found)
    return found, draw_detections(*drawn, detector.classes, min_score, probabilities=chances)


def _detect_photo(item: tuple[Path, Path], detect: Callable, max_pixels: int | None) -> Detections:
    path, target = item
    found, drawn = detect(data.read_image(path, max_pixels=max_pixels), encodable(path.as_posix()))
    data.write_image(target, drawn)
    return found


def _detect_video(
    path: Path, target: Path, detect: Callable, work: Work, pool: Executor, max_pixels: int | None
) -> list[Detections]:
    """The detections of frame i get the id ``PATH#i``."""
    found: list[Detections] = []

    def drawn_frames() -> Iterator[np.ndarray]:
        name, read = encodable(path.as_posix()), data.read_video(path, max_pixels)
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
        return function_command(__doc__, detect_paths, _OWN)(arguments)
    if asked := [one for one in arguments if one in ("--help", "-h", "--help-all")]:
        _help_parser().parse_args(asked)  # prints, and ends the process
    return run_command(__doc__, lambda one: (detect(one), draw(one)), needs_run=always)(arguments)


main = command(_run)
