"""Trials of the campaign: each in a process and a folder of its own, two at a time, and what became of them."""

import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape


@dataclass(frozen=True)
class Trial:
    """What was tried, and what was wrong with what came: nothing where it held.

    command: shows it again, run in the folder that `kept` lies in. kept: files and folders that are needed for that.
    """

    name: str
    fault: str = ""
    command: str = ""
    kept: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Job:
    """Some trials that go together. work: given an empty folder of its own, it gives them. limit: seconds for it."""

    part: str
    name: str
    work: Callable[[Path], Iterable[Trial]]
    limit: float = 600


@dataclass
class Tally:
    """How many were tried in a part, and the failed ones."""

    tried: int = 0
    seconds: float = 0
    failed: list[Trial] = field(default_factory=list)


class Campaign:
    """Does jobs and keeps count. out: where the failing inputs go, a folder each with a README."""

    def __init__(self, out: Path, scratch: Path, slots: int, ends: float) -> None:
        self.out, self.scratch, self.slots, self.ends = out, scratch, slots, ends
        self.tallies: dict[str, Tally] = {}

    def run(self, part: str, jobs: Iterable[Job]) -> None:
        """Do the jobs of a part, `slots` at a time, none after the end of the time; tell of each fault at once."""
        tally, started, working, waiting = self.tallies.setdefault(part, Tally()), time.monotonic(), [], iter(jobs)
        more = True
        while more or working:
            while more and len(working) < self.slots:
                job = next(waiting, None) if time.monotonic() < self.ends else None
                more = job is not None
                if job is not None:
                    working.append(_Process(job, self.scratch))
            time.sleep(0.02)
            for one in [one for one in working if one.is_done()]:
                working.remove(one)
                for trial in one.trials():
                    tally.tried += 1
                    if trial.fault:
                        tally.failed.append(trial)
                        self._keep(part, len(tally.failed), trial)
                one.clear()
        tally.seconds += time.monotonic() - started

    def _keep(self, part: str, number: int, trial: Trial) -> None:
        folder = self.out / part / f"{number:04}"
        folder.mkdir(parents=True)
        for one in trial.kept:
            if one.is_dir():
                shutil.copytree(one, folder / one.name, symlinks=True)
            elif one.exists():
                shutil.copy2(one, folder / one.name)
        text = f"{trial.name}\n\n{trial.fault}\n\nin this folder:\n{trial.command}\n"
        (folder / "README").write_text(text, encoding="utf-8", errors="backslashreplace")
        shown = f"FAILED {part} {trial.name}: {trial.fault.strip()} [{folder}]"
        print(printable(shown)[:600], flush=True)


def printable(text: str) -> str:
    """Text without control characters, on one line."""
    return escape("".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text))


class _Process:
    """A job in a forked child."""

    def __init__(self, job: Job, scratch: Path) -> None:
        self.job, self.started = job, time.monotonic()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{job.part}-", dir=scratch))
        self.fault = ""
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setsid()
                self._work()
                status = 0
            except BaseException:
                (self.folder / "crash").write_text(traceback.format_exc())
            finally:
                os._exit(status)

    def _work(self) -> None:
        work = self.folder / "work"
        work.mkdir()
        with (self.folder / "trials").open("wb") as file:
            for trial in self.job.work(work):
                # What is kept is moved at once: a job may use its files again.
                kept = self._keep(trial) if trial.fault else ()
                pickle.dump(Trial(trial.name, trial.fault, trial.command, kept), file)
                file.flush()

    def _keep(self, trial: Trial) -> tuple[Path, ...]:
        folder = Path(tempfile.mkdtemp(prefix="kept-", dir=self.folder))
        for one in trial.kept:
            if one.is_dir():
                shutil.copytree(one, folder / one.name, symlinks=True)
            elif one.exists():
                shutil.copy2(one, folder / one.name)
        return tuple(folder.iterdir())

    def is_done(self) -> bool:
        done, _ = os.waitpid(self.pid, os.WNOHANG)
        if not done and time.monotonic() - self.started > self.job.limit:
            end_group(self.pid)
            os.waitpid(self.pid, 0)
            self.fault, done = f"the trial itself took more than {self.job.limit:g} s", self.pid
        return bool(done)

    def trials(self) -> Iterator[Trial]:
        if (self.folder / "trials").exists():
            with (self.folder / "trials").open("rb") as file:
                while file.peek(1):
                    yield pickle.load(file)
        crash = self.folder / "crash"
        fault = self.fault or (crash.read_text() if crash.exists() else "")
        if fault:
            yield Trial(f"{self.job.name}: the campaign's own fault", fault)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def end_group(pid: int) -> None:
    """Kill a process and all of its group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def table(tallies: dict[str, Tally]) -> list[list[str]]:
    """Rows of part, tried, held, failed; the last is of all."""
    rows = [[part, one.tried, one.tried - len(one.failed), len(one.failed)] for part, one in tallies.items()]
    rows.append(["all", *(sum(row[place] for row in rows) for place in (1, 2, 3))])
    return [[str(row[0]), *(f"{value:,}" for value in row[1:])] for row in rows]
