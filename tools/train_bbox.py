"""Box regressors, one a class, added to the detector in RUN/detector/ that tools/train_svm.py made."""

from __future__ import annotations

import sys

from detection.config import run_tool
from detection.pipeline.stages.regressors import REGRESSORS


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, lambda experiment, _: REGRESSORS.make(experiment), arguments)


if __name__ == "__main__":
    sys.exit(main())
