"""Several runs' detectors together, by NMS on the union of their scored windows; prints what that gains.

All runs have the same data set and classes, and a trained detector each:
  python tools/combine.py RUN RUN ... --out FOLDER

Each detector scores the windows of its own run, with the maps that are there. FOLDER gets SPLIT.json (COCO results),
the devkit's text files comp4_det_SPLIT_CLASS.txt and evaluation.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from detection.config import build_parser, exit_status, open_experiment, parse
from detection.data import write_coco_results, write_comp4
from detection.evaluation import Evaluation, evaluate
from detection.stages.combine import combine_detections
from detection.stages.experiment import Experiment
from detection.stages.work import default_workers, worker_processes
from detection.storage import write_json


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="Folders of finished runs, two or more.")
    parser.add_argument("--out", required=True, help="Folder of what is found; files of the same names are replaced.")
    parser.add_argument("--workers", type=int, default=0, help="Processes over images. 0: one a processor, at most 4.")
    parser.add_argument("--device", default="cpu", help="torch device of maps that are absent and of fc6 and fc7.")
    return parser.parse_args(arguments)


def _figures(experiments: list[Experiment], together: Evaluation) -> Table:
    first = experiments[0]
    single = [evaluate(one.detections(), one.test_images, one.classes, **_metric(first)) for one in experiments]
    table = Table(title=Text("Average precision; gain: together against the best run"))
    table.add_column("")
    for name in (*(str(one.run.path) for one in experiments), "together", "gain"):
        table.add_column(Text(name), justify="right", overflow="fold")
    every = [*single, together]
    rows = {name: [one.per_class[i].ap for one in every] for i, name in enumerate(first.classes)}
    rows["mean"] = [one.mean_ap for one in every]
    for name, values in rows.items():
        # A class without a test object has no AP, in any run.
        known = None not in values
        gain = f"{values[-1] - max(values[:-1]):+.3f}" if known else "-"
        table.add_row(Text(name), *(f"{value:.3f}" if known else "-" for value in values), gain)
    return table


def _metric(experiment: Experiment) -> dict[str, object]:
    return dataclasses.asdict(experiment.settings.evaluation)


def combine(options: argparse.Namespace) -> int:
    """Detect, write and print; the exit status."""
    if len(options.runs) < 2:
        raise ValueError(f"expected two runs or more, got {len(options.runs)}")
    workers = options.workers or default_workers()
    with worker_processes(workers) as executor:
        parsed = [parse(build_parser(""), [f"--run={run}", f"--device={options.device}"])[0] for run in options.runs]
        experiments = [open_experiment(dataclasses.replace(one, workers=workers), executor=executor) for one in parsed]
        first, out = experiments[0], Path(options.out)
        found = combine_detections(experiments, first.settings.postprocess, first.work)
    together = evaluate(found, first.test_images, first.classes, **_metric(first))
    write_coco_results(out / f"{first.split}.json", found)
    write_comp4(out, first.split, found, first.classes)
    write_json(out / "evaluation.json", {**together.to_json(), "runs": options.runs})
    first.work.console.print(_figures(experiments, together))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _arguments(sys.argv[1:] if arguments is None else arguments)
    return exit_status(lambda: combine(options))


if __name__ == "__main__":
    sys.exit(main())
