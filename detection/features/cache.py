"""Convolutional maps on disk: one file an image, in a folder named by what made them."""

import json
import shutil
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from detection.features.resize import padded_size, resized_size
from detection.features.settings import FeatureSettings
from detection.geometry import resize_scale
from detection.storage import (
    file_stem,
    fingerprint,
    notice_damaged,
    read_arrays,
    read_metadata,
    read_yaml,
    write_arrays,
    write_yaml,
)
from detection.types import FeaturePyramid

FORMAT_VERSION = "1"
# Raised whenever the arithmetic that makes maps changes, so that older ones are not taken for equal.
_MAPS_VERSION = 5
_SUFFIX = ".safetensors"
_ABOUT = "about.yaml"
_BYTES_OF_A_VALUE = 2
# Header of a file: names, shapes and metadata. Varies by some hundred bytes with the image id.
_BYTES_OF_A_HEADER = 1024


def map_settings(settings: FeatureSettings) -> dict[str, object]:
    """The settings that decide an image's maps, not pooling or heads. Raises ValueError for the engine "auto"."""
    if settings.engine == "auto":
        raise ValueError("features.engine: expected the name of an engine in a key, got auto")
    names = ("backbone", "stages", "short_sides", "max_long_side", "engine")
    plain = asdict(settings)
    return {name: list(plain[name]) if isinstance(plain[name], tuple) else plain[name] for name in names}


def settings_key(settings: FeatureSettings, weights_fingerprint: str) -> str:
    """16 hex digits that change with every setting and weight that decides maps, and with no other."""
    return fingerprint(_MAPS_VERSION, FORMAT_VERSION, map_settings(settings), weights_fingerprint)


class MapCache:
    """Maps of images under `folder`/`key`, float16.

    key: of `settings_key`. about: plain settings written beside the maps for people to read.
    """

    def __init__(self, folder: Path | str, key: str, about: dict[str, object] | None = None) -> None:
        self.key, self.folder = key, Path(folder) / key
        self._about = about

    def path(self, image_id: str) -> Path:
        """The file of an image, there or not."""
        return self.folder / (file_stem(image_id) + _SUFFIX)

    def read(self, image_id: str, image_fingerprint: str) -> FeaturePyramid | None:
        """The maps of an image, or None where there are none that can be used."""
        return self.look_up(image_id, image_fingerprint)[0]

    def look_up(self, image_id: str, image_fingerprint: str) -> tuple[FeaturePyramid | None, str]:
        """(maps, "") or (None, why): "absent", "stale: ..." (made from another image) or "damaged: ..."."""
        try:
            pyramid, metadata = _read_file(self.path(image_id))
        except FileNotFoundError:
            return None, "absent"
        except ValueError as error:
            notice_damaged(error)
            return None, f"damaged: {error}"
        stale = self._stale(image_id, image_fingerprint, metadata)
        return (None, stale) if stale else (pyramid, "")

    def has(self, image_id: str, image_fingerprint: str) -> bool:
        """Whether there is a file of this image and key, by its metadata: the maps are not read."""
        try:
            metadata = read_metadata(self.path(image_id))
        except FileNotFoundError:
            return False
        except ValueError as error:
            return bool(notice_damaged(error))
        return not self._stale(image_id, image_fingerprint, metadata)

    def _stale(self, image_id: str, image_fingerprint: str, metadata: Mapping[str, str]) -> str:
        """Why metadata are not of this image, or an empty string."""
        expected = {
            "format_version": FORMAT_VERSION,
            "image_id": image_id,
            "image_fingerprint": image_fingerprint,
            "key": self.key,
        }
        for name, value in expected.items():
            if metadata.get(name) != value:
                return f"stale: {self.path(image_id)}: expected {name} {value!r}, got {metadata.get(name)!r}"
        return ""

    def write(self, pyramid: FeaturePyramid, image_fingerprint: str) -> None:
        """Write the maps of an image in one move. Raises ValueError where a map is not float16."""
        arrays = {"scales": pyramid.scales, "strides": pyramid.strides, "offsets": pyramid.offsets}
        for index, maps in enumerate(pyramid.maps):
            arrays |= {_map_name(index, stage): np.asarray(one) for stage, one in enumerate(maps)}
        wrong = {str(value.dtype) for name, value in arrays.items() if name.startswith("map")} - {"float16"}
        if wrong:
            raise ValueError(f"maps of image {pyramid.image_id!r}: expected float16, got {', '.join(sorted(wrong))}")
        metadata = {
            "format_version": FORMAT_VERSION,
            "image_id": pyramid.image_id,
            "image_fingerprint": image_fingerprint,
            "key": self.key,
            "size": json.dumps(list(pyramid.size)),
        }
        if self._about is not None and not (self.folder / _ABOUT).exists():
            write_yaml(self.folder / _ABOUT, self._about)
        write_arrays(self.path(pyramid.image_id), arrays, metadata)


def _map_name(scale: int, stage: int) -> str:
    return f"map.{scale}.{stage}"


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    value = 0
    for name in sorted(arrays):
        value = zlib.crc32(np.ascontiguousarray(arrays[name]).view(np.uint8).reshape(-1), value)
    return value


def _read_file(path: Path) -> tuple[FeaturePyramid, dict[str, str]]:
    """Raises ValueError, naming the file, for anything but a whole file of this format."""
    arrays, metadata = read_arrays(path)
    expected = {"format_version", "image_id", "image_fingerprint", "key", "size"}
    if metadata.get("format_version") != FORMAT_VERSION or not expected <= metadata.keys():
        raise ValueError(
            f"{path}: expected maps of format_version {FORMAT_VERSION}, got {metadata.get('format_version')}"
        )
    # Files of before there was a fingerprint of all that is in one.
    if (checksum := metadata.get("crc32")) is not None and str(_checksum(arrays)) != checksum:
        raise ValueError(f"{path}: expected checksum {checksum}, got {_checksum(arrays)}")
    try:
        scales, strides = range(len(arrays["scales"])), range(len(arrays["strides"]))
        maps = tuple(tuple(arrays[_map_name(s, t)] for t in strides) for s in scales)
        size = json.loads(metadata["size"])
        pyramid = FeaturePyramid(
            metadata["image_id"], (size[0], size[1]), maps, arrays["scales"], arrays["strides"], arrays["offsets"]
        )
    except KeyError as error:
        raise ValueError(f"{path}: expected the array {error}, found none") from error
    return pyramid, metadata


@dataclass(frozen=True)
class CacheInfo:
    """One key of a cache: how many images and bytes, and the settings written beside them (may be empty)."""

    key: str
    images: int
    bytes: int
    about: dict[str, object]


def _key_folders(folder: Path | str) -> list[Path]:
    folder = Path(folder)
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _map_files(key_folder: Path) -> list[Path]:
    return sorted(path for path in key_folder.glob("*" + _SUFFIX) if not path.name.startswith("."))


def info(folder: Path | str) -> list[CacheInfo]:
    """What a cache holds, one entry a key, sorted; an absent folder holds nothing."""
    entries = []
    for key_folder in _key_folders(folder):
        files = _map_files(key_folder)
        about = read_yaml(key_folder / _ABOUT) if (key_folder / _ABOUT).is_file() else {}
        entries.append(CacheInfo(key_folder.name, len(files), sum(path.stat().st_size for path in files), about or {}))
    return entries


def verify(folder: Path | str) -> list[str]:
    """Read every file: one line for each that is damaged or lies under a key or name that is not its own."""
    problems = []
    for key_folder in _key_folders(folder):
        for path in _map_files(key_folder):
            try:
                pyramid, metadata = _read_file(path)
            except ValueError as error:
                problems.append(str(error))
                continue
            if metadata["key"] != key_folder.name or file_stem(pyramid.image_id) != path.stem:
                problems.append(f"{path}: holds image {pyramid.image_id!r} of key {metadata['key']}")
    return problems


def prune(folder: Path | str, keep_keys: Collection[str]) -> int:
    """Delete the maps of every other key, half-written ones too; returns the bytes set free.

    Folders that hold anything else than maps are left alone. Not to be called while a run writes here.
    """
    freed = 0
    for key_folder in _key_folders(folder):
        if key_folder.name in keep_keys:
            continue
        for path in [*key_folder.glob(".tmp-*"), *_map_files(key_folder)]:
            freed += path.stat().st_size
            path.unlink()
        if {path.name for path in key_folder.iterdir()} <= {_ABOUT}:
            shutil.rmtree(key_folder)
    return freed


def map_shapes(
    size: tuple[int, int], settings: FeatureSettings, shapes: tuple[tuple[int, int, int], ...]
) -> list[list[tuple[int, int, int]]]:
    """Shapes (C, h, w) of the maps of an image of `size` (height, width) px: one list a scale, one entry a stage.

    shapes: (stride, channels, missing) of ``networks.stage_shapes`` of the settings' backbone and stages.
    """
    result, multiple = [], max(stride for stride, _, _ in shapes)
    for short_side in settings.short_sides:
        scale = resize_scale(size, short_side, settings.max_long_side)
        height, width = padded_size(resized_size(size, scale), multiple)
        result.append(
            [(channels, height // stride - missing, width // stride - missing) for stride, channels, missing in shapes]
        )
    return result


def estimate_bytes(
    sizes: Iterable[tuple[int, int]], settings: FeatureSettings, shapes: tuple[tuple[int, int, int], ...] | None = None
) -> int:
    """Disk that the maps of images of `sizes` (height, width) px will take, without running the network on them.

    The maps' bytes are exact, the files' headers are about 1 KiB each. shapes: ``networks.stage_shapes`` of
    the settings' backbone and stages; None: asked there.
    """
    if shapes is None:
        from detection.backbones.networks import stage_shapes

        shapes = stage_shapes(settings.backbone, settings.stages)
    total = 0
    for size in sizes:
        values = sum(c * h * w for maps in map_shapes(size, settings, shapes) for c, h, w in maps)
        total += _BYTES_OF_A_VALUE * values + _BYTES_OF_A_HEADER
    return total
