"""Linear SVMs, one a class, with hard-negative mining: RUN/detector/.

Windows and maps that are absent are made first. The log of the mining is RUN/detector/mining.csv.
"""

from __future__ import annotations

import sys

from detection.config import run_tool


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, lambda experiment, _: experiment.train_svms(), arguments)


if __name__ == "__main__":
    sys.exit(main())
