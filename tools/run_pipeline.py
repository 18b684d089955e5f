"""The whole pipeline: proposals, maps, SVMs, box regression, detection, drawing, evaluation, report.

Each stage is passed over where what it would make is there already, so the same command goes on after an
interruption, and a changed setting redoes just the stages that depend on it.
"""

from __future__ import annotations

import sys

from detection.config import run_tool
from detection.pipeline.runner import run_all


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, lambda experiment, _: run_all(experiment), arguments)


if __name__ == "__main__":
    sys.exit(main())
