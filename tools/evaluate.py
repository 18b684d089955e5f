"""Average precision of the detections of a run: a table, and RUN/evaluation/SPLIT.json.

SPLIT.json holds metric, mAP (a fraction, over the classes that have objects in the split), per_class
(null without objects) and settings.
"""

from __future__ import annotations

import sys

from detection.config import run_tool


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, lambda experiment, _: experiment.evaluate(), arguments)


if __name__ == "__main__":
    sys.exit(main())
