import subprocess
import sys
from pathlib import Path

from detection.storage import read_json

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_runs_without_torch_and_without_contrib(tmp_path, shared_data):
    code = (
        "import sys; sys.path.insert(0, 'tools'); import benchmark; "
        f"status = benchmark.main(['proposals', '--matlab', {str(shared_data / 'selective-search-matlab')!r}, "
        f"'--repeats', '1', '--agreement_presets', '[single]', '--presets', '[single]', '--out', {str(tmp_path)!r}]); "
        "print(status, *({'torch', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
    tables = read_json(tmp_path / "benchmark.json")["commands"]["proposals"]["tables"]
    assert {row["method"] for row in tables["CPU time of one thread"]} >= {"single"}
    assert "| single |" in (tmp_path / "benchmark.md").read_text()
