"""A trained detector as one folder: weights of the network, SVMs, regressors, settings, classes."""

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from detection.features import FeatureExtractor, FeatureSettings
from detection.learning import BoxRegressors, Calibration, LinearSVMs, PostprocessSettings
from detection.proposals import ProposalSettings
from detection.storage import (
    file_fingerprint,
    read_arrays,
    read_sealed_yaml,
    write_arrays,
    write_sealed_yaml,
    write_text,
)
from detection.storage.atomic import sync, temporary_prefix
from detection.storage.plain import expect_mappings, record_of
from detection.storage.run import lines_of

FORMAT_VERSION = 1
_DESCRIPTION = "detector.yaml"
_CLASSES = "classes.txt"
_SVMS = "svms.safetensors"
_REGRESSORS = "regressors.safetensors"
_NETWORK = "network.safetensors"
_CALIBRATION = "calibration.safetensors"
_REQUIRED = {_CLASSES, _SVMS, _NETWORK}
_FILES = (_CLASSES, _SVMS, _REGRESSORS, _NETWORK, _CALIBRATION)
_MAPPINGS = ("proposals", "features", "postprocess", "notes", "files")
_NEW = ".new-"


def write_detector(folder: Path | str, parts: Mapping[str, Any]) -> None:
    """Write one folder that holds all that predicting needs, weights of the network too.

    parts: the fields of a ``Detector``. A detector that is there is replaced in one step, the move of its description:
    until then the folder holds the old one, from then on the new one, whenever the process is cut short. Other files
    of the folder stay.
    """
    folder = Path(folder)
    staging = folder / f"{temporary_prefix()}detector"
    try:
        _write(staging, parts)
        _move(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(staging: Path, folder: Path) -> None:
    """Let what `staging` holds, which the disk has, take the place of what the folder holds."""
    fingerprints = read_description(staging)["files"]
    # New files lie beside the old ones under names of their own, which `_found` knows.
    for name, one in fingerprints.items():
        if not _has(folder / name, one):
            os.replace(staging / name, _beside(folder, name, one))
    sync(folder)
    os.replace(staging / _DESCRIPTION, folder / _DESCRIPTION)
    sync(folder)
    _settle(folder, fingerprints)


def settle_detector(folder: Path | str) -> None:
    """Bring the files of a detector whose saving was cut short to their places; for whoever may write there.

    It is whole without: a folder that is no detector, or no whole one, is left as it is.
    """
    folder = Path(folder)
    if any(folder.glob(f"{_NEW}*")):
        with suppress(ValueError, FileNotFoundError):
            fingerprints = read_description(folder)["files"]
            for name, one in fingerprints.items():
                _found(folder, name, one)
            _settle(folder, fingerprints)


def _settle(folder: Path, fingerprints: Mapping[str, str]) -> None:
    for name, one in fingerprints.items():
        if _beside(folder, name, one).is_file():
            os.replace(_beside(folder, name, one), folder / name)
    for name in set(_FILES) - set(fingerprints):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob(f"{_NEW}*"):
        path.unlink()


def _write(folder: Path, parts: Mapping[str, Any]) -> None:
    write_text(folder / _CLASSES, "".join(f"{name}\n" for name in parts["classes"]), durable=True)
    write_arrays(folder / _NETWORK, parts["extractor"].state(), {"format_version": str(FORMAT_VERSION)}, durable=True)
    for name, part in ((_SVMS, "svms"), (_REGRESSORS, "regressors"), (_CALIBRATION, "calibration")):
        if parts[part] is not None:
            arrays, metadata = parts[part].to_arrays()
            write_arrays(folder / name, arrays, {"format_version": str(FORMAT_VERSION), **metadata}, durable=True)
    description = {
        "format_version": FORMAT_VERSION,
        "proposals": _plain(parts["proposal_settings"]),
        "features": _plain(parts["extractor"].settings),
        "postprocess": _plain(parts["postprocess_settings"]),
        "calibration": _thresholds(parts["classes"], parts["calibration"]),
        "notes": parts["notes"],
        "files": {path.name: file_fingerprint(path) for path in sorted(folder.iterdir())},
    }
    write_sealed_yaml(folder / _DESCRIPTION, description, durable=True)


def _thresholds(classes: Sequence[str], calibration: Calibration | None) -> dict[str, dict[str, Any]]:
    """For people to read: of each class from which margin and probability it is shown, and whether it is calibrated."""
    known = Calibration.fixed(len(classes)) if calibration is None else calibration
    columns = known.thresholds.tolist(), known.threshold_probabilities().tolist(), known.trained.tolist()
    return {
        name: {"threshold": round(margin, 4), "probability": round(chance, 4), "calibrated": calibrated}
        for name, margin, chance, calibrated in zip(classes, *columns, strict=True)
    }


def read_detector(folder: Path | str, device: str = "cpu") -> dict[str, Any]:
    """The fields of a ``Detector`` from what `write_detector` wrote; nothing else is needed, no network either.

    Raises FileNotFoundError where there is no detector, ValueError for a file that is absent, changed or of
    another format version; each names the file. The extractor is that of the detector that was read before where its
    networks, settings and device are the same; it is kept until others are read.
    """
    folder = Path(folder)
    description = read_description(folder)
    paths = {name: _found(folder, name, one) for name, one in description["files"].items()}
    # Detectors of before there was a choice say nothing of their engine.
    features = {"engine": "torch", **description["features"]}
    place = folder / _DESCRIPTION
    settings = record_of(FeatureSettings, features, f"{place}: features")
    return {
        "classes": _class_names(paths[_CLASSES]),
        "proposal_settings": record_of(ProposalSettings, description["proposals"], f"{place}: proposals"),
        "extractor": _extractor(settings, paths[_NETWORK], description["files"][_NETWORK], device),
        "svms": LinearSVMs.from_arrays(*read_arrays(paths[_SVMS])),
        "regressors": _read_part(paths, _REGRESSORS, BoxRegressors),
        "postprocess_settings": record_of(PostprocessSettings, description["postprocess"], f"{place}: postprocess"),
        "notes": description["notes"],
        "calibration": _read_part(paths, _CALIBRATION, Calibration),
    }


# What detectors share where it is the same: every stage of a run reads its own, and making one takes a while.
_last: dict[Any, FeatureExtractor] = {}


def _extractor(settings: FeatureSettings, path: Path, content: str, device: str) -> FeatureExtractor:
    """The networks of a detector's file, which has the fingerprint `content`."""
    global _last
    key = settings, content, device
    found = _last.get(key)
    if found is None:
        found = FeatureExtractor.from_state(settings, read_arrays(path)[0], device)
        _last = {key: found}
    return found


def read_description(folder: Path | str) -> dict[str, Any]:
    """What ``detector.yaml`` of a saved detector says, without loading it. Raises as `read_detector`.

    Keys: format_version; proposals, features and postprocess (settings); calibration (of each class, for people to
    read); notes; files (name -> fingerprint).
    """
    path = Path(folder) / _DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no trained detector here; sppnet train makes one")
    description = read_sealed_yaml(path, _remedy(path))
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}")
    expect_mappings(description, _MAPPINGS, path)
    files = description["files"]
    if missing := sorted(_REQUIRED - set(files)):
        raise ValueError(f"{path}: files: expected the keys {', '.join(missing)}, found none")
    for name, content in files.items():
        # No other name is one of a detector's files, so none leads out of the folder; nor may a link.
        if name not in _FILES or not isinstance(content, str):
            got = f"{name!r:.80}: {content!r:.80}"
            raise ValueError(f"{path}: files: expected {', '.join(_FILES)} with fingerprints, got {got}")
        if not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
            raise ValueError(f"{path}: files: {name}: expected a file in this folder, got a link that leads out of it")
    return description


def read_classes(folder: Path | str) -> tuple[str, ...]:
    """The class list of a saved detector alone. Raises as `read_detector`."""
    return _class_names(_found(Path(folder), _CLASSES, read_description(folder)["files"][_CLASSES]))


def _class_names(path: Path) -> tuple[str, ...]:
    return lines_of(path.read_text(encoding="utf-8"))


def read_calibration(folder: Path | str) -> Calibration:
    """The calibration of a saved detector alone, the fixed one where it has none. Raises as `read_detector`."""
    content = read_description(folder)["files"].get(_CALIBRATION)
    if content is None:
        return Calibration.fixed(len(read_classes(folder)))
    return Calibration.from_arrays(*read_arrays(_found(Path(folder), _CALIBRATION, content)))


def _read_part(paths: Mapping[str, Path], name: str, kind: type) -> Any:
    return kind.from_arrays(*read_arrays(paths[name])) if name in paths else None


def _beside(folder: Path, name: str, content: str) -> Path:
    """Where a file of this fingerprint lies until it takes the place of another."""
    return folder / f"{_NEW}{content}-{name}"


def _has(path: Path, content: str) -> bool:
    return path.is_file() and file_fingerprint(path) == content


def _found(folder: Path, name: str, content: str) -> Path:
    """The file of a saved detector that has this fingerprint. Raises ValueError where there is none."""
    for path in (folder / name, _beside(folder, name, content)):
        if _has(path, content):
            return path
    found = file_fingerprint(folder / name) if (folder / name).is_file() else "no file"
    raise ValueError(
        f"{folder / name}: expected fingerprint {content} as in {_DESCRIPTION}, got {found}; {_remedy(folder)}"
    )


def _remedy(path: Path) -> str:
    return f"copy the detector again, or delete {path} and train again"


def _plain(settings: Any) -> dict[str, Any]:
    def plain(value):
        return [plain(one) for one in value] if isinstance(value, (tuple, list)) else value

    return {name: plain(value) for name, value in dataclasses.asdict(settings).items()}


def check_parts(
    classes: Sequence[str],
    extractor: FeatureExtractor,
    svms: LinearSVMs,
    regressors: BoxRegressors | None,
    calibration: Calibration | None,
) -> None:
    """Raise ValueError where the parts of a detector are not of its classes, layer and vectors."""
    count, pooled = len(classes), extractor.length("pool5")
    shapes = [("SVM weights", svms.weights.shape, (count, extractor.length(svms.layer)))]
    if regressors is not None:
        shapes.append(("regressor weights", regressors.weights.shape, (count, 4, pooled)))
    if calibration is not None:
        shapes.append(("slopes of the calibration", calibration.slopes.shape, (count,)))
    for what, found, expected in shapes:
        if found != expected:
            raise ValueError(
                f"detector of {count} classes, layer {svms.layer}: expected {what} of shape {expected}, got {found}"
            )
