"""Networks that OpenVINO converted, kept in the user's cache folder: its own .xml and .bin, checked on reading.

OpenVINO can keep what it compiled, too (CACHE_DIR), but reads a damaged file without a word and computes other maps.
"""

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detection.caches import cache_folder
from detection.engines.openvino_import import import_openvino
from detection.storage import file_fingerprint, read_json, write_json

_SUFFIXES = (".xml", ".bin")
_logger = logging.getLogger(__name__)


def load_or_convert(key: str, convert: Callable[[], Any]) -> Any:
    """The ``openvino.Model`` kept under `key`, or convert() where there is none or it is damaged.

    What was converted is kept for the next time, and read back, since OpenVINO 2025.1 rounds otherwise in what it has
    just converted; where it cannot be kept a warning is logged, and nothing else.
    """
    try:
        folder = cache_folder()
    except RuntimeError as error:
        _logger.warning("converted networks are not kept: %s; set SPPNET_CACHE", error)
        return convert()
    found = _read(folder, key)
    if found is not None:
        return found
    model = convert()
    try:
        _write(folder, key, model)
    except (OSError, RuntimeError) as error:
        _logger.warning("%s: a converted network cannot be kept: %s", folder, error)
        return model
    return _read(folder, key) or model


def _read(folder: Path, key: str) -> Any:
    """The model, or None where a file is absent or has another content than was written."""
    try:
        expected = read_json(folder / f"{key}.json")
        if any(file_fingerprint(folder / (key + one)) != expected[one] for one in _SUFFIXES):
            return None
        return import_openvino().Core().read_model(folder / f"{key}.xml")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _write(folder: Path, key: str, model: Any) -> None:
    """The description moves last, so that nobody takes parts of two files for one."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as name:
        made = Path(name) / f"{key}.xml"
        import_openvino().save_model(model, made, compress_to_fp16=False)
        contents = {one: file_fingerprint(made.with_suffix(one)) for one in _SUFFIXES}
        for one in _SUFFIXES:
            os.replace(made.with_suffix(one), folder / (key + one))
    write_json(folder / f"{key}.json", contents)
