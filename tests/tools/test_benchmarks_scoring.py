import numpy as np


def test_nms_keeps_what_torchvision_keeps(measure):
    (rows,) = measure("scoring", "--proposals=120", "--repeats=1")
    assert [row["scores"] for row in rows] == [2400, 2400, 180, 180]
    assert [row["method"] for row in rows] == ["batched_nms", "this package"] * 2
    assert [row["equal_keep_lists"] for row in rows[1::2]] == [20, 20]
    assert all(row["times_faster"] > 0 for row in rows)


def test_other_keep_lists_are_counted(benchmark, monkeypatch):
    from benchmarks import scoring

    rng = np.random.default_rng(0)
    corners = rng.integers(0, 40, (120, 2))
    boxes = np.concatenate([corners, corners + rng.integers(5, 40, (120, 2))], axis=1).astype(np.float32)
    nms = scoring.nms
    monkeypatch.setattr(scoring, "nms", lambda *arguments: nms(*arguments)[:-1])
    assert scoring.nms_rows(boxes, 1.0, 1)[1]["equal_keep_lists"] == 0
