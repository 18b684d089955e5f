import pytest

from detection.pipeline import executors


@pytest.mark.parametrize(
    ("option", "variable", "expected"), [(None, None, None), ("a", "b", "a"), (None, "b", "b"), ("", "", None)]
)
def test_where_the_scheduler_is(monkeypatch, option, variable, expected):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", variable)
    assert executors.scheduler_address(option) == expected


def test_a_maker_for_each(monkeypatch, tmp_path):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    made = []
    for name in ("dask_workers", "worker_processes"):
        monkeypatch.setattr(executors, name, lambda *given, name=name: made.append((name, *given)))
    executors.opened_executor(3, tmp_path)
    executors.opened_executor(3, tmp_path, "tcp://a:1", True)
    assert made == [("worker_processes", 3), ("dask_workers", "tcp://a:1", tmp_path, True)]
