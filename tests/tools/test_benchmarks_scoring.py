import json

import numpy as np
import pytest


@pytest.fixture
def scoring(benchmark):
    from benchmarks import scoring

    return scoring


def test_nms_keeps_what_torchvision_keeps(scoring):
    pytest.importorskip("torchvision")
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 40, (120, 2))
    boxes = np.concatenate([corners, corners + rng.integers(5, 40, (120, 2))], axis=1).astype(np.float32)
    rows = scoring.nms_rows(boxes, 1)
    assert [row["equal_keep_lists"] for row in rows] == [20, 20]
    assert rows[0]["scores"] == 2400 > rows[1]["scores"]
    assert json.dumps(rows)
