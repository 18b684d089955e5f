"""What a user's type checker says: mypy on README's Python, and on wrong uses of the same names."""

import re
import subprocess
import sys

import pytest

from tests.install.readme import ROOT, python_script
from tests.stubs import stubs

# A wrong use -> mypy's code for it.
WRONG = {
    "detector.detect()": "call-arg",
    "detector.detect('photo.jpg').margins": "attr-defined",
    "Detector.load(5)": "arg-type",
    "read_image('photo.jpg').nothing": "attr-defined",
    "selective_search(rgb, preset=3)": "arg-type",
    "extract_region_features('photo.jpg', boxes, layers='fc7')": "call-arg",
    "fit_linear_svm(values, labels, C='much')": "arg-type",
    "detections.to_supervision(3)": "arg-type",
}


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """(line of the script, what mypy says of it) of README's Python and the wrong uses below it; the script's lines."""
    folder = tmp_path_factory.mktemp("script")
    lines = [*python_script((ROOT / "README.md").read_text(encoding="utf-8")).splitlines(), *WRONG]
    (folder / "script.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    # An installed package is followed like this: its own faults are not the user's.
    words = ["--follow-imports=silent", f"--cache-dir={ROOT / '.mypy_cache'}", "--config-file=", "script.py"]
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *words],
        cwd=folder,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^script\.py:(\d+): error: (.*)$", ended.stdout, re.MULTILINE)
    assert found, ended.stdout + ended.stderr
    return [(int(number), text) for number, text in found], lines


def test_readmes_python_passes(faults):
    found, lines = faults
    assert [text for number, text in found if number <= len(lines) - len(WRONG)] == []


@pytest.mark.parametrize("use", WRONG)
def test_a_wrong_use_is_seen(faults, use):
    found, lines = faults
    number = lines.index(use) + 1
    assert [text for line, text in found if line == number and text.endswith(f"[{WRONG[use]}]")]


def test_the_stubs_have_the_names_of_the_packages():
    made = stubs()
    assert len(made) > 3
    there = {path: path.read_text(encoding="utf-8") for path in (ROOT / "detection").rglob("*.pyi")}
    assert there == made, "python -m tests.stubs writes them anew"
