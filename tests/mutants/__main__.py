"""``python -m tests.mutants``: which small changes of the code do no test notice?"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutants.draw import draw
from tests.mutants.running import Limits, Result, try_mutants

SEED, COUNT = 20261128, 150


def main() -> int:
    """Exit status: 0, also where mutants live: whether one is equal to the code has to be judged by people."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="of the draw (default %(default)s)")
    parser.add_argument("--count", type=int, default=COUNT, help="mutants over all rooms (default %(default)s)")
    parser.add_argument("--rooms", default="", help="these alone, e.g. data,storage")
    parser.add_argument("--only", default="", help="numbers of the draw, e.g. 3,17")
    parser.add_argument("--list", action="store_true", help="show the draw and try nothing")
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time (default %(default)s)")
    parser.add_argument("--limit", type=float, default=150, help="seconds for one mutant (default %(default)s)")
    parser.add_argument("--test_limit", type=float, default=90, help="seconds for one test (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/mutants.json"), help="the file of results")
    options = parser.parse_args()
    mutants = draw(options.seed, options.count, [one for one in options.rooms.split(",") if one])
    if options.only:
        wanted = {int(one) for one in options.only.split(",")}
        mutants = [one for one in mutants if one.number in wanted]
    if options.list:
        for one in mutants:
            print(f"# {one.number} {one.mutation.kind}\n{one.diff()}\n")
        return 0

    def told(result: Result) -> None:
        print(f"{result.mutant.number:4} {result.outcome:6} {result.seconds:5.0f} s  {result.mutant.file}:"
              f"{result.mutant.mutation.line}  {result.by}", flush=True)  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        results = try_mutants(mutants, Path(folder), options.workers, Limits(options.limit, options.test_limit), told)
    _write(options.out, options.seed, results)
    _show(results, options.limit)
    print(f"all of them: {options.out}")
    return 0


def _write(path: Path, seed: int, results: list[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "number": one.mutant.number, "file": one.mutant.file, "line": one.mutant.mutation.line,
            "kind": one.mutant.mutation.kind, "outcome": one.outcome, "by": one.by, "seconds": round(one.seconds, 1),
            "diff": one.mutant.diff(), "log": one.log,
        }
        for one in results
    ]  # fmt: skip
    path.write_text(json.dumps({"seed": seed, "mutants": rows}, indent=1) + "\n", encoding="utf-8")


def _show(results: list[Result], limit: float) -> None:
    """The survivors as diffs, and a table of rooms."""
    for one in results:
        if one.outcome != "killed":
            why = "no test found it" if one.outcome == "lived" else f"not found in {limit:g} s"
            print(f"\n# {one.mutant.number} {one.mutant.mutation.kind}: {why}\n{one.mutant.diff()}")
    tried, killed = (Counter(one.mutant.room for one in rows) for rows in (
        results, [one for one in results if one.outcome == "killed"]))  # fmt: skip
    print(f"\n{'room':16} {'tried':>6} {'killed':>6}")
    for room in sorted(tried):
        print(f"{room:16} {tried[room]:6} {killed[room]:6}")
    print(f"{'all':16} {tried.total():6} {killed.total():6}")


if __name__ == "__main__":
    sys.exit(main())
