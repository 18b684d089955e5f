import errno
import io
import operator
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from rich.console import Console

from detection.data import DataError, Problems
from detection.parallel import in_place, over
from detection.pipeline import work as work_module
from detection.pipeline.work import Work, default_workers, guarded, map_images, threads


def silent(terminal=False):
    return Console(file=io.StringIO(), width=100, force_terminal=terminal)


def refuse_odd(number):
    if number % 2:
        raise DataError("odd", f"{number}.jpg", "expected an even one")
    return 10 * number


def late_first(number):
    time.sleep(0.02 * (5 - number))
    return number


def test_default_workers():
    assert 1 <= default_workers() <= 4


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_results_come_in_order(threads):
    executor = over(ThreadPoolExecutor(threads), threads) if threads else in_place
    work = Work(threads or 1, console=silent(), executor=executor)
    assert list(map_images(late_first, range(5), work, "x")) == [(n, n) for n in range(5)]


def test_no_item():
    console = silent()
    assert list(map_images(late_first, [], Work(console=console), "x")) == []
    assert console.file.getvalue() == ""


@pytest.mark.parametrize("executor", [in_place, over(ThreadPoolExecutor(2), 2)])
def test_a_data_error_is_listed_and_its_item_left_out(executor):
    work = Work(2, problems=Problems(), console=silent(), executor=executor)
    assert list(map_images(refuse_odd, range(5), work, "x")) == [(0, 0), (2, 20), (4, 40)]
    assert [(one.action, one.kind, one.file) for one in work.problems] == [
        ("left out", "odd", "1.jpg"), ("left out", "odd", "3.jpg"),
    ]  # fmt: skip


def test_strict_raises_the_first_data_error():
    work = Work(problems=Problems(strict=True), console=silent())
    with pytest.raises(DataError, match=r"1\.jpg: odd: expected an even one"):
        list(map_images(refuse_odd, range(5), work, "x"))


@pytest.mark.parametrize("executor", [in_place, over(ThreadPoolExecutor(2), 2)])
def test_any_other_exception_ends_the_work(executor):
    with pytest.raises(ZeroDivisionError):
        list(map_images(partial(operator.floordiv, 1), [1, 0, 2], Work(2, console=silent(), executor=executor), "x"))


def test_few_tasks_are_handed_out_ahead():
    started = []

    def task(number):
        started.append(number)
        return number

    results = map_images(task, range(1000), Work(2, console=silent(), executor=over(ThreadPoolExecutor(2), 2)), "x")
    next(results)
    time.sleep(0.05)
    assert len(started) < 20
    results.close()
    count = len(started)
    time.sleep(0.05)
    assert len(started) <= count + 2


def test_guarded():
    assert guarded(refuse_odd, 2) == (20, None)
    result, problem = guarded(refuse_odd, 3)
    assert result is None
    assert (problem.action, problem.kind, problem.file, problem.message) == (
        "left out", "odd", "3.jpg", "expected an even one",
    )  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        guarded(partial(operator.floordiv, 1), 0)


class Away:
    """A disk that is away for so many times it is asked."""

    def __init__(self, times, number=errno.ESTALE):
        self.left, self.number = times, number

    def read(self, name):
        self.left -= 1
        if self.left >= 0:
            raise OSError(self.number, "away", name)
        return name

    def read_photo(self, name):
        try:
            return self.read(name)
        except OSError as error:
            raise DataError("unreadable image", name, "away") from error


@pytest.fixture
def pauses(monkeypatch):
    taken = []
    monkeypatch.setattr(work_module.time, "sleep", taken.append)
    return taken


@pytest.mark.parametrize("read", [Away.read, Away.read_photo])
def test_a_disk_that_is_away_for_a_moment_is_asked_again(pauses, read):
    assert guarded(partial(read, Away(3)), "a.jpg") == ("a.jpg", None)
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_a_disk_that_stays_away_is_an_error_of_the_photo_or_of_the_machine(pauses):
    _, problem = guarded(Away(9).read_photo, "a.jpg")
    assert problem.kind == "unreadable image"
    with pytest.raises(OSError, match="away"):
        guarded(Away(9).read, "a.jpg")
    assert len(pauses) == 6


def test_what_does_not_pass_is_not_asked_again(pauses):
    with pytest.raises(OSError, match="away"):
        guarded(Away(1, errno.ENOSPC).read, "a.jpg")
    assert guarded(Away(1, errno.ENOENT).read_photo, "a.jpg")[1].kind == "unreadable image"
    assert pauses == []


def test_threads_end_with_the_block():
    with threads(0) as none, threads(2) as pool:
        assert none is None
        waiting = [pool.submit(time.sleep, 0.05) for _ in range(100)]
    assert sum(one.cancelled() for one in waiting) > 90


@pytest.mark.parametrize(("workers", "pooling"), [(1, 0), (2, 2), (4, 4)])
def test_what_follows_from_the_number_of_workers(workers, pooling):
    assert Work(workers).pooling_threads == pooling
