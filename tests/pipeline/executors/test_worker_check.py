from types import SimpleNamespace

import distributed
import pytest

from detection.pipeline.executors import worker_check
from detection.pipeline.executors.worker_check import check_worker, expected_of_workers


@pytest.fixture(autouse=True)
def worker(monkeypatch):
    """This process is a worker of one thread, which was not looked at yet."""
    found = SimpleNamespace(address="tcp://a:1", state=SimpleNamespace(nthreads=1))
    monkeypatch.setattr(distributed, "get_worker", lambda: found)
    monkeypatch.setattr(worker_check, "_PASSED", set())
    return found


def test_a_worker_as_this_process_is_taken_and_not_looked_at_again(tmp_path, worker):
    with expected_of_workers(tmp_path / "new", False) as expected:
        check_worker(expected)
        assert len(list((tmp_path / "new").iterdir())) == 1
    assert not list((tmp_path / "new").iterdir())
    worker.state.nthreads = 9
    check_worker(expected)


def test_several_threads(tmp_path, worker):
    worker.state.nthreads = 4
    with expected_of_workers(tmp_path, False) as expected, pytest.raises(ValueError, match="one thread, got 4: start"):
        check_worker(expected)


def test_a_worker_that_sees_other_files(tmp_path):
    with expected_of_workers(tmp_path / "run", False) as expected:
        pass
    with pytest.raises(ValueError, match=r"Dask worker tcp://a:1 on .*: expected to see .*run as .* is another folder"):
        check_worker(expected)
    (tmp_path / "run").rmdir()
    with pytest.raises(ValueError, match="it is not there"):
        check_worker(expected)


@pytest.mark.parametrize("name", ["python", "sppnet", "numpy", "torch", "openvino", "sources of sppnet", "processor"])
def test_what_decides_bits_is_the_same(tmp_path, name):
    with expected_of_workers(tmp_path, False) as expected:
        other = expected._replace(facts={**expected.facts, name: "other"})
        with pytest.raises(ValueError, match=rf"expected {name} other, got .*: results would not be the same"):
            check_worker(other)


def test_other_processors_are_taken_where_that_is_asked_for(tmp_path, monkeypatch):
    with expected_of_workers(tmp_path, True) as expected:
        monkeypatch.setattr(worker_check, "_facts", lambda: {**expected.facts, "processor": "another"})
        check_worker(expected)
