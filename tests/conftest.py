"""Fixtures that several rooms' tests use."""

from __future__ import annotations

import importlib
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from detection.data.formats.voc_xml import annotation_xml
from detection.parallel import OrderedMap, in_place
from detection.pipeline.runner import run_all
from detection.talking import Notices

if TYPE_CHECKING:
    from detection.pipeline.experiment import Experiment

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_DATA = SHARED / "data"

# (class name, half-open box x1, y1, x2, y2) or the same with a difficult flag
ObjectOf = tuple[str, Sequence[float]] | tuple[str, Sequence[float], bool]


# How long an example takes says more of the machine than of the code. Where CI is set, the examples are the same ones.
hypothesis.settings.register_profile("any", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "any")


def pytest_configure(config: pytest.Config) -> None:
    """Networks that OpenVINO converted are kept for these tests alone, and the processes that they start.

    Those, pytest-xdist's among them, compute with a thread each: more would wait for one another, for twice the time.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # has what its starter set
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = tempfile.TemporaryDirectory(prefix="converted-networks-")
    config.add_cleanup(folder.cleanup)
    os.environ["SPPNET_CACHE"] = folder.name
    # Compiled kernels stay where they are.
    os.environ.setdefault("NUMBA_CACHE_DIR", "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests wait for browsers, clusters and disks."""
    return min(4, (os.cpu_count() or 1) + 1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos beside the repository; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real photos in {SHARED_DATA.parent.name}/{SHARED_DATA.name} beside the repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_faults() -> Path:
    """The folder of faulty data sets beside the repository, each with what is expected of it; skipped without it."""
    folder = SHARED / "faults"
    if not folder.is_dir():
        pytest.skip(f"needs the samples in {SHARED.name}/{folder.name} beside the repository")
    return folder


@pytest.fixture
def make_devkit(tmp_path: Path) -> Callable[..., Path]:
    """`write_devkit` with tmp_path/VOCdevkit as the default root."""

    def make(splits: Mapping[str, Mapping[str, Sequence[ObjectOf]]], root: Path | None = None, **options) -> Path:
        return write_devkit(root or tmp_path / "VOCdevkit", splits, **options)

    return make


@pytest.fixture(scope="session")
def write_set() -> Callable[..., Path]:
    """`write_devkit`."""
    return write_devkit


def write_devkit(
    root: Path,
    splits: Mapping[str, Mapping[str, Sequence[ObjectOf]]],
    size: tuple[int, int] = (90, 120),
    images: Mapping[str, np.ndarray] | None = None,
    year: str = "VOC2007",
    seed: int = 0,
) -> Path:
    """Write a tiny devkit and return its root, the folder that holds the year folder.

    ``{"trainval": {"img1": [("cat", (10, 20, 60, 80))], "img2": []}}`` gives noise images of `size`
    (height, width) px, their XML and the split lists. Boxes are half-open. `images` gives an id its own (H, W, 3)
    uint8 pixels.
    """
    rng = np.random.default_rng(seed)
    for split, content in splits.items():
        _write(root / year / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{name}\n" for name in content))
        for image_id, objects in content.items():
            noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            pixels = (images or {}).get(image_id, noise)
            path = root / year / "JPEGImages" / f"{image_id}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=95)
            flagged = [(name, box, bool(rest and rest[0])) for name, box, *rest in objects]
            xml = annotation_xml(path.name, pixels.shape[:2], flagged, folder=year)
            _write(root / year / "Annotations" / f"{image_id}.xml", xml)
    return root


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _shapes(rng: np.random.Generator, count: int, size: tuple[int, int]) -> tuple[np.ndarray, list[ObjectOf]]:
    """A grey image with `count` red squares ("box") and blue discs ("disc") side by side, and its objects."""
    height, width = size
    image = np.full((height, width, 3), 120.0) + np.linspace(0, 40, width)[None, :, None]
    image += rng.normal(0, 2, image.shape)
    rows, columns = np.mgrid[:height, :width]
    objects: list[ObjectOf] = []
    for number in range(count):
        side = int(rng.integers(36, 60))
        x, y = number * 80 + int(rng.integers(4, 76 - side)), int(rng.integers(4, height - side - 4))
        name = ("box", "disc")[int(rng.integers(2))]
        inside = (columns >= x) & (columns < x + side) & (rows >= y) & (rows < y + side)
        if name == "disc":
            inside &= (columns + 0.5 - x - side / 2) ** 2 + (rows + 0.5 - y - side / 2) ** 2 <= (side / 2) ** 2
        image[inside] = (200, 40, 30) if name == "box" else (40, 50, 190)
        objects.append((name, (x, y, x + side, y + side)))
    return image.clip(0, 255).astype(np.uint8), objects


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`write_shapes`. Not to be changed: copy it."""
    return write_shapes(tmp_path_factory.mktemp("shapes") / "VOCdevkit")


def write_shapes(root: Path) -> Path:
    """A devkit of 8 training and 5 test images that can be learned in a second.

    One image of each split has no object, one test image's id holds a blank and a folder.
    """
    rng = np.random.default_rng(0)
    ids = {"trainval": [f"train{n}" for n in range(8)], "test": ["sub dir/test 0", *(f"test{n}" for n in range(1, 5))]}
    splits, images = {}, {}
    for split, names in ids.items():
        splits[split] = {}
        for number, name in enumerate(names):
            images[name], splits[split][name] = _shapes(rng, 0 if number == 3 else 2, (100 + 4 * number, 160))
    return write_devkit(root, splits, images=images)


@pytest.fixture(scope="session")
def shape_photos(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos of `shapes` in one folder, the first eight with their XML beside them. Not to be changed."""
    folder = tmp_path_factory.mktemp("shapes") / "photos"
    folder.mkdir()
    year = shapes / "VOC2007"
    for photo in sorted((year / "JPEGImages").glob("*.jpg")):
        shutil.copy(photo, folder)
    for number in range(8):
        shutil.copy(year / "Annotations" / f"train{number}.xml", folder)
    return folder


@pytest.fixture(scope="session")
def shape_options(shapes: Path) -> list[str]:
    """`run_options` on `shapes`."""
    return run_options(shapes)


def run_options(root: Path) -> list[str]:
    """Command line for a run on `write_shapes` that takes a second or two, without ``--run``."""
    options = {
        "dataset.root": root,
        "proposals.preset": "single",
        "proposals.max_windows": 60,
        "features.short_sides": [96],
        "regression.min_examples": 3,
        "workers": 1,
    }
    return [f"--{name}={value}" for name, value in options.items()]


@pytest.fixture(scope="session")
def _offsets_once() -> Iterator[None]:
    """The centres of a network's cells are measured once for each network, whatever its weights: it takes a second."""
    from detection.backbones import backbone

    measure, known = backbone.measure_offsets, {}

    def once(cut: Any, strides: tuple[int, ...]) -> np.ndarray:
        # Its layers with their settings, how they are joined, and where it is cut.
        key = str(cut), cut.code, strides
        if key not in known:
            known[key] = measure(cut, strides)
        return known[key].copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "measure_offsets", once)
        yield


@pytest.fixture(scope="session")
def open_run(shape_options: list[str], _offsets_once: None) -> Callable[..., Experiment]:
    """``open_run(folder, *options, executor=in_place)``: the experiment of `shape_options` and more options.

    Its console is no terminal; what it prints and logs is ``experiment.work.console.file.getvalue()``.
    """

    def open_it(folder: Path, *options: str, executor: OrderedMap = in_place) -> Experiment:
        from detection.commands import session  # loads torch, which most rooms' tests do without
        from detection.config import read_settings

        settings = read_settings(*shape_options, f"--run={folder}", *options)
        console = Console(file=io.StringIO(), width=200, force_terminal=False)
        # A log of its own: what others say, and what it says to others, is not mixed.
        log = logging.Logger("open_run", logging.INFO)
        log.addHandler(Notices(console))
        return session.open_experiment(settings, console, executor, log)

    return open_it


@pytest.fixture(scope="session")
def finished(open_run: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run on `shapes`. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run_all(open_run(folder))
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of `finished` to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="session")
def load_tool() -> Callable[[str], ModuleType]:
    """A function that imports the command behind tools/NAME.py."""
    return lambda name: importlib.import_module(f"detection.commands.{name}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, a selenium driver; tests that need it are skipped where it or its driver is absent."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (pip install -e '.[dev]')")
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("needs chromium and chromedriver (tests/install-browser.sh)")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    # As root Chromium does not start in its sandbox; the pages are our own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()
