"""What every command line shares; it loads no torch, so that tools which need none start at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from jsonargparse import DefaultHelpFormatter
from rich.console import Console


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that leaves the lines of a description as they are."""


def exit_status(body: Callable[[], object], refused: tuple[type[Exception], ...] = (ValueError, OSError)) -> int:
    """The exit status of a tool that does `body`: what that returns if it is an int, else 0.

    2: settings or data that cannot be used, which `refused` tells; the message is printed without a traceback.
    130: interrupted.
    """
    console = Console(stderr=True)
    try:
        status = body()
        return status if isinstance(status, int) else 0
    except KeyboardInterrupt:
        console.print("interrupted: the same command goes on from here")
        return 130
    except refused as error:
        console.print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
        return 2
