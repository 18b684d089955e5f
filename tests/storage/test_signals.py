"""Ctrl-C and SIGTERM at any moment leave no lock behind."""

import dis
import functools
import signal
import sys
import threading
from contextlib import contextmanager

import pytest

from detection.storage import lock, signals
from detection.storage.lock import brief_lock, folder_lock
from detection.storage.signals import HeldSignals


class TerminatedError(BaseException):
    """What SIGTERM raises here."""


@pytest.fixture(autouse=True)
def handlers():
    def terminated(*_):
        raise TerminatedError

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminated)
    yield terminated
    for number, handler in before.items():
        signal.signal(number, handler)


# After these instructions Python looks for signals; after the first one of a function too.
LOOKS = ("CALL", "JUMP_BACKWARD", "RESUME")


@functools.cache
def instructions(code):
    return {one.offset: one.opname for one in dis.get_instructions(code)}


@contextmanager
def sent(step, number):
    """Send this process a signal when Python looks for one in the locks' code that often; yields [times]."""
    count, last = [0], {}

    def trace(frame, event, _):
        if frame.f_code.co_filename not in (lock.__file__, signals.__file__):
            return None
        frame.f_trace_opcodes = True
        if event == "call":
            last[frame] = "RESUME"
        elif event == "opcode":
            looks = last.get(frame, "RESUME").startswith(LOOKS)
            last[frame] = instructions(frame.f_code)[frame.f_lasti]
            count[0] += looks
            if looks and count[0] == step:
                signal.raise_signal(number)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedError)])
@pytest.mark.parametrize("enter", [lambda folder: brief_lock(folder / ".brief.lock"), folder_lock])
def test_whenever_it_comes(tmp_path, handlers, enter, number, error):
    came, step = 0, 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        try:
            with sent(step, number) as count, enter(folder):
                pass
        except error:
            came += 1
        assert [one.name for one in folder.rglob("*")] == []
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is handlers
        if count[0] < step:
            break
    # Each was heard.
    assert came == step - 1 > 20


def test_it_comes_after_the_block():
    done = []

    def interrupted():
        with HeldSignals():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [True]


def test_let_through_in_the_middle():
    done = []

    def terminated():
        with HeldSignals() as held:
            held.let_through()
            signal.raise_signal(signal.SIGTERM)
            done.append(True)
            held.let_through()
            done.append(False)

    with pytest.raises(TerminatedError):
        terminated()
    assert done == [True]


def test_what_a_program_ignores_stays_ignored():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with HeldSignals():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_another_thread_holds_none():
    found = []

    def hold():
        with HeldSignals():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
