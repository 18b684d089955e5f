"""``python -m tests.campaign``: attacks on runs, files and readers, drawn by a seed (docs/reliability.md)."""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.campaign import damage, inputs, kills, machine, names
from tests.campaign.calls import warm_up
from tests.campaign.runs import Material
from tests.campaign.trials import Campaign, table

SEED = 20261128
PARTS = {"inputs": inputs.jobs, "damage": damage.jobs, "kills": kills.jobs, "names": names.jobs, **machine.PARTS}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=SEED, help="of all draws (default %(default)s)")
    add("--only", default="", help=f"parts, of {','.join(PARTS)}")
    add("--sample", type=float, default=1, metavar="SHARE", help="this share of the trials (default: all)")
    add("--minutes", type=float, default=60, help="start no trial after so long (default %(default)s)")
    add("--slots", type=int, default=2, help="trials at a time (default %(default)s)")
    add("--out", type=Path, default=Path("runs/campaign"), help="folder for what failed (default %(default)s)")
    add("--table", action="store_true", help="print the table as markdown, with command, date and machine")
    add("--show", nargs=2, metavar=("READER", "FILE"), help="read one file again, and nothing else")
    options = parser.parse_args(arguments)
    parts = options.only.split(",") if options.only else list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only: expected of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    started = time.monotonic()
    ends = started + 60 * options.minutes
    warm_up()
    with tempfile.TemporaryDirectory(prefix="campaign-") as scratch:
        material = Material(Path(scratch) / "material")
        if options.show:
            return inputs.show(material, options.show[0], Path(options.show[1]))
        out = options.out.resolve()
        shutil.rmtree(out, ignore_errors=True)
        campaign = Campaign(out, Path(scratch), options.slots, ends)
        for part in parts:
            campaign.run(part, PARTS[part](material, options.seed, options.sample))
    rows = table(campaign.tallies)
    if options.table:
        print(_markdown(rows, options, (time.monotonic() - started) / 60))
    else:
        for row in [["part", "tried", "held", "failed"], *rows]:
            print(f"{row[0]:12}" + "".join(f"{value:>9}" for value in row[1:]))
    failed = any(one.failed for one in campaign.tallies.values())
    if failed:
        print(f"what failed: {out}")
    return 1 if failed else 0


def _markdown(rows: list[list[str]], options: argparse.Namespace, minutes: float) -> str:
    command = f"python -m tests.campaign --seed {options.seed}" + (f" --only {options.only}" if options.only else "")
    command += f" --sample {options.sample:g}" if options.sample != 1 else ""
    lines = ["| part | tried | held | failed |", "|---|---:|---:|---:|", *(f"| {' | '.join(row)} |" for row in rows)]
    machine = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    )
    made = f"`{command}`, {time.strftime('%Y-%m-%d')}, {minutes:.0f} minutes, {options.slots} at a time; {machine}"
    return "\n".join([*lines, "", made])


if __name__ == "__main__":
    sys.exit(main())
