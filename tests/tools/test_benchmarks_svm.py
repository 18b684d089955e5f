import json

import pytest


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_benchmark(benchmark, run, tmp_path, capsys):
    options = ["--run", str(run), "--positives", "12", "--negatives", "60", "--C", "[0.01]", "--repeats", "1"]
    many = ["--many_classes", "3", "--many_negatives", "600", "--many_length", "24", "--out", str(tmp_path)]
    assert benchmark.main(["svm", *options, *many]) == 0
    tables = json.loads((tmp_path / "benchmark.json").read_text())["commands"]["svm"]["tables"]
    compared, together = tables.values()
    assert [row["solver"] for row in compared[:2]] == ["LinearSVC", "this package"]
    assert {row["loss"] for row in compared} == {"hinge", "squared_hinge"}
    assert all(float(row["above_optimum"]) < 1e-4 for row in compared if row["solver"] == "this package")
    assert [row["problem"] for row in together][-1] == "3 classes, solve_svms"
    assert "above optimum" in capsys.readouterr().out
    assert benchmark.main(["svm", "--repeats", "0"]) == 2
