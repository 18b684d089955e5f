"""The run folder: where one experiment keeps its settings, its class list and what every stage made."""

import copy
import importlib.metadata
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detection.storage.atomic import remove_leftovers, write_text, write_yaml
from detection.storage.bounded import read_yaml
from detection.storage.lock import brief_lock, folder_lock
from detection.storage.plain import expect_mappings

FORMAT_VERSION = 1
# The packages whose version can change a figure.
_PACKAGES = ("sppnet", "numpy", "numba", "opencv-python", "Pillow", "scikit-learn", "torch", "torchvision", "timm")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


class RunFolder:
    """Paths and records of one run.

    ``run.yaml`` keeps the resolved settings, package versions and, per stage, the key of all that made its
    result, seconds and figures. Every write is atomic. Raises ValueError where ``run.yaml`` is of another
    format version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.record_file = self.path / "run.yaml"
        self.classes_file = self.path / "classes.txt"
        self.proposals = self.path / "proposals"
        self.features = self.path / "features"
        self.regions = self.path / "regions"
        self.finetuned = self.path / "finetuned"
        self.detector = self.path / "detector"
        self.mining = self.path / "mining"
        self.detections = self.path / "detections"
        self.evaluation = self.path / "evaluation"
        self.drawings = self.path / "drawings"

    @contextmanager
    def written(self) -> Iterator[None]:
        """Be the one process that writes in the run; what killed ones left half written is removed first.

        Raises LockedError as `folder_lock`. Whoever only reads needs none: files are whole at any time.
        """
        with folder_lock(self.path):
            own = (self.path, self.proposals, self.finetuned, self.mining, self.detector, self.detections)
            for folder in (*own, self.detections / "parts", self.evaluation, self.drawings, *self.features.glob("*")):
                remove_leftovers(folder)
            yield

    def read(self) -> dict[str, Any]:
        """The content of ``run.yaml``; an empty record where there is none yet.

        Keys: format_version; settings, None before they are written; versions (package -> version); stages
        (name -> key, seconds, finished and figures).
        """
        if not self.record_file.is_file():
            return {"format_version": FORMAT_VERSION, "settings": None, "versions": {}, "stages": {}}
        record = read_yaml(self.record_file)
        version = record.get("format_version") if isinstance(record, dict) else None
        if version != FORMAT_VERSION:
            raise ValueError(f"{self.record_file}: expected format_version {FORMAT_VERSION}, got {version!r}")
        unset = "settings" in record and record["settings"] is None
        try:
            keys = ("versions", "stages") if unset else ("settings", "versions", "stages")
            expect_mappings(record, keys, self.record_file)
            expect_mappings(record["stages"], record["stages"], f"{self.record_file}: stages")
        except ValueError as error:
            raise ValueError(f"{error}; delete it, and the same command makes all stages of the run again") from error
        return record

    def write_settings(self, settings: Mapping[str, Any], preset_overrides: Mapping[str, Any] | None = None) -> None:
        """Keep the resolved settings and the versions in force; stages done so far stay recorded.

        preset_overrides: settings that are not those of the preset they name, kept as ``differs_from_preset``.
        """
        with self._changed() as record:
            record |= {"settings": dict(settings), "versions": _versions()}
            record.pop("differs_from_preset", None)
            if preset_overrides:
                record["differs_from_preset"] = dict(preset_overrides)

    def stage_key(self, stage: str) -> str | None:
        """The key of what `stage` last finished, or None."""
        return self.read()["stages"].get(stage, {}).get("key")

    def record_stage(self, stage: str, key: str, seconds: float, facts: Mapping[str, Any]) -> None:
        """Note that `stage` is done: its key, wall seconds and plain figures."""
        with self._changed() as record:
            finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            record["stages"][stage] = {"key": key, "seconds": round(seconds, 1), "finished": finished, **facts}

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        """The record to be changed, which is written where it was: one process at a time, as all but writers may."""
        with brief_lock(self.record_file.with_name(".run.yaml.lock")):
            record = self.read()
            before = copy.deepcopy(record)
            yield record
            if record != before:
                write_yaml(self.record_file, record)

    def fixed_classes(self) -> tuple[str, ...] | None:
        """The run's class list in the order of its labels, or None before it is fixed."""
        if not self.classes_file.is_file():
            return None
        return tuple(self.classes_file.read_text(encoding="utf-8").splitlines())

    def fix_classes(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Keep the class list of the run. Raises ValueError where the run has another one already."""
        fixed = self.fixed_classes()
        if fixed is None:
            write_text(self.classes_file, "".join(f"{name}\n" for name in classes))
        elif fixed != tuple(classes):
            raise ValueError(
                f"{self.classes_file}: the run's {len(fixed)} classes are {', '.join(fixed)}; "
                f"got {len(classes)} others: {', '.join(classes)}. Use another --run for another class list"
            )
        return tuple(classes)
