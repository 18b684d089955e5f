from pathlib import Path

import pytest

from detection.pipeline.stages.report import read_mining_log, run_names


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("/a/one", "/a/two", ("one", "two")),
        ("/a/x/run", "/a/y/run", ("x/run", "y/run")),
        ("/a/run", "/a/run", ("run, first", "run, second")),
        ("/run", "/a/run", ("/run", "a/run")),
    ],
)
def test_runs_are_told_apart_by_name(first, second, names):
    assert run_names(Path(first), Path(second)) == names


def test_mining_log(tmp_path):
    assert read_mining_log(tmp_path / "none.csv") == ()
    (tmp_path / "mining.csv").write_text('class,added\n"a,b",3\n', encoding="utf-8")
    assert read_mining_log(tmp_path / "mining.csv") == (("class", "added"), ("a,b", "3"))
