"""Ctrl-C and SIGTERM at moments at which Python would leave a lock taken, or lose them."""

import signal
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from detection.interrupts import TerminatedError, interruptible

KINDS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedError)]


@contextmanager
def sent_in(function, step, number):
    """Send this process a signal before an instruction, counted from 1, of threading's `function`; yields [count]."""
    count = [0]

    def trace(frame, event, _):
        code = frame.f_code
        if (code.co_filename, code.co_name) != (threading.__file__, function):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count[0] += 1
            if count[0] == step:
                # A handler is to see this frame, as if the system had sent it.
                signal.getsignal(number)(number, frame)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(("number", "kind"), KINDS)
@pytest.mark.parametrize("function", ["__enter__", "__exit__"])
def test_no_lock_is_left_taken(function, number, kind):
    """The pool that waits for it would wait for ever."""
    step = 0
    while True:
        step += 1
        condition, done = threading.Condition(threading.Lock()), []

        def body(condition=condition, done=done, step=step):
            with interruptible():
                with sent_in(function, step, number) as count, condition:
                    done.append(True)
                done.append(count[0] < step)
                time.sleep(0 if done[-1] else 20)

        came = None
        try:
            body()
        except (KeyboardInterrupt, TerminatedError) as error:
            came = error
        assert condition.acquire(blocking=False)
        assert done[:1] == [True]
        if came is None:
            break
        assert type(came) is kind
    assert step > 5


@pytest.mark.parametrize(("number", "kind"), KINDS)
def test_anywhere_else_it_comes_at_once(number, kind):
    before = signal.getsignal(number)
    done = []

    def body():
        with interruptible():
            signal.raise_signal(number)
            done.append(True)

    with pytest.raises(kind):
        body()
    assert not done
    assert signal.getsignal(number) == before


def test_the_thread_ends_with_the_block():
    before = threading.active_count()
    for _ in range(5):
        with interruptible():
            assert threading.active_count() >= before
    ends = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < ends:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_in_another_thread_nothing_changes():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
