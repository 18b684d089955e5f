import pytest

from detection.pipeline.executors import worker_check
from detection.pipeline.executors.worker_check import check_worker, expected_of_workers

WORKER = "worker 1"


@pytest.fixture(autouse=True)
def nobody_has_passed(monkeypatch):
    """This process is a worker that was not looked at yet."""
    monkeypatch.setattr(worker_check, "_PASSED", set())


def test_a_worker_as_this_process_is_taken_and_not_looked_at_again(tmp_path):
    with expected_of_workers(tmp_path / "new", False) as expected:
        check_worker(expected, WORKER)
        assert len(list((tmp_path / "new").iterdir())) == 1
    assert not list((tmp_path / "new").iterdir())
    check_worker(expected, WORKER)


def test_a_worker_that_sees_other_files(tmp_path):
    with expected_of_workers(tmp_path / "run", False) as expected:
        pass
    with pytest.raises(ValueError, match=r"worker 1 on .*: expected to see .*run as .* is another folder"):
        check_worker(expected, WORKER)
    (tmp_path / "run").rmdir()
    with pytest.raises(ValueError, match="it is not there"):
        check_worker(expected, WORKER)


@pytest.mark.parametrize("name", ["python", "sppnet", "numpy", "torch", "openvino", "sources of sppnet", "processor"])
def test_what_decides_bits_is_the_same(tmp_path, name):
    with expected_of_workers(tmp_path, False) as expected:
        other = expected._replace(facts={**expected.facts, name: "other"})
        with pytest.raises(ValueError, match=rf"expected {name} other, got .*: results would not be the same"):
            check_worker(other, WORKER)


def test_other_processors_are_taken_where_that_is_asked_for(tmp_path, monkeypatch):
    with expected_of_workers(tmp_path, True) as expected:
        monkeypatch.setattr(worker_check, "_facts", lambda: {**expected.facts, "processor": "another"})
        check_worker(expected, WORKER)
