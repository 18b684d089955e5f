"""Images of any kind as (H, W, 3) uint8 RGB, through Pillow, which refuses half a file (cv2.imread does not).

Pillow alone opens images here, pixels are taken as sRGB, and of a file with several pictures the first is read.
"""

import io
import os
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from detection.data.problems import DAMAGE_ERRORS, DataError
from detection.storage import atomic_path

ImageSource = str | os.PathLike | Image.Image | np.ndarray

# Kinds of photos that Pillow does not read, or, as of raw ones, no more of than a small preview.
_UNREAD = ".heic .heif .hif .jxl .dng .nef .nrw .cr2 .cr3 .crw .arw .orf .rw2 .raf .pef .srw"
_UNREAD_EXTENSIONS = tuple(_UNREAD.split())
# What is taken for a photo, in the order in which it is looked for; upper and mixed case too. Those that cannot be
# read are photos as well: they are left out as unreadable, by name, and not passed over.
_READ = ".jpg .jpeg .png .bmp .webp .jpe .jfif .tif .tiff .gif .avif .mpo .apng .ppm .pgm .pbm .pnm .jp2 .j2k .j2c .jpx"
IMAGE_EXTENSIONS = (*_READ.split(), ".jpf", ".dib", ".tga", ".pcx", ".sgi", ".qoi", *_UNREAD_EXTENSIONS)

# Above any camera but the largest of phones, which join or guess pixels (108 and 200 million). Reading takes 10 bytes a
# pixel, some 1 GB at this size; detection twice as much. A file of a few hundred KB may claim any number.
MAX_PIXELS = 100_000_000
# All that Pillow's readers raise on files which are damaged or not images.
_PILLOW_ERRORS = (*DAMAGE_ERRORS, SyntaxError, struct.error, RuntimeError, AssertionError, AttributeError)
# Held while Pillow's own limit of pixels is away: it warns on the screen, and knows nothing of the setting here.
_PILLOW_LIMIT = threading.Lock()
# Bytes that may be asked for whatever a file has.
_SMALL = 2**16
# Bytes that an ordinary photo takes.
_ORDINARY = 2**26
_MODES_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_MODES_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_JPEG_QUALITY = 92
_ORIENTATION_TAG = 0x0112
# EXIF 2.3, tag 274: what makes a stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDES_SWAPPED = (5, 6, 7, 8)


def read_image(
    source: ImageSource, size: tuple[int, int] | None = None, max_pixels: int | None = MAX_PIXELS
) -> np.ndarray:
    """An image as a C-contiguous (H, W, 3) uint8 RGB array.

    source: a path, a PIL image, or a (H, W, 3) uint8 RGB array, which is returned as it is where it is
    contiguous. Grey is repeated, transparency laid over white, CMYK converted, 16 bits cut to the upper 8.
    size: (height, width) in px of the frame that boxes are in. Without it the image is turned upright as its
    EXIF orientation says. With it the upright image is taken if it has that size, else the pixels as stored if
    they have (the annotator's tool ignored EXIF).
    max_pixels: a file with more is refused before it is decoded; None: none is. Whoever knows `size` has looked, by
    `image_sizes`, and there it has no effect.

    Raises DataError for a file that is missing, cut off, not an image or too large to be decoded, and for an
    image that has `size` in neither orientation; ValueError or TypeError for an object that is no image.
    """
    if isinstance(source, np.ndarray):
        array = _check_array(source)
        if size is not None and array.shape[:2] != tuple(size):
            message = f"expected (height, width) = {tuple(size)}, got {array.shape[:2]}"
            raise DataError("wrong image size", "image in memory", message)
        return array
    if isinstance(source, Image.Image):
        with _refused_as_data_error("image in memory"):
            return _decode(source, size, "image in memory")
    with _opened(source, max_pixels if size is None else None) as image:
        return _decode(image, size, str(source))


def write_image(path: str | os.PathLike, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB in the format of the path's extension, atomically; JPEG at quality 92."""
    with atomic_path(path) as temporary:
        Image.fromarray(_check_array(rgb)).save(temporary, quality=_JPEG_QUALITY)


class ImageHeader(NamedTuple):
    """What an image file says of itself: sizes (height, width) in px, and its EXIF orientation, 1 to 8."""

    upright: tuple[int, int]
    stored: tuple[int, int]
    orientation: int


def image_header(path: str | os.PathLike, max_pixels: int | None = MAX_PIXELS) -> ImageHeader:
    """The header of an image file: pixels are not decoded.

    Raises DataError for a file that is missing, has no image's header, or more than `max_pixels`.
    """
    with _opened(path, max_pixels) as image:
        stored, orientation = (image.height, image.width), _orientation(image)
    return ImageHeader(stored[::-1] if orientation in _SIDES_SWAPPED else stored, stored, orientation)


def image_sizes(
    path: str | os.PathLike, max_pixels: int | None = MAX_PIXELS
) -> tuple[tuple[int, int], tuple[int, int]]:
    """(upright, stored) sizes (height, width) in px of an image file. Raises as `image_header`."""
    return image_header(path, max_pixels)[:2]


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """(height, width) in px of an image file turned upright, from its header. Raises as `image_sizes`."""
    return image_sizes(path)[0]


def to_upright(
    path: str | os.PathLike, size: tuple[int, int], box: Sequence[float]
) -> tuple[Sequence[float], tuple[int, int]]:
    """(box, size) in the upright image's frame of a half-open box in the frame of `size`, one of `image_sizes`.

    Raises DataError as `image_sizes`.
    """
    _, stored, orientation = image_header(path, None)
    if orientation not in _SIDES_SWAPPED or tuple(size) != stored or stored == stored[::-1]:
        return box, tuple(size)
    (x1, y1, x2, y2), (height, width) = box, stored
    left, right = (y1, y2) if orientation in (5, 8) else (height - y2, height - y1)
    top, bottom = (x1, x2) if orientation in (5, 6) else (width - x2, width - x1)
    return (left, top, right, bottom), stored[::-1]


def list_images(paths: Iterable[str | os.PathLike], extensions: tuple[str, ...] = IMAGE_EXTENSIONS) -> list[Path]:
    """Files and the images of folders, each once, in the order given; those of a folder sorted by name.

    A folder's own files with one of `extensions` (any case) are taken, not those of its subfolders, nor hidden
    ones; a file that is named is taken whatever its extension. Raises DataError for a path that does not exist
    and for a folder without images.
    """
    return list(dict.fromkeys(image for path in paths for image in _images_of(Path(path), extensions)))


def files_with(paths: Iterable[Path], extensions: tuple[str, ...]) -> list[Path]:
    """The files with one of `extensions`, any case, without hidden ones, sorted."""
    named = (one for one in paths if one.suffix.lower() in extensions and not one.name.startswith("."))
    return sorted(one for one in named if one.is_file())


def _images_of(path: Path, extensions: tuple[str, ...]) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError("missing image", path, "expected an image or a folder of images, found nothing")
    images = files_with(path.iterdir(), extensions)
    if not images:
        raise DataError("no image", path, f"expected files with one of {' '.join(extensions)} in the folder")
    return images


@contextmanager
def _refused_as_data_error(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError("missing image", name, "no such file") from error
    except MemoryError as error:
        message = "decoding it takes more memory than there is"
        try:
            np.empty(_ORDINARY, np.uint8)
        except MemoryError:  # the machine's fault: another call would read it
            raise MemoryError(f"{name}: {message}") from error
        raise DataError("unreadable image", name, f"{message}: it claims too much") from error
    except _PILLOW_ERRORS as error:
        raise DataError("unreadable image", name, f"{type(error).__name__}: {error}") from error


@contextmanager
def _opened(path: str | os.PathLike, max_pixels: int | None) -> Iterator[Image.Image]:
    if not isinstance(path, (str, os.PathLike)):
        got = type(path).__name__
        raise TypeError(f"image: expected a path, a PIL image or a (H, W, 3) uint8 RGB array, got {got}")
    if (kind := Path(path).suffix.lower()) in _UNREAD_EXTENSIONS and os.path.exists(path):
        message = f"expected a picture that Pillow reads, got a {kind} photo: convert it to JPEG or PNG"
        raise DataError("unreadable image", path, message)
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise DataError("unreadable image", path, "expected a file, got a folder, pipe or device")
    with _refused_as_data_error(str(path)), _Photo(path) as file, _open(file) as image:
        if max_pixels is not None and image.width * image.height > max_pixels:
            raise DataError(
                "image too large",
                path,
                f"{image.width} x {image.height} are {image.width * image.height:,} pixels, expected at most "
                f"{max_pixels:,}; max_pixels (dataset.max_pixels of a run, --max_pixels) allows more",
            )
        yield image


class _Photo(io.BufferedReader):
    """A picture's file, of which no more is asked for than there is.

    A length in a file may claim 4 GB, and memory for as much as is asked for is taken before anything is read.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__(io.FileIO(os.fspath(path)))
        self._end = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes; all that are left for None or a negative number."""
        if size is not None and size > _SMALL:  # to look costs more than a small read
            size = min(size, max(self._end - self.tell(), 0))
        return super().read(size)

    def __repr__(self) -> str:
        return repr(self.name)  # Pillow's messages show it


def _open(file: _Photo) -> Image.Image:
    """Pillow's image, the header read, without a word on its size."""
    with _PILLOW_LIMIT:
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = kept


def _decode(image: Image.Image, size: tuple[int, int] | None, name: str) -> np.ndarray:
    orientation = _orientation(image)
    stored = (image.height, image.width)
    upright = stored[::-1] if orientation in _SIDES_SWAPPED else stored
    if size is not None and tuple(size) not in (upright, stored):
        message = f"expected (height, width) = {tuple(size)}, got {stored}, upright {upright}"
        raise DataError("wrong image size", name, message)
    image.load()
    if orientation in _UPRIGHT and (size is None or tuple(size) == upright):
        image = image.transpose(_UPRIGHT[orientation])
    return np.array(_to_rgb(image), dtype=np.uint8, order="C")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 where there is none, or none that can be read."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF images itself, and gives their upright size.
    try:
        # The base class's method: PNG's own decodes all pixels in search of EXIF data behind them.
        orientation = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except _PILLOW_ERRORS:
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _MODES_16_BIT:
        values = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF) >> 8
        image = Image.fromarray(values.astype(np.uint8))
    if image.mode in _MODES_WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode == "F":
        raise ValueError("expected integer pixels, got floating-point ones of unknown range")
    return image if image.mode == "RGB" else image.convert("RGB")


def _check_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        got = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"image array: expected (H, W, 3) uint8 RGB with H, W > 0, got {got}")
    return np.ascontiguousarray(array)
