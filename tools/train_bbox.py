"""Box regressors, one a class, added to the detector in RUN/detector/ that tools/train_svm.py made."""

from __future__ import annotations

import sys

from detection.config import run_tool


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, lambda experiment, _: experiment.train_regressors(), arguments)


if __name__ == "__main__":
    sys.exit(main())
