"""Detections of a run's test split, or of any photos and videos with a saved detector.

With --run: RUN/detections/SPLIT.json (COCO results format; image_id is the split's string, category_id the
line of RUN/classes.txt from 1), the devkit's comp4_det_SPLIT_CLASS.txt beside it, and some drawn images in
RUN/drawings/.

With --model: python tools/detect.py --model RUN/detector IMAGE_OR_FOLDER_OR_VIDEO ... --out FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from detection.commands.detect_files import detect_files
from detection.config import HelpFormatter, exit_status, run_tool
from detection.data import Problems, is_video
from detection.pipeline.experiment import DRAWN_MIN_SCORE, Experiment
from detection.pipeline.stages.detections import detect
from detection.pipeline.stages.drawings import draw
from detection.pipeline.work import Work, default_workers


def detect_split(experiment: Experiment, _: Namespace) -> None:
    """Detect in the test split and draw some of it."""
    detect(experiment)
    draw(experiment)


def model_parser() -> ArgumentParser:
    """The command line with --model."""
    parser = ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--model", required=True, type=str, help="Folder of a saved detector, e.g. RUN/detector.")
    parser.add_argument("paths", nargs="+", type=str, help="Images, folders of images, videos.")
    parser.add_argument("--out", type=str, default="detections", help="Folder for drawn copies and detections.json.")
    parser.add_argument(
        "--min_score",
        type=float,
        default=DRAWN_MIN_SCORE,
        help="Least SVM margin of a detection that is drawn; the JSON holds all.",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="Images or frames worked on at a time; 0: one a processor, at most 4."
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="Threads on each, for its proposals and scales; 0: what the processors have left; results do not change.",
    )
    parser.add_argument("--device", type=str, default="cpu", help="torch device of the convolutions.")
    parser.add_argument("--strict", action="store_true", help="Stop at the first image that cannot be read.")
    return parser


def _is_one_photo(paths: list[str]) -> bool:
    return len(paths) == 1 and Path(paths[0]).is_file() and not is_video(paths[0])


def detect_paths(options: Namespace) -> None:
    """Detect in the user's own files."""
    problems = Problems(options.strict)
    workers = options.workers or (1 if _is_one_photo(options.paths) else default_workers())
    threads = options.threads or max(default_workers() // workers, 1)
    work = Work(workers, threads, options.device, problems)
    found = detect_files(options.model, options.paths, options.out, options.min_score, work)
    shown = sum(int((one.scores >= options.min_score).sum()) for one in found)
    print(f"{options.out}: {len(found)} images, {shown} detections of at least {options.min_score}")
    for one in problems:
        print(f"left out: {one.file}: {one.message}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if any(one == "--model" or one.startswith("--model=") for one in arguments):
        options = model_parser().parse_args(arguments)
        return exit_status(lambda: detect_paths(options))
    return run_tool(__doc__, detect_split, arguments)


if __name__ == "__main__":
    sys.exit(main())
