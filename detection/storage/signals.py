"""Ctrl-C and SIGTERM, held back while what they would leave behind is in the making."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self


class HeldSignals:
    """A block in which Ctrl-C and SIGTERM wait until it ends, or until `let_through`.

    So for handlers of Python in the main thread; elsewhere none comes, and what the system does by itself it does.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], object]] = {}
        self._waiting: list[int] = []

    def __enter__(self) -> Self:
        try:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    if callable(handler := signal.getsignal(number)):
                        self._before[number] = handler
                        signal.signal(number, self._hold)
        except BaseException:  # the second came while the first was held back already
            self._restore()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._restore()
        finally:
            # Once more: one that was restored may have come in between.
            self._restore()
            self.let_through()

    def let_through(self) -> None:
        """Let what has come do what it does, which may be an exception."""
        while self._waiting:
            number = self._waiting.pop(0)
            self._before[number](number, None)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hold(self, number: int, _: FrameType | None) -> None:
        self._waiting.append(number)
