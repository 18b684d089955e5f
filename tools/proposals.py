"""Windows of a data set's images (selective search).

usage: python tools/proposals.py generate --config FILE --run RUN

generate   make the windows of every training and test image: RUN/proposals/, one file an image; images that
           have theirs are passed over, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import sys

from detection.config import run_tool

COMMANDS = {"generate": lambda experiment, _: experiment.generate()}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    return run_tool(__doc__, COMMANDS[arguments[0]], arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
