"""The run folder: where one experiment keeps its settings, its class list and what every stage made."""

import copy
import importlib.metadata
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detection.storage.atomic import remove_leftovers, write_text
from detection.storage.fingerprint import file_fingerprint
from detection.storage.lock import brief_lock, folder_lock
from detection.storage.notices import notice, notice_damaged
from detection.storage.plain import expect_mappings
from detection.storage.sealed import read_sealed_yaml, write_sealed_yaml

FORMAT_VERSION = 1
_REMEDY = "move it away: the stages are then gone through again, under the settings that you give"
# The packages whose version can change a figure.
_PACKAGES = (
    "sppnet", "numpy", "numba", "opencv-python-headless", "Pillow", "openvino", "scikit-learn", "torch", "torchvision",
    "timm",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Package -> version of those that can change a figure; ``python``; ``platform``, the system."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


class RunFolder:
    """Paths and records of one run.

    ``run.yaml`` keeps the resolved settings, package versions, the class list and, per stage, the key of all that made
    its result, seconds, figures, and the fingerprints of what it wrote in formats that hold none. Every write is
    atomic. Raises ValueError where ``run.yaml`` is damaged or of another format version.
    """

    def __init__(self, path: Path | str) -> None:
        # Workers elsewhere have another working folder.
        self.path = Path(path).absolute()
        self.record_file = self.path / "run.yaml"
        self.classes_file = self.path / "classes.txt"
        self.proposals = self.path / "proposals"
        self.features = self.path / "features"
        self.regions = self.path / "regions"
        self.finetuned = self.path / "finetuned"
        self.detector = self.path / "detector"
        self.mining = self.path / "mining"
        self.regression = self.path / "regression"
        self.detections = self.path / "detections"
        self.evaluation = self.path / "evaluation"
        self.drawings = self.path / "drawings"
        self.labelling = self.path / "labelling"

    @contextmanager
    def written(self) -> Iterator[None]:
        """Be the one process that writes in the run; what killed ones left half written is removed first.

        Raises LockedError as `folder_lock`. Whoever only reads needs none: files are whole at any time.
        """
        with folder_lock(self.path):
            trained = self.finetuned, self.mining, self.regression, self.detector
            labelled = self.labelling, self.labelling / "detector"
            for folder in (
                self.path,
                self.proposals,
                *trained,
                *labelled,
                self.detections,
                self.detections / "parts",
                self.evaluation,
                self.drawings,
                *self.features.glob("*"),
            ):
                remove_leftovers(folder)
            yield

    def read(self) -> dict[str, Any]:
        """The content of ``run.yaml``; an empty record where there is none yet.

        Keys: format_version; settings, None before they are written; versions (package -> version); stages
        (name -> key, seconds, finished, figures and files: name -> fingerprint); classes, where they are fixed.
        """
        if not self.record_file.is_file():
            return {"format_version": FORMAT_VERSION, "settings": None, "versions": {}, "stages": {}}
        record = read_sealed_yaml(self.record_file, _REMEDY)
        version = record.get("format_version") if isinstance(record, dict) else None
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{self.record_file}: expected format_version {FORMAT_VERSION}, got {version!r}; {_REMEDY}"
            )
        unset = "settings" in record and record["settings"] is None
        try:
            keys = ("versions", "stages") if unset else ("settings", "versions", "stages")
            expect_mappings(record, keys, self.record_file)
            expect_mappings(record["stages"], record["stages"], f"{self.record_file}: stages")
            if not isinstance(classes := record.get("classes", []), list):
                raise ValueError(f"{self.record_file}: classes: expected a list, got {classes!r:.80}")
        except ValueError as error:
            raise ValueError(f"{error}; {_REMEDY}") from error
        return record

    def write_settings(self, settings: Mapping[str, Any], preset_overrides: Mapping[str, Any] | None = None) -> None:
        """Keep the resolved settings and the versions in force; stages done so far stay recorded.

        preset_overrides: settings that are not those of the preset they name, kept as ``differs_from_preset``.
        """
        with self._changed() as record:
            record |= {"settings": dict(settings), "versions": versions()}
            record.pop("differs_from_preset", None)
            if preset_overrides:
                record["differs_from_preset"] = dict(preset_overrides)

    def stage_key(self, stage: str) -> str | None:
        """The key of what `stage` last finished, or None."""
        return self.read()["stages"].get(stage, {}).get("key")

    def record_stage(
        self, stage: str, key: str, seconds: float | None, facts: Mapping[str, Any], files: Iterable[Path] = ()
    ) -> None:
        """Note that `stage` is done: its key, wall seconds, None where nobody knows them any more, and plain figures.

        files: what it wrote in the run in formats that hold no fingerprint; `are_whole` tells whether it still is.
        """
        content = {path.relative_to(self.path).as_posix(): file_fingerprint(path) for path in files}
        time_taken = {} if seconds is None else {"seconds": round(seconds, 1)}
        facts = {**facts, **({"files": content} if content else {})}
        with self._changed() as record:
            finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            record["stages"][stage] = {"key": key, **time_taken, "finished": finished, **facts}

    def forget_stage(self, stage: str) -> None:
        """Take back that `stage` is done."""
        with self._changed() as record:
            record["stages"].pop(stage, None)

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        """The record to be changed, which is written where it was: one process at a time, as all but writers may."""
        with brief_lock(self.record_file.with_name(".run.yaml.lock")):
            record = self.read()
            before = copy.deepcopy(record)
            yield record
            if record != before:
                write_sealed_yaml(self.record_file, record, durable=True)

    def are_whole(self, *paths: Path) -> bool:
        """Whether files of the run are there, and as a stage wrote them, if one did; damage is said."""
        if not all(path.is_file() for path in paths):
            return False
        stages = self.read()["stages"].values()
        contents = {name: content for one in stages for name, content in one.get("files", {}).items()}
        for path in paths:
            expected, found = contents.get(path.relative_to(self.path).as_posix()), file_fingerprint(path)
            if expected not in (None, found):
                notice_damaged(f"{path}: damaged: expected content of fingerprint {expected}, got {found}")
                return False
        return True

    def fixed_classes(self) -> tuple[str, ...] | None:
        """The run's class list in the order of its labels, or None before it is fixed.

        It is that of ``run.yaml``; a ``classes.txt`` that is another one is said.
        """
        kept, written = self.read().get("classes"), self._written_classes()
        if kept is None:
            return written
        if written is not None and written != tuple(kept):
            notice(
                f"{self.classes_file}: damaged or changed by hand ({list_changes(kept, written)}); the run's classes "
                f"are {', '.join(kept)}, as {self.record_file.name} keeps them. For others: --dataset.classes FILE"
            )
        return tuple(kept)

    def _written_classes(self) -> tuple[str, ...] | None:
        if not self.classes_file.is_file():
            return None
        return lines_of(self.classes_file.read_text(encoding="utf-8", errors="replace"))

    def fix_classes(self, classes: Sequence[str], replace: bool = False) -> tuple[str, ...]:
        """Keep the class list of the run, in place of another one if `replace`.

        Raises ValueError where the run has another one already.
        """
        fixed = self.fixed_classes()
        if fixed is not None and fixed != tuple(classes) and not replace:
            raise ValueError(
                f"{self.classes_file}: the run's {len(fixed)} classes are {', '.join(fixed)}; data and settings ask "
                f"for {len(classes)}: {list_changes(fixed, classes)}. --classes_changed retrain trains anew with "
                "these, in place of what was trained; --classes_changed keep goes on with the run's, and leaves "
                "objects of others out; another --run leaves this one as it is"
            )
        if self.read().get("classes") != list(classes):
            with self._changed() as record:
                record["classes"] = list(classes)
        if self._written_classes() != tuple(classes):
            write_text(self.classes_file, "".join(f"{name}\n" for name in classes), durable=True)
        return tuple(classes)


def lines_of(text: str) -> tuple[str, ...]:
    """The lines of a class list: names may hold what Unicode counts as the end of a line."""
    return tuple(filter(None, text.split("\n")))


def list_changes(before: Sequence[str], after: Sequence[str]) -> str:
    """What a class list has more, and what it has no more."""
    added, gone = ([one for one in some if one not in others] for some, others in ((after, before), (before, after)))
    found = [f"{word} {', '.join(names)}" for word, names in (("added", added), ("gone", gone)) if names]
    return "; ".join(found) or "the same in another order"
