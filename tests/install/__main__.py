"""The package as a user gets it: `python -m tests.install CHECK...`; each check takes minutes, .ci/run does the first.

wheel: the built wheel in a fresh environment, README's commands there, outside any checkout, in an empty folder.
checkout: README's commands in a copy of this checkout, with its environment.
pythons: whether every Python that the classifiers name has wheels of all that is needed.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.metadata import Metadata

from tests.install.readme import ROOT, environment_of, make_stand_ins, run_all, runs

# What a user of the wheel does beside README's commands, after them.
_FURTHER = (
    "sppnet --version",
    "sppnet init --root my_photos --out mine.yaml",
    "sppnet run --config mine.yaml --run runs/mine",
    "sppnet evaluate --run runs/mine",
)
# Most of an environment is PyTorch's with CUDA, on Linux.
_CUDA = ("nvidia", "triton", "cuda")


def check_wheel(folder: Path) -> list[str]:
    """Build, install and use the wheel; what failed."""
    wheel = build_wheel(folder)
    programs = folder / "environment" / "bin"
    _call([sys.executable, "-m", "venv", programs.parent])
    _call([programs / "python", "-m", "pip", "install", "--quiet", wheel])
    print(f"installed: {sizes(programs.parent)}", flush=True)
    return use_wheel(wheel, programs, folder / "empty")


def use_wheel(wheel: Path, programs: Path, empty: Path) -> list[str]:
    """README's commands, Python and `_FURTHER` in an empty folder, by an environment with the wheel; what failed."""
    empty.mkdir()
    # As README has it: an environment in the folder where one works.
    (empty / ".venv").symlink_to(programs.parent)
    make_stand_ins(programs / "python", empty)
    # README's Python uses it.
    _call([programs / "python", "-m", "pip", "install", "--quiet", f"{wheel}[supervision]"])
    failed = list(run_all(programs, empty, checkout=False))
    return failed + [one for one in _FURTHER if not runs(["bash", "-c", one], one, empty, environment_of(programs))]


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, whose metadata are checked: packaging raises where a field is not as it should be."""
    # Of a copy: setuptools takes up what an earlier build left in its folder.
    source = copy_checkout(folder / "source")
    _call([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source])
    wheel = next(folder.glob("sppnet-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        text = archive.read(next(one for one in names if one.endswith(".dist-info/METADATA")))
    found = Metadata.from_email(text, validate=True)
    assert found.description_content_type == "text/markdown"
    assert (found.license_expression, found.author) == ("Apache-2.0", "sppnet contributors")
    assert {"detection/py.typed", "detection/data/__init__.pyi", "detection/configs/custom.yaml"} < set(names), names
    assert not [one for one in names if one.startswith(("tests/", "tools/", "examples/"))], names
    return wheel


def sizes(environment: Path) -> str:
    """MB of an environment, and of that what computes on NVIDIA's GPUs alone."""
    packages = next(environment.glob("lib/python*/site-packages"))
    cuda = sum(_megabytes(packages / name) for name in _CUDA)
    return f"{_megabytes(environment):,.0f} MB, {cuda:,.0f} MB of them in {', '.join(_CUDA)}"


def _megabytes(folder: Path) -> float:
    return sum(one.lstat().st_size for one in folder.rglob("*") if not one.is_dir() or one.is_symlink()) / 1e6


def copy_checkout(folder: Path) -> Path:
    """The files of this checkout that git knows, in another folder, which is returned."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # With its times: make would install anew what is newer.
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def check_checkout(folder: Path) -> list[str]:
    """Use a copy of the checkout, so that nothing is left in this one; what failed."""
    copy = copy_checkout(folder / "checkout")
    programs = Path(sys.prefix).resolve() / "bin"
    (copy / ".venv").symlink_to(programs.parent)
    make_stand_ins(programs / "python", copy)
    return list(run_all(programs, copy, checkout=True))


def check_pythons(folder: Path) -> list[str]:
    """Ask the package index, without installing anything, for the wheels of every Python of the classifiers."""
    wheel = build_wheel(folder)
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = [one.rpartition(" ")[2] for one in classifiers if ":: 3." in one]
    assert len(versions) >= 2, classifiers

    def ask(version: str) -> bool:
        report = folder / f"{version}.json"
        words = ["--dry-run", "--ignore-installed", "--target", folder / version, "--only-binary", ":all:"]
        words += ["--python-version", version, "--report", report, "--quiet", wheel]
        ended = subprocess.run([sys.executable, "-m", "pip", "install", *words], check=False)
        count = len(json.loads(report.read_text())["install"]) if report.is_file() else 0
        print(f"Python {version}: {f'{count} wheels' if count else 'not all wheels'}", flush=True)
        return ended.returncode == 0 and count > 0

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(ask, versions))
    return [f"Python {version}" for version, answer in zip(versions, answers, strict=True) if not answer]


def _call(words: list, **more) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, **more)


CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "wheel": check_wheel,
    "checkout": check_checkout,
    "pythons": check_pythons,
}


def main(names: list[str]) -> int:
    """Do these checks; the exit status."""
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="sppnet-install-") as folder:
            failed += [f"{name}: {one}" for one in CHECKS[name](Path(folder))]
    for one in failed:
        print(f"FAILED {one}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
