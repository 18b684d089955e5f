import operator
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import pytest

from detection.parallel import InPlaceExecutor, ordered_map, over


def late_first(n):
    time.sleep(0.02 if n == 0 else 0)
    return 10 * n


@pytest.fixture(params=["none", "in place", "two threads"])
def executor(request):
    if request.param == "two threads":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    else:
        yield InPlaceExecutor() if request.param == "in place" else None


@pytest.mark.parametrize("in_flight", [0, 1, 3, 9])
def test_order_and_errors_in_turn(executor, in_flight):
    assert list(ordered_map(late_first, range(6), executor, in_flight)) == [0, 10, 20, 30, 40, 50]
    assert list(ordered_map(late_first, [], executor, in_flight)) == []
    results = ordered_map(partial(operator.floordiv, 6), [1, 2, 0, 3], executor, in_flight)
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_so_many_are_in_flight_as_there_are_workers_for_now():
    count, taken = 1, []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(1) as pool:
        results = over(pool, lambda: count)(abs, items())
        next(results)
        assert len(taken) == 4
        count = 3
        next(results)
        assert len(taken) == 11
        count = 1
        assert list(results) == list(range(2, 40))


def test_few_are_taken():
    taken = []
    with ThreadPoolExecutor(1) as pool:
        results = ordered_map(abs, (taken.append(n) or n for n in range(100)), pool, 2)
        assert [next(results), len(taken), next(results), len(taken)] == [0, 3, 1, 4]
        results.close()


@pytest.mark.parametrize("fails", [False, True])
def test_none_starts_after_the_end(fails):
    """The second task waits at a gate until the iteration has ended, be it by an error of the first."""
    started, gate = [], threading.Event()

    def task(n):
        started.append(n)
        if n == 0:
            return 1 // (not fails)
        return gate.wait(60)

    with ThreadPoolExecutor(1) as pool:
        results = ordered_map(task, range(100), pool, 3)
        with pytest.raises(ZeroDivisionError) if fails else nullcontext():
            next(results)
        results.close()
        gate.set()
    assert started in ([0], [0, 1])


def test_an_error_in_place_is_the_callers():
    future = InPlaceExecutor().submit(operator.floordiv, 1, 0)
    assert future.done()
    with pytest.raises(ZeroDivisionError):
        future.result()
    assert InPlaceExecutor().submit(max, 1, 2).result() == 2
