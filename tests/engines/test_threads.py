import operator
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from detection.engines import limit_threads, parallel_executor, single_threaded_pool


def convolved_with():
    """Threads that torch uses here, after it has computed something."""
    torch.nn.functional.conv2d(torch.ones(1, 8, 64, 64), torch.ones(8, 8, 3, 3))
    return torch.get_num_threads()


def test_threads_of_the_pool_compute_alone():
    with limit_threads(3):
        with single_threaded_pool(2) as pool:
            meet = threading.Barrier(2)
            found = [pool.submit(lambda: (meet.wait(), convolved_with())[1]) for _ in range(2)]
            assert [one.result() for one in found] == [1, 1]
            assert torch.get_num_threads() == 3
            # Threads that others start are as before.
            with ThreadPoolExecutor(1) as other:
                assert other.submit(convolved_with).result() == 3
        assert convolved_with() == 3


def test_no_thread_waits_for_one_that_cannot_be_started(monkeypatch):
    """As under a limit of memory: the process would never end."""
    start, before = threading.Thread.start, set(threading.enumerate())

    def fails(thread):
        if set(threading.enumerate()) - before:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fails)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        single_threaded_pool(2)
    monkeypatch.undo()
    for one in set(threading.enumerate()) - before:
        one.join(20)
        assert not one.is_alive()


@pytest.mark.parametrize("make", [single_threaded_pool, parallel_executor])
def test_no_threads_are_refused(make):
    with pytest.raises(ValueError, match="threads: expected at least 1, got 0"):
        make(0)


def test_the_parallel_executor():
    here = threading.get_ident()
    with limit_threads(1):
        assert parallel_executor().submit(threading.get_ident).result() == here
        assert parallel_executor(2) is parallel_executor(2)
        assert parallel_executor(2).submit(threading.get_ident).result() != here
    with limit_threads(2):
        assert parallel_executor() is parallel_executor(2)
        # One thread, but not this one, which would compute with two.
        assert parallel_executor(1).submit(convolved_with).result() == 1
    with single_threaded_pool(1) as pool:
        assert pool.submit(
            lambda: parallel_executor().submit(threading.get_ident).result() == threading.get_ident()
        ).result()


def test_what_is_computed_in_place():
    with limit_threads(1):
        place = parallel_executor()
    assert list(place.map(operator.mul, [1, 2], [3, 4])) == [3, 8]
    failed = place.submit(operator.floordiv, 1, 0)
    with pytest.raises(ZeroDivisionError):
        failed.result()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own():
    parallel_executor(2).submit(int).result()
    child = os.fork()
    if not child:
        os._exit(7 if parallel_executor(2).submit(int, "7").result() == 7 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
