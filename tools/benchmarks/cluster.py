"""A run over a data set by one process, by processes of this machine, and by the workers of a Dask cluster on it.

Each turn is a whole run in a process of its own, after one on two photos that warms its workers up. The stages that
work over images, and how long a task takes that does nothing, tell what the cluster costs; all files are compared.
"""

import json
import shutil
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from benchmarks.harness import ROOT, Row, Tables, progress, run_python
from jsonargparse.typing import PositiveInt

from detection.data import write_digits
from detection.storage import file_fingerprint

TURN = Path(__file__).with_name("cluster_turn.py")
ONE = "1 process"
# Files that tell times.
TOLD_APART = ("run.yaml", "report.html")


def turn(arguments: list[str], workers: int, scheduler: str | None, folder: Path) -> Row:
    """What a run in `folder` took; "files": name -> fingerprint of what it wrote; the folder goes again."""
    order = {"arguments": arguments, "workers": workers, "scheduler": scheduler, "folder": str(folder)}
    found = json.loads(run_python(["-P", str(TURN), json.dumps(order)]).splitlines()[-1])
    files = [path for path in (folder / "run").rglob("*") if path.is_file() and path.name not in TOLD_APART]
    found["files"] = {str(path.relative_to(folder)): file_fingerprint(path) for path in files}
    shutil.rmtree(folder)
    return found


def compared(rows: list[Row]) -> list[Row]:
    """The turns with whether every file is that of the first."""
    first = rows[0]["files"]
    return [
        {**{key: value for key, value in row.items() if key != "files"}, "equal_bytes": row["files"] == first}
        for row in rows
    ]


def benchmark(
    voc: str | None = None,
    limit: PositiveInt = 100,
    workers: PositiveInt = 2,
    options: tuple[str, ...] = (),
    repeats: PositiveInt = 1,
) -> Tables:
    """Measure what a cluster costs on one machine; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC devkit. None: embedded digits.
        limit: Photos of each split.
        workers: Processes, and workers of the cluster.
        options: Further options of the run.
        repeats: Turns of each, a row each.
    """
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-cluster-")))
        root = write_digits(folder / "digits", limit, limit) if voc is None else Path(voc).resolve()
        arguments = [f"--config={ROOT / 'configs' / 'custom.yaml'}", f"--dataset.root={root}", *options]
        methods: dict[str, tuple[int, str | None]] = {ONE: (1, None), f"{workers} processes": (workers, None)}
        if find_spec("distributed") is not None:
            from distributed import LocalCluster

            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            address = stack.enter_context(cluster).scheduler_address
            methods[f"Dask, {workers} workers"] = workers, address
        for _ in range(repeats):
            for name, method in methods.items():
                progress(name)
                given = [*arguments, f"--workers={method[0]}"]
                rows.append({"by": name} | turn([*given, f"--limit={limit}"], *method, folder / "turn"))
                progress("")
                yield f"A run over at most {limit} photos a split, wall seconds", compared(rows)
