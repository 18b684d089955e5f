"""The HTML report of a finished run: one file to look at, to print and to send, and its tables as CSV and PNG.

Writes RUN/report.html, which needs no network and no other file, and the folder RUN/report. Figures,
precision-recall curves, kinds of errors, pictures of what was found, taken for something else and missed, scores,
times, the mining log, settings.

--compare RUN2 adds a second run on the same test images, with the difference of the two, its bootstrap
interval, and whether RUN2 is any better; the file is then RUN/report-RUN2.html.
"""

from pathlib import Path

from detection.commands.session import looks_only, open_experiment, require_run, run_command
from detection.config import read_settings
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.report import compare_runs, report_page


def report(experiment: Experiment, compare: str | None = None, out: str | None = None) -> None:
    """Write the report and say where it is.

    Args:
        experiment: The run.
        compare: Folder of a second run on the same test images.
        out: HTML file to write; the tables go to a folder of its name.
    """
    require_run(experiment.run.path)
    target = None if out is None else Path(out)
    if compare is None:
        path = report_page(experiment, target)
    else:
        require_run(compare, "--compare")
        # Under the settings that the second run keeps.
        settings = read_settings(f"--run={compare}", f"--device={experiment.work.device}", "--workers=1")
        second = open_experiment(settings, experiment.work.console, experiment.work.executor)
        path = compare_runs(experiment, second, target)
    print(f"page: {path}\ntables and curves: {path.with_suffix('')}")


main = run_command(__doc__, report, writes=looks_only)
