"""Mutants tried in copies of the tree: a child of a process that has imported the large libraries runs the tests."""

import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.draw import PACKAGE, ROOT, Mutant, asked_tests

# Imported once, before anything is mutated: a child begins with them. None of them starts a thread.
_LIBRARIES = (
    "numpy", "scipy.io", "scipy.optimize", "scipy.sparse", "sklearn", "numba", "cv2", "PIL.Image", "yaml",
    "rich.console", "rich.progress", "jsonargparse", "safetensors.numpy", "torch", "torchvision", "timm", "pytest",
    "hypothesis.extra.numpy",
)  # fmt: skip
_COPIED = (PACKAGE, "tests", "tools", "examples", "docs", "data", "pyproject.toml", "README.md", "Makefile", ".ci")


@dataclass
class Result:
    """What became of a mutant: ``killed``, ``lived``, or ``limit`` where the time ended before its tests did.

    by: the test that found it; ``hung`` behind it where it was stopped for its time.
    """

    mutant: Mutant
    outcome: str
    by: str
    seconds: float
    log: str


@dataclass(frozen=True)
class Limits:
    """Seconds for one mutant, and for one test; what takes longer than that was made to hang by the mutant."""

    mutant: float
    test: float


@dataclass
class _Child:
    """A mutant in work: the process, its copy, when it began, its file of progress."""

    mutant: Mutant | None
    copy: Path
    pid: int
    started: float = field(default_factory=time.monotonic)

    @property
    def progress(self) -> Path:
        return self.copy.with_suffix(".progress")

    @property
    def log(self) -> Path:
        return self.copy.with_suffix(".log")


def try_mutants(
    mutants: Sequence[Mutant],
    folder: Path,
    workers: int,
    limits: Limits,
    told: Callable[[Result], None],
) -> list[Result]:
    """Try each mutant and return what became of them, in their order; `told` hears of each as it is done.

    A test that finds a mutant and fails without one too has found nothing: at the end those tests are run on the
    tree as it is, and the mutants of those that fail are tried again without them.
    """
    # Several at a time: more threads would wait for one another.
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in _LIBRARIES:
        importlib.import_module(name)
    copies = [_copy_tree(folder / str(number)) for number in range(workers)]
    results, left, not_asked = {}, list(mutants), set()
    while left:
        for one in _all(left, copies, limits, not_asked):
            results[one.mutant.number] = one
            told(one)
        failing = _failing(copies[0], {one.by for one in results.values() if one.outcome == "killed"} - not_asked)
        left = [one.mutant for one in results.values() if one.by in failing]
        not_asked |= failing
    return [results[number] for number in sorted(results)]


def _copy_tree(copy: Path) -> Path:
    """The tree with the caches of its compiled kernels, which are valid where a file has its time and size."""
    copy.mkdir(parents=True)
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("*.pyc", "mutants"))
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, copy / name)
    (copy / "configs").symlink_to(f"{PACKAGE}/configs")
    shared = copy.parent / "shared"
    if (ROOT.parent / "shared").is_dir() and not shared.exists():
        shared.symlink_to(ROOT.parent / "shared")
    return copy


def _all(left: Sequence[Mutant], copies: Sequence[Path], limits: Limits, not_asked: Collection[str]):
    """Each result as it comes."""
    waiting, free, working = list(left), list(copies), []
    while waiting or working:
        while waiting and free:
            working.append(_start(waiting.pop(0), free.pop(), not_asked))
        time.sleep(0.1)
        for child in list(working):
            result = _result(child, limits)
            if result is not None:
                working.remove(child)
                _restore(child)
                free.append(child.copy)
                yield result


def _start(mutant: Mutant, copy: Path, not_asked: Collection[str]) -> _Child:
    path = copy / mutant.file
    path.write_bytes(mutant.mutation.applied(path.read_bytes()))
    if path.stem.endswith("_kernels"):
        # A cache of kernels does not know that another file's function, compiled into it, has changed.
        for cache in path.parent.glob("__pycache__/*.nb?"):
            cache.unlink()
    more = ["-x", *(f"--deselect={one}" for one in sorted(not_asked))]
    return _fork(mutant, copy, [[*tests, *more] for tests in asked_tests(mutant.file, copy) if tests])


def _restore(child: _Child) -> None:
    file = child.mutant.file
    shutil.copy2(ROOT / file, child.copy / file)
    if Path(file).stem.endswith("_kernels"):
        caches = Path(file).parent / "__pycache__"
        shutil.rmtree(child.copy / caches, ignore_errors=True)
        if (ROOT / caches).is_dir():
            shutil.copytree(ROOT / caches, child.copy / caches)


def _fork(mutant: Mutant | None, copy: Path, calls: Sequence[Sequence[str]]) -> _Child:
    sys.stdout.flush()
    pid = os.fork()
    child = _Child(mutant, copy, pid)
    if pid == 0:
        status = 70
        try:
            status = _run_tests(child, calls)
        finally:
            os._exit(status)
    return child


def _run_tests(child: _Child, calls: Sequence[Sequence[str]]) -> int:
    """In the child: pytest on the copy, with each list of arguments until one of them fails; returns its exit status.

    It is a group of its own, so that it can be ended with all that it starts. The near tests are a call of their own:
    to collect the others takes longer than most mutants live.
    """
    import pytest

    os.setsid()
    os.chdir(child.copy)
    log = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ |= {"PYTHONPATH": str(child.copy), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    # The package and the tests of the copy, not those that this process came with.
    sys.path[:] = [str(child.copy), *(one for one in sys.path if one not in ("", str(ROOT)))]
    for name in [one for one in sys.modules if one.split(".")[0] in (PACKAGE, "tests")]:
        del sys.modules[name]
    base = child.copy.with_suffix(".tmp")
    shutil.rmtree(base, ignore_errors=True)
    options = ["-p", "no:cacheprovider", f"--basetemp={base}", "--hypothesis-seed=0", "--tb=short"]
    progress = _Progress(child.progress)
    return next((code for one in calls if (code := int(pytest.main([*one, *options], plugins=[progress])))), 0)


class _Progress:
    """Writes what is being tested into a file: a line ``start``, ``failed`` and the test's name."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("w", buffering=1)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.file.write(f"start {nodeid}\n")

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            self.file.write(f"failed {report.nodeid}\n")

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.file.write(f"failed {report.nodeid}\n")


def _result(child: _Child, limits: Limits) -> Result | None:
    """What became of a child, None while it works; one that takes too long is ended."""
    done, status = os.waitpid(child.pid, os.WNOHANG)
    now, seconds = time.time(), time.monotonic() - child.started
    lines = child.progress.read_text().splitlines() if child.progress.exists() else []
    word, _, test = (lines or ["start "])[-1].partition(" ")
    if done:
        _end(child)
        code = os.waitstatus_to_exitcode(status)
        outcome = "lived" if code == 0 else "killed"
        by = test if word == "failed" else f"{test} (exit status {code})"
    elif lines and now - child.progress.stat().st_mtime > limits.test:
        outcome, by = "killed", f"{test} (hung)"
    elif seconds > limits.mutant:
        outcome, by = "limit", ""
    else:
        return None
    if not done:
        _end(child)
        os.waitpid(child.pid, 0)
    child.progress.unlink(missing_ok=True)
    tail = child.log.read_text(errors="replace")[-3000:] if child.log.exists() else ""
    return Result(
        child.mutant, outcome, by if outcome == "killed" else "", seconds, tail if outcome == "killed" else ""
    )


def _end(child: _Child) -> None:
    """End the child's group: of one that is done, what it left running."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _failing(copy: Path, tests: Collection[str]) -> set[str]:
    """Which of these tests fail on the tree as it is."""
    asked = sorted(one for one in tests if " (" not in one)
    if not asked:
        return set()
    child = _fork(None, copy, [asked])
    os.waitpid(child.pid, 0)
    lines = child.progress.read_text().splitlines() if child.progress.exists() else []
    return {one.removeprefix("failed ") for one in lines if one.startswith("failed ")} & set(asked)
