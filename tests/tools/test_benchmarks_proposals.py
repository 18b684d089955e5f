import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detection.storage import read_json


def test_it_runs_without_torch_and_without_contrib(tmp_path, shared_data):
    matlab, voc = shared_data / "selective-search-matlab", shared_data / "voc-mini" / "VOCdevkit"
    options = [f"--matlab={matlab}", f"--voc={voc}", "--limit=2", "--repeats=1", "--presets=[single]"]
    code = (
        "import sys; sys.path.insert(0, 'tools'); import benchmark; "
        f"status = benchmark.main(['proposals', *{options}, {f'--out={tmp_path}'!r}]); "
        "print(status, *({'torch', 'timm'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
    times, recall, agreement = read_json(tmp_path / "benchmark.json")["commands"]["proposals"]["tables"].values()
    assert {row["method"] for row in times} >= {"single"}
    assert "| single |" in (tmp_path / "benchmark.md").read_text()
    own = [row for row in recall if row["method"] == "single"]
    assert [row["at_most"] for row in own] == [2000, 1129]
    assert 0 < own[0]["mabo"] <= 1
    found = [row for row in agreement if row["method"] == "single"]
    assert [row["photo"] for row in found] == ["000004.jpg", "001551.jpg"]
    assert all(0 < row["found_0.9"] < row["found_0.7"] < 1 for row in found)


def test_coverage(benchmark):
    from benchmarks.proposals import coverage

    row = coverage([np.array([0.9, 0.4]), np.array([0.6])], [np.array([0, 0]), np.array([1])])
    assert row["objects"] == 3
    assert (row["recall_0.5"], row["recall_0.7"]) == pytest.approx((2 / 3, 1 / 3))
    assert row["mabo"] == pytest.approx((0.65 + 0.6) / 2)
    assert 0 < row["mabo_error"] < 0.1
    assert benchmark.main(["proposals", "--presets=[slow]", "--repeats=1"]) == 2
