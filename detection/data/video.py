"""Frames of a video file in and out, through cv2, which is loaded only when one is used."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.images import MAX_PIXELS
from detection.data.problems import DataError
from detection.storage import atomic_path

VIDEO_EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
# For a file that does not tell its own.
DEFAULT_RATE = 25.0
_CODECS = {".avi": "MJPG"}
_DEFAULT_CODEC = "mp4v"
# MPEG-4 has a rate as a fraction with terms of at most 65,535. cv2 makes one with 1, 10, 100, ... below the line, the
# first that is as near as a thousandth of a frame; below two of them that is 0.
_LARGEST_TERM, _LEAST_RATE = 65_535, 0.002
# Containers that list their frames; the others tell a length, of which cv2 makes a number.
_COUNTING = (".mp4", ".mov", ".m4v", ".avi")


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file's extension is a video's."""
    return Path(path).suffix.lower() in VIDEO_EXTENSIONS


def video_rate(path: str | os.PathLike) -> float:
    """Frames per second of a video file. Raises DataError where it cannot be opened."""
    import cv2

    with _opened(path) as capture:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if np.isfinite(rate) and rate > 0 else DEFAULT_RATE


def written_rate(path: str | os.PathLike, rate: float) -> float:
    """The rate next to `rate` that a video of this name can have, frames per second."""
    if Path(path).suffix.lower() in _CODECS:
        return rate
    rate = min(max(rate, _LEAST_RATE), _LARGEST_TERM)
    digits = next(one for one in (3, 2, 1, 0) if round(rate * 10**one) <= _LARGEST_TERM)
    return round(rate, digits)


def missing_frames(path: str | os.PathLike, count: int) -> str | None:
    """What is to be said of a video of which `count` frames could be read: None, or that it has more, in words."""
    import cv2

    with _opened(path) as capture:
        told = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    slack = 0 if Path(path).suffix.lower() in _COUNTING else 1
    if not np.isfinite(told) or told <= count + slack:
        return None
    return f"the file tells of {told:.0f} frames, {count} could be read: it is cut off or damaged"


def read_video(path: str | os.PathLike, max_pixels: int | None = MAX_PIXELS) -> Iterator[np.ndarray]:
    """The frames of a video file in order, each (H, W, 3) uint8 RGB, C-contiguous.

    A file that is cut off ends early: `missing_frames` tells. Raises DataError where the file cannot be opened or has
    no frame, and for frames of more than `max_pixels`.
    """
    import cv2

    with _opened(path) as capture:
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if max_pixels is not None and width * height > max_pixels:
            message = f"frames of {width:.0f} x {height:.0f} pixels, expected at most {max_pixels:,} (max_pixels)"
            raise DataError("video too large", path, message)
        ok, frame = capture.read()
        if not ok:
            raise DataError("unreadable video", path, "expected at least one frame, got none")
        while ok:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            ok, frame = capture.read()


def write_video(path: str | os.PathLike, frames: Iterable[np.ndarray], rate: float) -> int:
    """Write (H, W, 3) uint8 RGB frames of one size at `rate` frames per second, atomically; their number.

    ``.avi`` is written as Motion JPEG, everything else as MPEG-4, at the rate of `written_rate`. Raises DataError where
    there is no frame, frames differ in size, or cv2 cannot write them.
    """
    import cv2

    path = Path(path)
    codec = cv2.VideoWriter_fourcc(*_CODECS.get(path.suffix.lower(), _DEFAULT_CODEC))
    count, shape, writer = 0, None, None
    with atomic_path(path) as temporary:
        try:
            for frame in frames:
                if writer is None:
                    shape = frame.shape
                    writer = cv2.VideoWriter(str(temporary), codec, written_rate(path, rate), (shape[1], shape[0]))
                    if not writer.isOpened():
                        message = f"cv2 writes no {shape[1]} x {shape[0]} frames at rate {rate:g} under this extension"
                        raise DataError("video that cannot be written", path, message)
                if frame.shape != shape or frame.dtype != np.uint8:
                    got = f"{frame.dtype} {frame.shape}"
                    message = f"frame {count}: expected uint8 of shape {shape}, got {got}"
                    raise DataError("video that cannot be written", path, message)
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                count += 1
        finally:
            if writer is not None:
                writer.release()
        if count == 0:
            raise DataError("video that cannot be written", path, "expected at least one frame, got none")
    return count


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Any]:
    import cv2

    if not Path(path).is_file():
        raise DataError("missing video", path, "no such file")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise DataError("unreadable video", path, "cv2 cannot open it")
        yield capture
    except cv2.error as error:
        raise DataError("unreadable video", path, str(error)) from error
    finally:
        capture.release()
