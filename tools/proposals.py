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
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command in ("-h", "--help"):
        return run_tool(__doc__, COMMANDS[next(iter(COMMANDS))], [command])
    if command not in COMMANDS:
        print(f"error: expected one of {', '.join(COMMANDS)}, got {command!r}\n\n{__doc__}", file=sys.stderr)
        return 2
    return run_tool(__doc__, COMMANDS[command], rest)


if __name__ == "__main__":
    sys.exit(main())
