"""Ctrl-C and SIGTERM as exceptions of the main thread: none is lost, and none leaves a lock taken for ever."""

import os
import signal
import sys
import threading
import time
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TerminatedError(BaseException):
    """The process was asked to end (SIGTERM); as Ctrl-C, it is no Exception, so that everything is put in order."""


_KINDS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: TerminatedError}
# Functions of Python, threading's among them, that take a lock or give it back: between the lock and the block that it
# is for, an exception would leave it taken, and who waits for it, such as a pool that ends, would wait for ever.
_DELICATE = frozenset(("__enter__", "__exit__", "acquire", "release", "_acquire_restore", "_release_save"))
# Seconds until a signal comes again.
_LATER = 0.02


@contextmanager
def interruptible() -> Iterator[None]:
    """A block in which Ctrl-C raises KeyboardInterrupt and SIGTERM TerminatedError, where nobody has asked for else.

    A signal that comes at a bad moment comes again a little later: while a lock is taken or given back, or while a
    library calls back, which ignores exceptions. In threads but the main one no signal comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    again, hook = _Again(), sys.unraisablehook

    def answer(number: int, frame: FrameType | None) -> None:
        again.numbers.discard(number)
        if frame is not None and frame.f_code.co_name in _DELICATE:
            again.send(number)
        else:
            raise _KINDS[number]

    def ignored(what: Any) -> None:
        numbers = [number for number, kind in _KINDS.items() if what.exc_type is kind]
        for number in numbers:
            again.send(number)
        if not numbers:
            hook(what)

    before = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = [number for number, handler in before.items() if signal.getsignal(number) == handler]
    for number in ours:
        signal.signal(number, answer)
    sys.unraisablehook = ignored
    try:
        yield
    finally:
        again.close()
        sys.unraisablehook = hook
        for number in ours:
            signal.signal(number, before[number])
    for number in again.numbers:
        raise _KINDS[number]


class _Again:
    """Sends the main thread signals once more, from a thread of its own: whoever is interrupted may hold any lock.

    numbers: of the signals that are still to come.
    """

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self._reader, self._writer = os.pipe()
        threading.Thread(target=self._send_later, daemon=True).start()

    def send(self, number: int) -> None:
        self.numbers.add(number)
        if self._writer >= 0:  # else the block ends, and raises what is still to come
            os.write(self._writer, bytes([number]))

    def close(self) -> None:
        """End the thread; what is still to come does not."""
        writer, self._writer = self._writer, -1
        os.close(writer)

    def _send_later(self) -> None:
        while found := os.read(self._reader, 1):
            time.sleep(_LATER)
            if self._writer < 0:
                break
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, found[0])
            else:
                interrupt_main(found[0])
        os.close(self._reader)
