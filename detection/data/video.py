"""Frames of a video file in and out, through cv2, which is loaded only when one is used."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.problems import DataError
from detection.storage import atomic_path

VIDEO_EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
# For a file that does not tell its own.
DEFAULT_RATE = 25.0
_CODECS = {".avi": "MJPG"}
_DEFAULT_CODEC = "mp4v"


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file's extension is a video's."""
    return Path(path).suffix.lower() in VIDEO_EXTENSIONS


def video_rate(path: str | os.PathLike) -> float:
    """Frames per second of a video file. Raises DataError where it cannot be opened."""
    import cv2

    with _opened(path) as capture:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if np.isfinite(rate) and rate > 0 else DEFAULT_RATE


def read_video(path: str | os.PathLike) -> Iterator[np.ndarray]:
    """The frames of a video file in order, each (H, W, 3) uint8 RGB, C-contiguous.

    A file that is cut off ends early, since cv2 does not tell. Raises DataError where the file cannot be opened
    or has no frame.
    """
    import cv2

    with _opened(path) as capture:
        ok, frame = capture.read()
        if not ok:
            raise DataError("unreadable video", path, "expected at least one frame, got none")
        while ok:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            ok, frame = capture.read()


def write_video(path: str | os.PathLike, frames: Iterable[np.ndarray], rate: float) -> int:
    """Write (H, W, 3) uint8 RGB frames of one size at `rate` frames per second, atomically; their number.

    ``.avi`` is written as Motion JPEG, everything else as MPEG-4. Raises ValueError where there is no frame,
    frames differ in size, or cv2 has no writer for the extension.
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
                    writer = cv2.VideoWriter(str(temporary), codec, rate, (shape[1], shape[0]))
                    if not writer.isOpened():
                        raise ValueError(f"{path}: expected an extension that cv2 can write, such as .mp4 or .avi")
                if frame.shape != shape or frame.dtype != np.uint8:
                    got = f"{frame.dtype} {frame.shape}"
                    raise ValueError(f"{path}: frame {count}: expected uint8 of shape {shape}, got {got}")
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                count += 1
        finally:
            if writer is not None:
                writer.release()
        if count == 0:
            raise ValueError(f"{path}: expected at least one frame, got none")
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
    finally:
        capture.release()
