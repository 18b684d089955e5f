"""Which mutants are tried: a seeded draw over all rooms, and the tests that should find one."""

import difflib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutations import Mutation, mutations

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "detection"
# Each room has at least so many mutants, however small it is.
_AT_LEAST = 2
# They measure or show, need a browser, or change nothing of the package; in the last place those that take longest.
_NOT_ASKED = (
    "tests/tools/test_benchmarks", "tests/tools/test_check_gpu.py", "tests/report/test_browser.py", "tests/campaign",
    "tests/mutants",
)  # fmt: skip
_LAST = ("tests/test_detector.py", "tests/golden", "tests/pipeline", "tests/commands")


@dataclass(frozen=True)
class Mutant:
    """A change of a file of the package. number: its place in the draw, from 0. file: relative to the root."""

    number: int
    file: str
    mutation: Mutation

    @property
    def room(self) -> str:
        """The room that the file lies in."""
        return room_of(self.file)

    def diff(self) -> str:
        """What is changed, as a diff of one line of context."""
        old = (ROOT / self.file).read_bytes()
        lines = [text.decode().splitlines() for text in (old, self.mutation.applied(old))]
        return "\n".join(difflib.unified_diff(*lines, self.file, self.file, n=1, lineterm=""))


def room_of(file: str) -> str:
    """The first folder below the package, or the module in it."""
    return Path(file).parts[1].removesuffix(".py")


def draw(seed: int, count: int, rooms: Sequence[str] = ()) -> list[Mutant]:
    """`count` mutants: at least 2 a room, the others in proportion to what can be changed.

    In a room every kind of change is as likely, however often it can be made; no line is changed twice. rooms: these
    alone. A draw depends on the package's text and on these numbers, and on nothing else.
    """
    found = defaultdict(list)
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        if path.name != "__init__.py" and (not rooms or room_of(file) in rooms):
            found[room_of(file)] += [(file, one) for one in mutations(path.read_bytes())]
    if unknown := set(rooms) - set(found):
        raise ValueError(f"rooms: expected of {PACKAGE}/, got {', '.join(sorted(unknown))}")
    rng, drawn = random.Random(seed), []
    for room, share in _shares({room: len(changes) for room, changes in found.items()}, count).items():
        drawn += sorted(_of_all_kinds(found[room], share, rng), key=lambda one: (one[0], one[1].start))
    return [Mutant(number, file, one) for number, (file, one) in enumerate(drawn)]


def _of_all_kinds(
    changes: Sequence[tuple[str, Mutation]], count: int, rng: random.Random
) -> list[tuple[str, Mutation]]:
    """At most `count` (file, change) of different lines."""
    by_kind, taken = defaultdict(list), {}
    for file, one in changes:
        by_kind[one.kind].append((file, one))
    while by_kind and len(taken) < count:
        kind = rng.choice(sorted(by_kind))
        file, one = by_kind[kind].pop(rng.randrange(len(by_kind[kind])))
        taken.setdefault((file, one.line), (file, one))
        if not by_kind[kind]:
            del by_kind[kind]
    return list(taken.values())


def _shares(sizes: dict[str, int], count: int) -> dict[str, int]:
    """How many of each room, by the largest remainder; never more than there are."""
    shares = {room: min(_AT_LEAST, size) for room, size in sizes.items()}
    rest, total = max(count - sum(shares.values()), 0), sum(sizes.values())
    exact = {room: rest * size / total for room, size in sizes.items()}
    shares = {room: min(shares[room] + int(exact[room]), size) for room, size in sizes.items()}
    for room in sorted(sizes, key=lambda room: int(exact[room]) - exact[room]):
        if sum(shares.values()) < count and shares[room] < sizes[room]:
            shares[room] += 1
    return shares


def asked_tests(file: str, root: Path = ROOT) -> tuple[list[str], list[str]]:
    """Test files in two lists: those near to `file`, that is its own, those that import it, its room's; and the rest.

    The first of a list should find a fault of the file soonest. A file's own test is called as it is, or begins so:
    ``test_spp.py`` of ``spp.py``.
    """
    path = Path(file)
    module, stem = ".".join(path.with_suffix("").parts), path.stem.strip("_")
    folder = Path("tests", *path.parent.parts[1:])
    tests = [one.relative_to(root) for one in sorted((root / "tests").rglob("test_*.py"))]

    def rank(test: Path) -> tuple[int, str]:
        own = test.parent == folder and test.stem.startswith(f"test_{stem}")
        text = (root / test).read_text(encoding="utf-8")
        late = next((place for place, one in enumerate(_LAST, 5) if test.as_posix().startswith(one)), 4)
        order = (own, module in text, test.parent == folder, room_of(test.as_posix()) == room_of(file))
        return next((place for place, true in enumerate(order) if true), late), test.as_posix()

    ranked = sorted(rank(one) for one in tests if not one.as_posix().startswith(_NOT_ASKED))
    return [test for place, test in ranked if place < 4], [test for place, test in ranked if place >= 4]
