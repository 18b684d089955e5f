"""The HTML report of a finished run: one file to look at, to print and to send, and its tables as CSV and PNG.

Writes RUN/report.html, which needs no network and no other file, and the folder RUN/report. What is found, missed and
false at the thresholds of the run's detector, whole photos with it, the hardest first, what is taken for what, kinds
of errors, precision-recall curves, whether probabilities mean what they say, times, the mining log, settings.

--compare RUN2 adds a second run on the same test images, with the difference of the two, its bootstrap
interval, and whether RUN2 is any better; the file is then RUN/report-RUN2.html.

  sppnet report --run runs/mine --compare runs/other
"""

from pathlib import Path

from detection.commands.session import always, never, open_kept, run_command
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.report import compare_runs, report_page


def report(experiment: Experiment, compare: str | None = None, out: str | None = None) -> None:
    """Write the report and say where it is.

    Args:
        experiment: The run.
        compare: Folder of a second run on the same test images.
        out: HTML file to write; the tables go to a folder of its name.
    """
    target = None if out is None else Path(out)
    if compare is None:
        path = report_page(experiment, target)
    else:
        work = experiment.work
        second = open_kept(compare, work.console, work.executor, device=work.device, workers=1)
        path = compare_runs(experiment, second, target)
    print(f"page: {path}\ntables and curves: {path.with_suffix('')}")


main = run_command(__doc__, report, writes=never, needs_run=always)
