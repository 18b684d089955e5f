"""The machine failing under a run: a full or read-only disk, too little memory; a second process in the same run."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.campaign.calls import Call, Done, Running, address_space, do
from tests.campaign.runs import FINETUNED, Material, bits, changes_of, copied, difference
from tests.campaign.trials import Job, Trial

DISKS, READ_ONLY, MEMORIES, PAIRS = 40, 10, 30, 30
# Enough for what a stage reserves before it begins.
_DISK = "4g"
# Kind of failure -> words of which its line has one, and the exit statuses that fit. A folder that cannot be written to
# may be refused before anything is begun. What lacks memory says so in many words, by the library that lacks it.
_TOLD = {
    "full": (("space", "full", "disk"), (1,)),
    "read-only": (("ead-only", "ermission", "write"), (1, 2)),
    "memory": ((), (1,)),
}
_LOCK_WORDS = ("process", "pid", "lock")


def disk_jobs(material: Material, seed: int, share: float) -> Iterator[Job]:
    """Disks that are full, or read-only, from some change of a file on; nothing where this user cannot mount."""
    if not _can_mount(material.folder / "mounted"):
        print("disk: skipped, it takes a user who may mount a tmpfs")
        return
    for kind, count in (("full", DISKS), ("read-only", READ_ONLY)):
        for call, result in _commands(material):
            number = max(round(count * share / 4), 1)
            work = partial(_try_disks, call=call, result=result, kind=kind, seed=seed, count=number)
            yield Job("disk", f"{kind} disk: {call.name}", work, limit=1800)


def _commands(material: Material) -> list[tuple[Call, str]]:
    """Commands that write much, with the folder that they write."""
    photos, root = str(next(material.root.rglob("JPEGImages"))), str(material.root)
    return [
        (material.call("run_pipeline", run="disk/run"), "run"),
        (material.call("run_pipeline", *FINETUNED, run="disk/run"), "run"),
        (Call("detect", (f"--model={material.finished / 'detector'}", photos, "--out=disk/out", "--workers=1")), "out"),
        (Call("dataset", ("convert", root, "--to=coco", "--out=disk/out")), "out"),
    ]


def _can_mount(folder: Path) -> bool:
    try:
        with _mounted(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _mounted(folder: Path) -> Iterator[Path]:
    """A disk in memory at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={_DISK}", "campaign", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _try_disks(folder: Path, call: Call, result: str, kind: str, seed: int, count: int) -> Iterator[Trial]:
    calm = folder / "calm"
    (calm / "disk").mkdir(parents=True)
    changes = [number for number, line in enumerate(changes_of(call, calm), start=1) if "/disk/" in line]
    expected = bits(calm / "disk" / result)
    for number in range(count):
        rng = random.Random(f"{kind} disk {call} {seed} {number}")
        at, slack = rng.choice(changes), rng.choice((0, 4, 16, 64, 256))
        place = folder / str(number)
        place.mkdir()
        with _mounted(place / "disk") as disk:
            stop = partial(_fill, disk, slack) if kind == "full" else partial(_lock, disk)
            done = do(call, place, stop_at=at, stop=stop)
            _mend(disk)
            fault = _after(done, call, place, disk / result, expected, kind)
        yield Trial(f"{kind} disk from change {at} on, {slack} KiB left", fault, str(call))


def _fill(disk: Path, slack: int) -> None:
    """Make the disk as small as what lies on it, and so many KiB."""
    state = os.statvfs(disk)
    used = (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
    _mount("-o", f"remount,size={max(used + slack, 4)}k", str(disk))


def _lock(disk: Path) -> None:
    """Lay a read-only view of the disk over it: a disk with files that are open for writing takes no other way."""
    _mount("--bind", str(disk), str(disk))
    _mount("-o", "remount,bind,ro", str(disk))


def _mend(disk: Path) -> None:
    """Take away what `_fill` or `_lock` did."""
    if os.statvfs(disk).f_flag & os.ST_RDONLY:
        subprocess.run(["umount", str(disk)], check=True)
    _mount("-o", f"remount,size={_DISK}", str(disk))


def _after(done: Done, call: Call, place: Path, result: Path, expected: dict[str, bytes], kind: str) -> str:
    """What is wrong with a call that its machine failed, or with the same call when the cause is gone."""
    if done.status != 0:
        words, statuses = _TOLD[kind]
        if fault := done.refusal_fault(*words, statuses=statuses):
            return fault
        done = do(call, place)
        if done.status != 0:
            return f"when the cause was gone, exit status {done.status}: {done.errors[-1500:]}"
    other = difference(bits(result), expected)
    return f"other results than undisturbed: {other}" if other else ""


def memory_jobs(material: Material, seed: int, share: float) -> Iterator[Job]:
    """Commands with less memory than they want."""
    commands = [
        (material.call("run_pipeline"), None, "run"),
        (material.call("run_pipeline", *FINETUNED), None, "run"),
        (Call("detect", ("--model=run/detector", str(next(material.root.rglob("JPEGImages"))), "--out=out",
                         "--workers=1")), material.finished, "out"),
    ]  # fmt: skip
    for call, start, result in commands:
        count = max(round(MEMORIES * share / len(commands)), 1)
        work = partial(_try_memories, call=call, start=start, result=result, seed=seed, count=count)
        yield Job("memory", call.name, work, limit=1800)


def _try_memories(folder: Path, call: Call, start: Path | None, result: str, seed: int, count: int) -> Iterator[Trial]:
    def started(name: str) -> Path:
        place = folder / name
        place.mkdir()
        if start is not None:
            copied(start, place)
        return place

    calm = started("calm")
    do(call, calm)
    expected = bits(calm / result)
    for number in range(count):
        mib = round(2 ** random.Random(f"memory {call} {seed} {number}").uniform(7, 11))
        place = started(str(number))
        done = do(call, place, before=address_space(mib))
        fault = _after(done, call, place, place / result, expected, "memory")
        yield Trial(f"{mib} MiB more than at the start", fault, f"(ulimit -v, {mib} MiB) {call}")
        shutil.rmtree(place)


def pair_jobs(material: Material, seed: int, share: float) -> Iterator[Job]:
    """Two commands on one run at a time: writers of the same end, and a reader beside a writer."""
    run, tuned = material.call("run_pipeline"), material.call("run_pipeline", *FINETUNED)
    with_workers = material.call("run_pipeline", "--workers=2")
    report = Call("report", ("--run=run", "--workers=1"))
    evaluate = Call("evaluate", ("--run=run", "--workers=1"))
    pairs: list[tuple[Call, Call]] = [
        (run, run), (with_workers, run), (tuned, tuned), (run, material.call("train_svm")),
        (run, material.call("proposals", first=("generate",))), (run, report), (run, evaluate),
    ]  # fmt: skip
    count = max(round(PAIRS * share / len(pairs)), 1)
    for place, (first, second) in enumerate(pairs):
        seeds = [f"pair {place} {seed} {one}" for one in range(count)]
        work = partial(_try_pair, first=first, second=second, seeds=seeds)
        yield Job("two", f"{first.name} and {second.name}", work, limit=1800)


def _try_pair(folder: Path, first: Call, second: Call, seeds: list[str]) -> Iterator[Trial]:
    calm = folder / "calm"
    calm.mkdir()
    before = time.monotonic()
    done = do(first, calm)
    seconds, expected = time.monotonic() - before, bits(calm / "run")
    if done.status != 0:
        yield Trial(str(first), f"undisturbed it ended with exit status {done.status}: {done.errors[-1500:]}")
        return
    for seed in seeds:
        delay = random.Random(seed).choice((0.0, random.Random(seed).uniform(0, seconds)))
        place = folder / "both"
        place.mkdir()
        one = Running(first, place)
        time.sleep(delay)
        other = Running(second, place)
        ends = [one.wait(), other.wait()]
        fault = _pair_fault(ends, second.name in ("report", "evaluate"))
        if not fault:
            # What was refused is given again.
            again = do(first, place)
            wrong = difference(bits(place / "run"), expected)
            if again.status != 0 or wrong:
                fault = (
                    f"afterwards: exit status {again.status}, other results: {wrong or 'none'} {again.errors[-800:]}"
                )
        yield Trial(f"{second} {delay:.2f} s behind", fault, f"{first} & {second}", (place,) if fault else ())
        shutil.rmtree(place)


def _pair_fault(ends: list[Done], reads: bool) -> str:
    """What is wrong with how two ended: one may be refused for the other's sake, not both."""
    refused = [one for one in ends if one.status != 0]
    for one in refused:
        # A reader can be too early: there is nothing to read yet.
        words = () if reads and one is ends[1] else _LOCK_WORDS
        if fault := one.refusal_fault(*words):
            return fault
    return "both were refused" if len(refused) == len(ends) else ""


PARTS: dict[str, Callable[[Material, int, float], Iterator[Job]]] = {
    "disk": disk_jobs,
    "memory": memory_jobs,
    "two": pair_jobs,
}
