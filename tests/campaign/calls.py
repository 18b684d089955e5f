"""Commands of the package, each in a child of this process, which has imported all that they need."""

import importlib
import os
import resource
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from tests.campaign.trials import end_group

# The events at which a process can be ended: what it does to a file, told before it is done.
_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
_LIBRARIES = (
    "torch", "torchvision", "timm", "numba", "cv2", "scipy.io", "scipy.optimize", "sklearn", "jinja2", "pycocotools",
    "jsonargparse", "openvino", "safetensors.numpy", "yaml", "PIL.Image",
)  # fmt: skip
_HUNG = 120
# How the line begins that says what ended a command.
_ENDS = ("error: ", "interrupted: ", "terminated: ")


def warm_up() -> None:
    """Import what the commands need, so that a child has it at once. Starts no thread, which a child would lack."""
    from detection.commands.sppnet import COMMANDS

    for name in (*_LIBRARIES, *(f"detection.commands.{one.module}" for one in COMMANDS.values())):
        importlib.import_module(name)
    # Trials go two at a time: more threads would wait for one another.
    sys.modules["torch"].set_num_threads(1)
    _load_kernels()


def _load_kernels() -> None:
    """What was compiled before, a second's work for each command; none of it runs in parallel by itself."""
    from numba.core.dispatcher import Dispatcher

    modules = [module for name, module in sys.modules.items() if name.startswith("detection.")]
    for kernel in {one for module in modules for one in vars(module).values() if isinstance(one, Dispatcher)}:
        # numba has no public way to ask for all that a cache holds.
        for signature, *_ in kernel._cache._cache_file._load_index():
            kernel.compile(signature)


@dataclass(frozen=True)
class Call:
    """A command line: tools/NAME.py and its arguments."""

    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(["python", f"tools/{self.name}.py", *self.arguments])


@dataclass(frozen=True)
class Done:
    """What a call did. status: negative where a signal ended it, None where it hung."""

    status: int | None
    out: str
    errors: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        """Of standard error, the line that says what ended it, and what follows; notices and progress come before."""
        return list(dropwhile(lambda one: not one.startswith(_ENDS), self.errors.strip().splitlines()))

    def refusal_fault(self, *named: str, statuses: Sequence[int] = (1, 2)) -> str:
        """What is wrong with this as a refusal: it has to be a line, with one of these words, of such a status."""
        last = f"exit status {self.status}: {self.errors[-1500:] or self.out[-300:]}"
        if self.status is None:
            return f"hung: {last}"
        if self.status not in statuses:
            return f"expected exit status {' or '.join(map(str, statuses))}, got {last}"
        if "Traceback" in self.errors:
            return f"a traceback: {last}"
        if not self.lines or len(self.lines) > 4:
            return f"expected a line on standard error, got {len(self.lines)}: {last}"
        if named and not any(one in " ".join(self.lines) for one in named):
            return f"expected one of {', '.join(named)} named, got {last}"
        return ""


class Running:
    """A call that has been started; its output goes to files of `folder`.

    before: called in the child before the command, for limits. stop_at: the number, from 1, of a change of a file
    before which `stop` is called in the child; None: its group is killed. log: file for a line about each such change.
    """

    def __init__(
        self,
        call: Call,
        folder: Path,
        before: Callable[[], None] | None = None,
        stop_at: int | None = None,
        log: Path | None = None,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self.started = time.monotonic()
        self.files = [folder / f".{name}-{self.started:.6f}" for name in ("out", "errors")]
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                status = self._child(call, folder, before, _hook(folder, stop_at, log, stop or kill_own_group))
            finally:
                os._exit(status)

    def _child(self, call: Call, folder: Path, before, hook: Callable[[str, tuple], None]) -> int:
        os.setsid()
        os.chdir(folder)
        for stream, path in zip((1, 2), self.files, strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.environ["COLUMNS"] = "200"
        # A process in the background starts with Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = [f"tools/{call.name}.py", *call.arguments]
        # A worker process would import this module again, for nothing.
        main = sys.modules["__main__"]
        main.__spec__ = None
        vars(main).pop("__file__", None)
        sys.addaudithook(hook)
        if before is not None:
            before()
        status: object = 1
        try:
            status = importlib.import_module(f"detection.commands.{call.name}").main(list(call.arguments))
        except SystemExit as error:
            status = error.code
        except BaseException:
            traceback.print_exc()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            sys.stdout.flush()
            sys.stderr.flush()
        return status if isinstance(status, int) else int(bool(status))

    def workers(self) -> list[int]:
        """The processes that it has started and that are there."""
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(one) for one in found.read_text().split()] if found.exists() else []

    def kill(self, group: bool = True) -> None:
        """End it at once, with all of its group or alone."""
        if group:
            end_group(self.pid)
        else:
            os.kill(self.pid, signal.SIGKILL)

    def is_done(self) -> bool:
        """Whether it has ended, without waiting."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, limit: float = _HUNG) -> Done:
        """What it did; killed where it takes longer than `limit` seconds more."""
        ends, hung = time.monotonic() + limit, False
        while not self.is_done():
            if time.monotonic() > ends:
                hung = True
                break
            time.sleep(0.01)
        self.kill()
        _, status = os.waitpid(self.pid, 0)
        texts = [
            one.read_text(encoding="utf-8", errors="surrogateescape") if one.exists() else "" for one in self.files
        ]
        for one in self.files:
            one.unlink(missing_ok=True)
        return Done(None if hung else os.waitstatus_to_exitcode(status), *texts, time.monotonic() - self.started)


def do(call: Call, folder: Path, limit: float = _HUNG, **more: object) -> Done:
    """Start a call in a folder and wait for it. more: of `Running`."""
    return Running(call, folder, **more).wait(limit)


def kill_own_group() -> None:
    """End this process and what it has started."""
    os.killpg(os.getpid(), signal.SIGKILL)


def _hook(
    folder: Path, stop_at: int | None, log: Path | None, stop: Callable[[], None]
) -> Callable[[str, tuple], None]:
    """Counts the changes of files below `folder`, and calls `stop` before one of them."""
    count, inside = 0, str(folder)
    file = None if log is None else log.open("w", buffering=1)

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event in _EVENTS and str(arguments[0]).startswith(inside):
            count += 1
            if file is not None:
                file.write(f"{event} {' '.join(map(str, arguments[:2]))}\n")
            if count == stop_at:
                stop()

    return hook


def address_space(mib: int) -> Callable[[], None]:
    """Limits the memory of a child: what it has, and so many MiB more."""

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return limit
