"""What an experiment keeps of its stages: which are done, by which key, in what time, and what a user is told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from detection.learning import FEW_POSITIVES, MiningLog
from detection.pipeline.inputs import ExperimentInputs
from detection.pipeline.prepare import PROPOSALS, prepare_images
from detection.pipeline.train import mining_table
from detection.pipeline.work import peak_memory_mib
from detection.types import Detections


class Bookkeeping(ExperimentInputs):
    """The record of a run's stages in its folder."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Arguments of `ExperimentInputs`."""
        super().__init__(*arguments, **named)
        self._seen: set[str] = set()
        # The key of the detections that were read last, and they: drawing, evaluation and report read the same ones.
        self._read_detections: tuple[str, list[Detections]] = "", []

    def check_trained(self) -> None:
        """Raise ValueError unless the run's detector was trained with the settings and data in force."""
        self._check_trained("svms", self.svm_key, "train_svm.py")
        if "regressors" in self.trained():
            self._check_trained("regressors", self.regression_key, "train_bbox.py")

    def _check_no_edits(self) -> None:
        """Raise ValueError where training anew would lose what a user did to the classes."""
        if self.edits:
            done = ", ".join(" ".join(one[: 3 if one[0] == "rename" else 2]) for one in self.edits)
            raise ValueError(
                f"{self.run.detector}: its classes were changed by hand ({done}), and training with other settings or "
                "data would lose that; use another --run, or move this folder away"
            )

    def report_mining(self, log: MiningLog, classes: Sequence[str]) -> None:
        """Print what mining did, and warn of what a user should know of his classes."""
        self.work.console.print(mining_table(log, classes), highlight=False, markup=False, soft_wrap=True)
        for name in sorted({classes[entry.label] for entry in log.entries if not entry.converged}):
            self.warn(f"the SVM of {name} did not converge; see mining.csv")
        if any(entry.left_out for entry in log.entries):
            self.warn("hard negatives were left out for lack of memory: svm.memory_mib; see mining.csv")
        few = [f"{classes[i]} {count}" for i, count in enumerate(log.positives) if 0 < count < FEW_POSITIVES]
        if few:
            self.warn(f"fewer than {FEW_POSITIVES} positives: {', '.join(few)}; docs/learning.md tells what to expect")

    def _prepare(self, *parts: str) -> None:
        """Proposals, maps or both, once for an experiment: what is lost later is made again where it is read.

        Of the time of both in one go each stage has the share that was spent on it.
        """
        parts = tuple(one for one in parts if one not in self._seen)
        if not parts:
            return
        started = time.monotonic()
        made = prepare_images(self.source, self.images, self.work, parts)
        seconds = time.monotonic() - started
        for part, facts in made.items():
            key = self.source.store().key if part == PROPOSALS else self.source.cache().key
            if facts.figures["made"] or not self._is_done(part, key, key):
                self._record(part, key, seconds * facts.share, facts.figures)
            self._seen.add(part)

    def _is_done(self, stage: str, key: str, found: str | None) -> bool:
        # Changes of classes are made beside the stages: the detector itself says whether it is of this key.
        done = found == key and (self.run.stage_key(stage) == key or (stage in ("svms", "regressors") and self.edits))
        if done:
            self.work.console.print(f"{stage}: done before", highlight=False)
        return bool(done)

    def _check_trained(self, part: str, key: str, tool: str) -> None:
        found = self.trained().get(part)
        if found != key:
            state = "there are none" if found is None else "they are of other settings or data"
            raise ValueError(
                f"{self.run.detector}: expected {part} of the settings in force, {state}; run tools/{tool}"
            )

    def _finish(self, stage: str, key: str, started: float, facts: Mapping[str, Any]) -> None:
        self._record(stage, key, time.monotonic() - started, facts)

    def _record(self, stage: str, key: str, seconds: float, facts: Mapping[str, Any]) -> None:
        if self.record is not None:
            self.run.write_settings(self.record, self.preset_overrides)
        self.run.record_stage(stage, key, seconds, {**facts, "peak_memory_mib": peak_memory_mib()})
        shown = ", ".join(f"{name} {value}" for name, value in facts.items())
        self.work.console.print(f"{stage}: {seconds:.1f} s; {shown}", highlight=False)
