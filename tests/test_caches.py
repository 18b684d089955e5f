"""Where compiled code is kept, where nothing can be written too, and what is said of compiling."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.caches import choose_kernel_folder

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A package, a home and a temporary folder of its own; numba is not told, so that other tests' kernels stay."""
    for name in ("NUMBA_CACHE_DIR", "SPPNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    for name in ("package", "home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    read_only = set()
    access, mkdir = os.access, Path.mkdir

    def is_within(path):
        return any(Path(path).is_relative_to(one) for one in read_only)

    def refuse(path, *arguments, **named):
        if is_within(path) and not path.exists():
            raise PermissionError(path)
        mkdir(path, *arguments, **named)

    # What chmod does for users, but root.
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not is_within(path))
    monkeypatch.setattr(Path, "mkdir", refuse)
    return tmp_path, read_only


def test_a_package_that_can_be_written_keeps_its_kernels(machine):
    root, _ = machine
    choose_kernel_folder(root / "package")
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_numbas_own_variable_is_left(machine, monkeypatch):
    root, read_only = machine
    read_only.add(root)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    choose_kernel_folder(root / "package")
    assert os.environ["NUMBA_CACHE_DIR"] == ""


def test_sppnet_cache_is_followed(machine, monkeypatch, caplog):
    import numba

    root, _ = machine
    monkeypatch.setenv("SPPNET_CACHE", str(root / "own"))
    choose_kernel_folder(root / "package")
    assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR == str(root / "own" / "numba")
    assert caplog.messages == []


def test_of_a_read_only_package_the_users_cache_is_taken(machine, caplog):
    root, read_only = machine
    read_only.add(root / "package")
    choose_kernel_folder(root / "package")
    assert os.environ["NUMBA_CACHE_DIR"] == str(root / "home" / ".cache" / "sppnet" / "numba")
    assert caplog.messages == []


@pytest.mark.parametrize("cache", [None, "home/own"])
def test_where_nothing_else_can_be_written_one_line_says_so(machine, monkeypatch, caplog, cache):
    root, read_only = machine
    read_only |= {root / "package", root / "home"}
    if cache:
        monkeypatch.setenv("SPPNET_CACHE", str(root / cache))
    choose_kernel_folder(root / "package")
    folder = root / "tmp" / f"sppnet-{os.getuid()}"
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(caplog.messages) == 1
    assert f"it is kept in {folder}" in caplog.text
    assert "SPPNET_CACHE names another folder" in caplog.text


def test_a_folder_that_others_can_write_is_not_trusted(machine, caplog):
    root, read_only = machine
    read_only |= {root / "package", root / "home"}
    theirs = root / "tmp" / f"sppnet-{os.getuid()}"
    theirs.mkdir()
    theirs.chmod(0o777)
    choose_kernel_folder(root / "package")
    chosen = Path(os.environ["NUMBA_CACHE_DIR"])
    assert chosen != theirs
    assert chosen.parent == root / "tmp"


CODE = """
import numpy, sys
from detection.command_line import command
from detection.geometry import nms
boxes, scores = numpy.array([[0, 0, 2, 2], [0, 0, 2, 2]], numpy.float32), numpy.array([1, 2], numpy.float32)
sys.exit(command(lambda _: print(nms(boxes, scores, 0.5)))([]))
"""


def test_the_first_call_ever_says_what_it_waits_for_and_the_next_nothing(tmp_path):
    environment = {one: value for one, value in os.environ.items() if one != "NUMBA_CACHE_DIR"}
    environment |= {"SPPNET_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    said = []
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True, timeout=300
        )
        assert ended.stdout == "[1]\n"
        said.append(ended.stderr)
    assert said[0].splitlines() == [
        "compiling what is compiled once on a machine: up to a minute (sppnet warmup does it beforehand)"
    ]
    assert said[1] == ""
    assert list((tmp_path / "numba").rglob("*.nbi"))


KERNELS = """
import numba
from detection.caches import tell_compiling, tell_kernels
inner = numba.njit(lambda x: x + 1)
@numba.njit
def outer(x):
    return inner(x)
tell_compiling(print)
tell_kernels(lambda name: print("kernel", name))
outer(1), outer(2), outer(1.0)
"""


def test_each_kernel_is_told_once_for_each_kind_of_arguments_and_nothing_else():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "kernel outer\nkernel outer\n"
