"""A stage of a run: what it reads, what it makes, and the key of all that decides its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detection.pipeline.experiment import Experiment


@dataclass(frozen=True)
class Stage:
    """One step of a run; ``pipeline.stages.STAGES`` has them in order.

    name: in ``run.yaml`` and on the screen. command: what follows ``sppnet`` to make it. place: what it makes, a file
    or folder. files: what it writes in formats that hold no fingerprint; ``run.yaml`` keeps theirs, which `recorded`
    looks at. key: of all that decides the result: equal keys, equal results. kept: the key of what is on file, None
    where it is absent or not whole. run: makes it, and returns the figures that ``run.yaml`` keeps; None where
    another process does. cleared: takes away what only helped to make it, once that is recorded. needs: the stages
    whose results it reads, under the settings in force. wanted: whether the settings ask for it in a whole run.
    """

    name: str
    command: str
    place: Callable[[Experiment], Path]
    key: Callable[[Experiment], str]
    kept: Callable[[Experiment], str | None]
    run: Callable[[Experiment], Mapping[str, Any] | None]
    needs: Callable[[Experiment], tuple[Stage, ...]] = lambda _: ()
    wanted: Callable[[Experiment], bool] = lambda _: True
    files: Callable[[Experiment], Iterable[Path]] = lambda _: ()
    cleared: Callable[[Experiment], None] = lambda _: None

    def make(self, experiment: Experiment) -> None:
        """Make what is not there yet. Raises ValueError where a result it needs is absent or of other settings."""
        for one in self.needs(experiment):
            one.require(experiment)
        started = time.monotonic()
        kept = self.kept(experiment)
        if kept is not None and kept == self.key(experiment):
            experiment.say(f"{self.name}: done before")
            if experiment.run.stage_key(self.name) != kept and not experiment.edits:
                # Killed between the result and its record: the figures are lost, settings and key need not be.
                experiment.keep_settings()
                experiment.run.record_stage(self.name, kept, None, {}, self.files(experiment))
            self.cleared(experiment)
            return
        figures = self.run(experiment)
        if figures is not None:
            # A stage may have others made on its way, and be of them: its key is the one of now.
            seconds = time.monotonic() - started
            experiment.record_stage(self.name, self.key(experiment), seconds, figures, self.files(experiment))
            self.cleared(experiment)

    def require(self, experiment: Experiment) -> None:
        """Raise ValueError unless its result is on file and of the settings and data in force."""
        found = self.kept(experiment)
        if found != self.key(experiment):
            state = "there are none, or none that are whole" if found is None else "they are of other settings or data"
            raise ValueError(
                f"{self.place(experiment)}: expected {self.name} of the settings in force, {state}; "
                f"run sppnet {self.command}"
            )


def recorded(experiment: Experiment, name: str, *files: Path) -> str | None:
    """The key under which a stage was last finished: the usual ``Stage.kept``.

    None where one of its files is gone, or is not as it was written.
    """
    return experiment.run.stage_key(name) if experiment.run.are_whole(*files) else None


def begin(experiment: Experiment, name: str, key: str) -> None:
    """Forget the record of a stage that makes again what it had made: it must not vouch for what is cut short."""
    if experiment.run.stage_key(name) == key:
        experiment.run.forget_stage(name)
