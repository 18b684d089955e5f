import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from detection.data import read_image
from detection.parallel import in_place
from detection.pipeline.executors import worker_processes
from detection.pipeline.work import Work, map_images

ROOT = Path(__file__).resolve().parents[3]


def test_processes(tmp_path):
    """Order, data errors, other errors; one pool, since processes take seconds to start."""
    with worker_processes(2) as executor:
        work = Work(2, executor=executor)
        numbers = list(range(-20, 20))
        assert list(map_images(abs, numbers, work, "x")) == [(n, abs(n)) for n in numbers]
        assert list(map_images(read_image, [tmp_path / "none.jpg"], work, "x")) == []
        assert [one.kind for one in work.problems] == ["missing image"]
        with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
            list(map_images(math.sqrt, [1, -1], work, "x"))


def test_one_worker_is_no_process():
    with worker_processes(1) as executor:
        assert executor is in_place


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_workers_end_with_a_killed_parent(tmp_path):
    code = """
        import os, time
        from detection.pipeline.executors import worker_processes
        def process(_):
            time.sleep(0.1)
            return os.getpid()
        if __name__ == "__main__":
            with worker_processes(2) as executor:
                found = set()
                for one in executor(process, range(1000)):
                    found.add(one)
                    if len(found) == 2:
                        break
                print(*found, flush=True)
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
