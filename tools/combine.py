"""Several runs' detectors together, by NMS on the union of their scored proposals; prints what that gains.

The gain is over the run with the highest mAP, with its bootstrap interval on the same resamples of the images.

All runs have the same data set and classes, and a trained detector each:
  python tools/combine.py RUN RUN ... --out FOLDER

Each detector scores the proposals of its own run, with the maps that are there. FOLDER gets SPLIT.json (COCO results),
the devkit's text files comp4_det_SPLIT_CLASS.txt and evaluation.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from detection.config import build_parser, exit_status, open_experiment, parse
from detection.data import write_coco_results, write_comp4
from detection.evaluation import Evaluation, comparison_table, difference, evaluate
from detection.evaluation.table import fraction
from detection.pipeline.combine import combine_detections
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.detections import read_detections
from detection.pipeline.work import default_workers, worker_processes
from detection.storage import write_json


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="Folders of finished runs, two or more.")
    parser.add_argument("--out", required=True, help="Folder of what is found; files of the same names are replaced.")
    parser.add_argument("--workers", type=int, default=0, help="Processes over images. 0: one a processor, at most 4.")
    parser.add_argument("--device", default="cpu", help="torch device of maps that are absent and of fc6 and fc7.")
    return parser.parse_args(arguments)


def _figures(runs: Sequence[str], single: Sequence[Evaluation], together: Evaluation) -> Table:
    table = Table(title=Text("Average precision"))
    table.add_column("")
    for name in (*runs, "together"):
        table.add_column(Text(name), justify="right", overflow="fold")
    every = [*single, together]
    for i, name in enumerate(together.classes):
        table.add_row(Text(name), *(fraction(one.per_class[i].ap) for one in every))
    table.add_row("mean", *(fraction(one.mean_ap) for one in every))
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
    single = [evaluate(read_detections(one), one.test_images, one.classes, **_metric(first)) for one in experiments]
    together = evaluate(found, first.test_images, first.classes, **_metric(first))
    best = max(range(len(single)), key=lambda place: single[place].mean_ap or 0.0)
    gain = difference(single[best], together, first.settings.intervals)
    write_coco_results(out / f"{first.split}.json", found)
    write_comp4(out, first.split, found, first.classes)
    facts = {"runs": options.runs, "mAP_of_runs": [one.mean_ap for one in single], "best_run": options.runs[best]}
    facts |= {} if gain is None else {"gain_over_best_run": gain.to_json(first.classes)}
    write_json(out / "evaluation.json", {**together.to_json(), **facts})
    console = first.work.console
    console.print(_figures(options.runs, single, together))
    console.print(f"first: {options.runs[best]}, second: together", highlight=False, markup=False, soft_wrap=True)
    console.print(comparison_table(single[best], together, gain))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _arguments(sys.argv[1:] if arguments is None else arguments)
    return exit_status(lambda: combine(options))


if __name__ == "__main__":
    sys.exit(main())
