"""The embedded data set: real handwritten digits on real photos, made here as a VOC devkit, without a download.

Digits are scikit-learn's `load_digits` (8x8 px, from UCI's Optical Recognition of Handwritten Digits), backgrounds
crops of its two sample photos. Digit samples of the test split never occur in trainval; the two photos serve both.
"""

import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from detection.data.formats.voc_xml import annotation_xml
from detection.geometry import iou
from detection.storage import read_json, write_json, write_text

DIGIT_CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
YEAR = "VOC2007"

# To be raised whenever the same settings give other pictures.
_FORMAT_VERSION = 1
_STAMP = "digits.json"

# Longer side of a digit's ink in px, and the least of both sides (proposals below 20 px are dropped, R-CNN).
INK_SIDES = (24, 140)
MIN_INK_SIDE = 20
MAX_ANGLE = 15.0  # degrees, either way
DIGITS_PER_IMAGE = (1, 6)
# How much of the photo the ink hides.
OPACITIES = (0.7, 1.0)
# Least difference in grey levels between the ink as seen and what lies under it, for this share of the ink.
MIN_CONTRAST = 50.0
_SEEN_SHARE = 0.9
# Grey levels of a colour's channels; the ink is dark or light, whichever is seen better.
_DARK = (0, 50)
_LIGHT = (205, 255)
# What counts as ink: cover, before opacity.
INK_COVER = 0.5
# Boxes keep this distance in px, so that no digit hides another.
GAP = 3
_PLACES_TRIED = 40

# Shorter and longer sides of the pictures in px; one in four stands upright.
_SHORT_SIDES = (333, 400)
_LONG_SIDES = (480, 500)
_PORTRAIT_SHARE = 0.25
# How much a photo is enlarged, at most; at least as much as the picture needs.
_MAX_ZOOM = 1.8
_JPEG_QUALITY = 92

# A digit is enlarged from 8x8 px with room for its turned corners, then the blur becomes an edge.
_PADDING = 3
_ENLARGEMENT = 16
_EDGE = (0.4, 0.62)  # share of the darkest pixel at which cover is 0 and 1
_TEST_SHARE_OF_DIGITS = 1 / 3
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow converts
_BICUBIC = Image.Resampling.BICUBIC

ATTRIBUTION = """\
The pictures of this folder are made from two photos and from scans of handwritten digits.

Photos (cropped, mirrored and resized, with digits drawn on them; the results are under the same licence), both
distributed with scikit-learn:
  china.jpg   by danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/
  flower.jpg  by vultilion, https://www.flickr.com/photos/vultilion/6056698931/
              (scikit-learn's list names danielbuechele and links to this page)
  Creative Commons Attribution 2.0 Generic, https://creativecommons.org/licenses/by/2.0/

Digits: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
  https://doi.org/10.24432/C50P49, distributed with scikit-learn as load_digits.
  Creative Commons Attribution 4.0 International, https://creativecommons.org/licenses/by/4.0/
"""


@dataclass(frozen=True)
class _Digit:
    """One digit to be drawn. cover: (h, w) float32 in [0, 1], the ink's box being the whole array."""

    name: str
    sample: int
    cover: np.ndarray


def write_digits(root: Path | str, seed: int = 0, trainval: int = 200, test: int = 100) -> Path:
    """Write the digits devkit and return `root`, which then holds VOC2007 and ATTRIBUTION.txt.

    Bit-equal for one seed and one version of NumPy, Pillow and scikit-learn. The folder appears in one move when
    it is complete; one that is complete and was made with the same arguments is left as it is, one made with
    others is replaced. Raises ValueError for a folder that holds anything else, and for negative counts.
    """
    root = Path(root)
    stamp = {"format_version": _FORMAT_VERSION, "seed": seed, "trainval": trainval, "test": test}
    if trainval < 1 or test < 1:
        raise ValueError(f"digits: expected at least one image a split, got trainval {trainval}, test {test}")
    if _is_complete(root, stamp):
        return root
    if root.exists() and any(root.iterdir()) and not (root / _STAMP).is_file():
        raise ValueError(f"{root}: expected a new folder or one of digits, got other files")
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-digits-", dir=root.parent))
    try:
        _write_devkit(temporary / "new" / YEAR, seed, {"trainval": trainval, "test": test})
        write_text(temporary / "new" / "ATTRIBUTION.txt", ATTRIBUTION)
        write_json(temporary / "new" / _STAMP, stamp)
        if root.exists():
            os.replace(root, temporary / "old")
        os.replace(temporary / "new", root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root


def _is_complete(root: Path, stamp: dict[str, int]) -> bool:
    if not (root / _STAMP).is_file() or read_json(root / _STAMP) != stamp:
        return False
    names = [f"ImageSets/Main/{split}.txt" for split in ("trainval", "test")]
    for number in range(1, stamp["trainval"] + stamp["test"] + 1):
        names += [f"JPEGImages/{_image_id(number)}.jpg", f"Annotations/{_image_id(number)}.xml"]
    return all((root / YEAR / name).is_file() for name in names)


def _image_id(number: int) -> str:
    return f"{number:06d}"


def _write_devkit(folder: Path, seed: int, counts: dict[str, int]) -> None:
    from sklearn.datasets import load_digits, load_sample_images

    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    digits = load_digits()
    sample = load_sample_images()
    photos = [
        (Path(path).name, Image.fromarray(photo)) for path, photo in zip(sample.filenames, sample.images, strict=True)
    ]
    total = len(digits.images)
    order = np.random.default_rng([seed, total]).permutation(total)
    first = round(total * _TEST_SHARE_OF_DIGITS)
    pools = {"test": order[:first], "trainval": order[first:]}
    numbers = itertools.count(1)
    for split_index, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, split_index])
        ids = [_image_id(number) for number in itertools.islice(numbers, count)]
        for image_id in ids:
            _write_image(folder, image_id, digits, pools[split], photos, rng)
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids), newline="\n")


def _write_image(folder: Path, image_id: str, digits, pool: np.ndarray, photos, rng: np.random.Generator) -> None:
    photo_name, photo = photos[rng.integers(len(photos))]
    canvas = _background(photo, rng)
    boxes: list[tuple[int, int, int, int]] = []
    drawn: list[_Digit] = []
    wanted = rng.integers(DIGITS_PER_IMAGE[0], DIGITS_PER_IMAGE[1] + 1)
    tried = 0
    while tried < wanted or not drawn:
        tried += 1
        digit = _make_digit(digits, pool, rng)
        box = _place(canvas, digit.cover, boxes, rng)
        if box is not None:
            boxes.append(box)
            drawn.append(digit)
    pixels = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "JPEGImages" / f"{image_id}.jpg", quality=_JPEG_QUALITY)
    objects = [(digit.name, box, False) for digit, box in zip(drawn, boxes, strict=True)]
    samples = " ".join(str(digit.sample) for digit in drawn)
    source = f"{photo_name} and load_digits samples {samples}, both of scikit-learn"
    xml = annotation_xml(f"{image_id}.jpg", pixels.shape[:2], objects, folder=YEAR, source=source)
    (folder / "Annotations" / f"{image_id}.xml").write_text(xml, encoding="utf-8", newline="\n")


def _background(photo: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """A crop of a photo, enlarged at random and perhaps mirrored, as (H, W, 3) float64."""
    short, long = rng.integers(_SHORT_SIDES[0], _SHORT_SIDES[1] + 1), rng.integers(_LONG_SIDES[0], _LONG_SIDES[1] + 1)
    width, height = (short, long) if rng.random() < _PORTRAIT_SHARE else (long, short)
    least = max(width / photo.width, height / photo.height)
    zoom = rng.uniform(least, max(_MAX_ZOOM, least))
    crop_width, crop_height = width / zoom, height / zoom
    left, top = rng.uniform(0, photo.width - crop_width), rng.uniform(0, photo.height - crop_height)
    box = (left, top, min(left + crop_width, photo.width), min(top + crop_height, photo.height))
    crop = photo.resize((int(width), int(height)), _BICUBIC, box=box)
    if rng.random() < 0.5:
        crop = ImageOps.mirror(crop)
    return np.asarray(crop, dtype=np.float64)


def _make_digit(digits, pool: np.ndarray, rng: np.random.Generator) -> _Digit:
    """A digit of the pool at a random angle and size that the bounds on its ink's sides admit."""
    while True:
        sample = int(rng.choice(pool))
        cover = _ink_cover(digits.images[sample], rng.uniform(-MAX_ANGLE, MAX_ANGLE))
        longer, shorter = max(cover.shape), min(cover.shape)
        least = max(INK_SIDES[0], MIN_INK_SIDE * longer / shorter)
        if least > INK_SIDES[1]:
            continue
        factor = rng.uniform(least, INK_SIDES[1]) / longer
        size = (round(cover.shape[1] * factor), round(cover.shape[0] * factor))
        resized = np.asarray(Image.fromarray(cover).resize(size, _BICUBIC))
        cut = _cut_to_ink(np.clip(resized, 0, 1))
        if min(cut.shape) >= MIN_INK_SIDE and INK_SIDES[0] <= max(cut.shape) <= INK_SIDES[1]:
            return _Digit(DIGIT_CLASSES[digits.target[sample]], sample, cut)


def _ink_cover(image: np.ndarray, angle: float) -> np.ndarray:
    """An 8x8 scan, enlarged, turned by `angle` degrees, its blur sharpened to an edge, cut to the ink."""
    padded = np.pad(image / image.max(), _PADDING).astype(np.float32)
    side = padded.shape[0] * _ENLARGEMENT
    large = Image.fromarray(padded).resize((side, side), _BICUBIC).rotate(angle, _BICUBIC)
    share = np.clip((np.asarray(large) - _EDGE[0]) / (_EDGE[1] - _EDGE[0]), 0, 1)
    return _cut_to_ink(share * share * (3 - 2 * share))


def _cut_to_ink(cover: np.ndarray) -> np.ndarray:
    ink = cover > INK_COVER
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return np.ascontiguousarray(cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _place(
    canvas: np.ndarray, cover: np.ndarray, taken: list[tuple[int, int, int, int]], rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Draw a digit where it meets none of the boxes taken and is seen; its box, or None where a few tries fail."""
    height, width = cover.shape
    colours = rng.uniform(*_DARK, 3), rng.uniform(*_LIGHT, 3)
    opacity = rng.uniform(*OPACITIES)
    for _ in range(_PLACES_TRIED):
        x, y = int(rng.integers(1, canvas.shape[1] - width)), int(rng.integers(1, canvas.shape[0] - height))
        wide = np.array([[x - GAP, y - GAP, x + width + GAP, y + height + GAP]])
        if taken and iou(wide, np.array(taken)).any():
            continue
        under = canvas[y : y + height, x : x + width]
        contrasts = [opacity * _contrast(under, cover, colour) for colour in colours]
        best = int(np.argmax(contrasts))
        if contrasts[best] >= MIN_CONTRAST:
            under += (colours[best] - under) * (opacity * cover)[:, :, None]
            return x, y, x + width, y + height
    return None


def _contrast(under: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> float:
    """The difference in grey levels between an ink and what lies under it, reached by nearly all of the ink."""
    differences = np.abs(under @ _GREY - colour @ _GREY)[cover > INK_COVER]
    return float(np.quantile(differences, 1 - _SEEN_SHARE))
