"""Measurements against other programs; `proposals` in the environment that `make bench` builds (opencv-contrib).

usage: python tools/benchmark.py COMMAND [options]

proposals   selective search against OpenCV's: time of one thread, recall, windows of the original MATLAB code
svm         linear SVMs against scikit-learn's LinearSVC: time of one thread, objective, memory; many classes at once

COMMAND --help tells a command's options. Results: benchmark.json and benchmark.md in the folder --out.
"""

from __future__ import annotations

import importlib
import sys

COMMANDS = ("proposals", "svm")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command not in COMMANDS:
        asked = command in ("-h", "--help")
        print(__doc__ if asked else f"error: expected one of {', '.join(COMMANDS)}, got {command!r}\n\n{__doc__}")
        return 0 if asked else 2
    # Each brings what it measures, and not what the others need.
    return importlib.import_module(f"benchmarks.{command}").main(rest)


if __name__ == "__main__":
    sys.exit(main())
