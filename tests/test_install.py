"""How ``make`` sets up its environment."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.loopback import Server

ROOT = Path(__file__).resolve().parents[1]

# In place of Python: makes an "environment" of itself, passes on what is computed, notes what would be installed.
STUB = """#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-c "*) exec {python} "$@" ;;
    *) echo "$@" >> installed ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    """``install(*words)``: (what pip was told, what was printed) of `make .venv/installed` with these words."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    stub = tmp_path / "stub"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)

    def make(*words):
        ended = subprocess.run(
            ["make", f"PYTHON={stub}", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        )
        return (tmp_path / "installed").read_text().splitlines(), ended.stdout

    return make


@pytest.fixture
def index():
    """The address of a package index that answers."""
    with Server() as server:
        server.files["/torch/"] = b""
        yield server.address


def test_torch_comes_from_the_index_that_is_named(install, index):
    installed, _ = install(".venv/installed", f"TORCH_INDEX={index}")
    assert installed[1:] == [
        f"-m pip install --index-url {index} torch>=2.6 torchvision>=0.21",
        "-m pip install --editable .",
    ]


def test_torch_comes_from_the_plain_index_where_the_other_does_not_answer(install, index):
    gone = f"{index}/nothing"
    installed, told = install(".venv/installed", f"TORCH_INDEX={gone}")
    assert installed[1:] == ["-m pip install --editable ."]
    assert f"\n{gone} cannot be reached: PyTorch comes from the plain package index" in told


def test_an_empty_index_is_the_plain_one(install):
    installed, told = install(".venv/installed", "TORCH_INDEX=")
    assert installed[1:] == ["-m pip install --editable ."]
    assert "cannot be reached" not in told


def test_the_tests_packages_come_with_the_tests_alone(install):
    installed, _ = install(".venv/installed-dev", "TORCH_INDEX=")
    assert installed[1:] == ["-m pip install --editable .", "-m pip install --editable .[dev]"]


def test_the_versions_of_torch_are_those_of_the_package():
    wanted = [line.strip(' ",\n') for line in (ROOT / "pyproject.toml").read_text().splitlines() if '"torch' in line]
    assert f'"{wanted[0]}" "{wanted[1]}"' in (ROOT / "Makefile").read_text()


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("ldd") is None, reason="needs Linux and ldd")
def test_opencv_needs_no_library_of_a_desktop():
    """Every compiled part of cv2 finds what it needs, without libGL, X11 or GTK."""
    folder = Path(find_spec("cv2").origin).parent
    parts = [*folder.glob("*.so"), *folder.parent.glob("opencv_python*.libs/*.so*")]
    assert len(parts) > 1
    told = subprocess.run(["ldd", *parts], capture_output=True, text=True, check=True).stdout
    assert "libc.so" in told
    needed = re.findall(r"^\s+(lib\S+|.*not found)", told, re.MULTILINE)
    assert [one for one in needed if re.match(r"lib(GL|EGL|X11|xcb|gtk|Qt|glib)|.*not found", one)] == []
