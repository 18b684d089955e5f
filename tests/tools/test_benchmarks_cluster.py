import json

SMALL = [
    "--proposals.preset=single",
    "--proposals.max_windows=60",
    "--features.short_sides=[96]",
    "--regression.min_examples=3",
]


def test_all_three_write_the_same(benchmark, measure, shapes, monkeypatch):
    """In this process, since others take seconds."""
    from benchmarks import cluster, cluster_turn

    monkeypatch.setattr(cluster, "run_python", lambda call: json.dumps(cluster_turn.turn(json.loads(call[-1]))))
    (rows,) = measure("cluster", f"--voc={shapes}", "--limit=3", f"--options={json.dumps(SMALL)}")
    assert [row["by"] for row in rows] == ["1 process", "2 processes", "Dask, 2 workers"]
    assert all(row["equal_bytes"] for row in rows)
    stages = [key for key in rows[0] if key.endswith("_s") and key != "all_s"]
    assert len(stages) == 6
    for row in rows:
        assert 0 < sum(row[key] for key in stages) <= row["all_s"]
        assert row["peak_MiB"] > 100
        assert 0 < row["overhead_of_a_task_ms"] < 1000
    assert rows[0]["peak_of_a_worker_MiB"] == ""
    assert min(row["peak_of_a_worker_MiB"] for row in rows[1:]) > 100


def test_a_file_that_differs_is_seen(benchmark):
    from benchmarks.cluster import compared

    rows = [{"by": name, "files": {"a": content}} for name, content in (("x", "1"), ("y", "1"), ("z", "2"))]
    assert compared(rows) == [
        {"by": "x", "equal_bytes": True}, {"by": "y", "equal_bytes": True}, {"by": "z", "equal_bytes": False},
    ]  # fmt: skip
