"""The HTML report of a finished run: one file to look at, to print and to send, and its tables as CSV and PNG.

Writes RUN/report.html, which needs no network and nothing beside it, and the folder RUN/report. Figures,
precision-recall curves, kinds of errors, pictures of what was found, taken for something else and missed, scores,
times, the mining log, settings.

--compare RUN2 sets a second run on the same test images beside it, with the difference of the two, its bootstrap
interval, and whether RUN2 is any better; the file is then RUN/report-RUN2.html.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from detection.config import build_parser, open_experiment, parse, run_tool
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.report import compare, report_page
from detection.storage.run import RunFolder


def add_options(parser: ArgumentParser) -> None:
    """The tool's own options."""
    parser.add_argument(
        "--compare", type=str | None, default=None, help="Folder of a second run on the same test images."
    )
    parser.add_argument(
        "--out", type=str | None, default=None, help="HTML file to write; the tables go to a folder of its name."
    )


def open_second(folder: str, first: Experiment) -> Experiment:
    """The run to compare with, under the settings it keeps. Raises ValueError where there is none."""
    if RunFolder(folder).read()["settings"] is None:
        raise ValueError(f"--compare {folder}: expected the folder of a run, found no settings in it")
    settings, _ = parse(build_parser(""), [f"--run={folder}", f"--device={first.work.device}", "--workers=1"])
    return open_experiment(settings, first.work.console, first.work.executor)


def body(experiment: Experiment, options: Namespace) -> None:
    """Write the report and say where it is."""
    out = None if options.out is None else Path(options.out)
    second = None if options.compare is None else open_second(options.compare, experiment)
    path = report_page(experiment, out) if second is None else compare(experiment, second, out)
    print(f"page: {path}\ntables and curves: {path.with_suffix('')}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, body, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
