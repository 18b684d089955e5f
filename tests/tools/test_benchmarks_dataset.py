import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--proposals.preset=single", "--features.short_sides=[96]", "--regression.min_examples=3"]


def test_dataset_beside_another_version(benchmark, shapes, tmp_path, monkeypatch):
    """The other version is this one: equal detections. The turns run in this process, since others take seconds."""
    from benchmarks import chain, dataset

    turns = []

    def turn(checkout, options, folder):
        turns.append((checkout, options[-1]))
        answer = chain.run([f"--config={dataset.CONFIG}", f"--run={folder}", *options])
        return json.loads(json.dumps(answer))

    monkeypatch.setattr(dataset, "turn", turn)
    options = ["--voc", str(shapes), "--limit", "4", "--workers", "1", "--before", str(ROOT), "--out", str(tmp_path)]
    assert benchmark.main(["dataset", *options, "--options", json.dumps(SMALL), "--eager_photos", "1"]) == 0
    assert turns == [(ROOT, "--limit=2"), (ROOT, "--limit=2"), (ROOT, "--limit=4"), (ROOT, "--limit=4")]
    tables = json.loads((tmp_path / "benchmark.json").read_text())["commands"]["dataset"]["tables"]
    stages, found, eager = tables.values()
    assert [row["stage"] for row in stages[::2]] == [
        "start", "proposals and maps", "SVMs", "box regression", "detections", "evaluation", "total",
    ]  # fmt: skip
    assert [row["version"] for row in stages[:2]] == ["before", "this version"]
    for column in ("wall_s", "cpu_s"):
        parts = [row[column] for row in stages[1::2]]
        assert abs(sum(parts[:-1]) - parts[-1]) < 1e-6
    assert {(row["photos"], row["same_detections"]) for row in found} == {(8, True)}
    assert (eager[0]["photos"], eager[0]["measured_on"]) == (8, 1)


def test_a_chain_that_fails_is_told(benchmark, shapes, tmp_path, capsys):
    assert benchmark.main(["dataset", "--before", str(tmp_path)]) == 2
    assert "expected a checkout of this package" in capsys.readouterr().err
    assert benchmark.main(["dataset", "--limit", "0"]) == 2
