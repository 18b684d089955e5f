import io
import math
import operator
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from detection.data import DataError, Problems, read_image
from detection.pipeline.work import Work, default_workers, guarded, map_images, threads, worker_processes

ROOT = Path(__file__).resolve().parents[2]


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
    executor = ThreadPoolExecutor(threads) if threads else None
    work = Work(threads or 1, console=silent(), executor=executor)
    assert list(map_images(late_first, range(5), work, "x")) == [(n, n) for n in range(5)]


def test_no_item():
    console = silent()
    assert list(map_images(late_first, [], Work(console=console), "x")) == []
    assert console.file.getvalue() == ""


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)])
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


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)])
def test_any_other_exception_ends_the_work(executor):
    with pytest.raises(ZeroDivisionError):
        list(map_images(partial(operator.floordiv, 1), [1, 0, 2], Work(2, console=silent(), executor=executor), "x"))


def test_few_tasks_are_handed_out_ahead():
    started = []

    def task(number):
        started.append(number)
        return number

    results = map_images(task, range(1000), Work(2, console=silent(), executor=ThreadPoolExecutor(2)), "x")
    next(results)
    time.sleep(0.05)
    assert len(started) < 20
    results.close()
    count = len(started)
    time.sleep(0.05)
    assert len(started) <= count + 2


def test_processes(tmp_path):
    """Order, data errors, other errors; one pool, since processes take seconds to start."""
    with worker_processes(2) as executor:
        work = Work(2, console=silent(), executor=executor)
        numbers = list(range(-20, 20))
        assert list(map_images(abs, numbers, work, "x")) == [(n, abs(n)) for n in numbers]
        assert list(map_images(read_image, [tmp_path / "none.jpg"], work, "x")) == []
        assert [one.kind for one in work.problems] == ["missing image"]
        with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
            list(map_images(math.sqrt, [1, -1], work, "x"))


def test_one_worker_is_no_process():
    with worker_processes(1) as executor:
        assert executor is None


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_workers_end_with_a_killed_parent(tmp_path):
    code = """
        import time
        from detection.pipeline.work import worker_processes
        if __name__ == "__main__":
            with worker_processes(2) as executor:
                for nap in [executor.submit(time.sleep, 0.1) for _ in range(4)]:
                    nap.result()
                print(*executor._processes, flush=True)
                time.sleep(100)
    """
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(code))
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
        # The pipe's other end closes with the last worker.
        closed = threading.Thread(target=parent.stdout.read, daemon=True)
        closed.start()
        closed.join(20)
        alive = closed.is_alive()
        if alive:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
        assert len(workers) == 2
        assert not alive


def test_guarded():
    assert guarded(refuse_odd, 2) == (20, None)
    result, problem = guarded(refuse_odd, 3)
    assert result is None
    assert (problem.action, problem.kind, problem.file, problem.message) == (
        "left out", "odd", "3.jpg", "expected an even one",
    )  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        guarded(partial(operator.floordiv, 1), 0)


def test_threads_end_with_the_block():
    with threads(0) as none, threads(2) as pool:
        assert none is None
        waiting = [pool.submit(time.sleep, 0.05) for _ in range(100)]
    assert sum(one.cancelled() for one in waiting) > 90


@pytest.mark.parametrize(("workers", "in_flight", "pooling"), [(1, 3, 0), (2, 6, 2), (4, 12, 4)])
def test_what_follows_from_the_number_of_workers(workers, in_flight, pooling):
    work = Work(workers)
    assert (work.tasks_in_flight, work.pooling_threads) == (in_flight, pooling)
