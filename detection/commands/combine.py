"""Several runs' detectors together, by NMS on the union of their scored proposals; prints what that gains.

The gain is over the run with the highest mAP, with its bootstrap interval on the same resamples of the images.

All runs have the same data set and classes, and a trained detector each:
  python tools/combine.py RUN RUN ... --out FOLDER

Each detector scores the proposals of its own run, with the maps that are there. FOLDER gets SPLIT.json (COCO results),
the devkit's text files comp4_det_SPLIT_CLASS.txt and evaluation.json.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from detection.command_line import function_command, say, text_table
from detection.commands.session import open_experiment
from detection.config import read_settings
from detection.data import write_coco_results, write_comp4
from detection.evaluation import Evaluation, comparison_table, difference, evaluate
from detection.evaluation.table import fraction
from detection.pipeline.combine import combine_detections
from detection.pipeline.stages.detections import read_detections
from detection.pipeline.work import default_workers, worker_processes
from detection.storage import write_json


def combine(runs: list[str], out: str, workers: int = 0, device: str = "cpu") -> None:
    """Detect, write and print. Raises ValueError for fewer than two runs, and as `combine_detections`.

    Args:
        runs: Folders of finished runs, two or more.
        out: Folder of what is found; files of the same names are replaced.
        workers: Processes over images. 0: one a processor, at most 4.
        device: torch device of maps that are absent and of fc6 and fc7.
    """
    if len(runs) < 2:
        raise ValueError(f"expected two runs or more, got {len(runs)}")
    workers = workers or default_workers()
    with worker_processes(workers) as executor:
        parsed = [read_settings(f"--run={run}", f"--device={device}", f"--workers={workers}") for run in runs]
        experiments = [open_experiment(one, executor=executor) for one in parsed]
        first = experiments[0]
        found = combine_detections(experiments, first.settings.postprocess, first.work)
    metric = dataclasses.asdict(first.settings.evaluation)
    single = [evaluate(read_detections(one), one.test_images, one.classes, **metric) for one in experiments]
    together = evaluate(found, first.test_images, first.classes, **metric)
    best = max(range(len(single)), key=lambda place: single[place].mean_ap or 0.0)
    gain = difference(single[best], together, first.settings.intervals)
    write_coco_results(Path(out) / f"{first.split}.json", found)
    write_comp4(out, first.split, found, first.classes)
    facts = {"runs": runs, "mAP_of_runs": [one.mean_ap for one in single], "best_run": runs[best]}
    facts |= {} if gain is None else {"gain_over_best_run": gain.to_json(first.classes)}
    write_json(Path(out) / "evaluation.json", {**together.to_json(), **facts})
    console = first.work.console
    console.print(_precision_table(runs, [*single, together]))
    say(console, f"first: {runs[best]}, second: together")
    console.print(comparison_table(single[best], together, gain))


def _precision_table(runs: Sequence[str], evaluations: Sequence[Evaluation]):
    rows = [
        [name, *(fraction(one.per_class[place].ap) for one in evaluations)]
        for place, name in enumerate(evaluations[0].classes)
    ]
    rows.append(["mean", *(fraction(one.mean_ap) for one in evaluations)])
    return text_table("Average precision", ["", *runs, "together"], rows)


main = function_command(__doc__, combine, {"runs": {"type": str, "nargs": "+", "metavar": "RUN"}})
