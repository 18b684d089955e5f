"""The tiny runs that the campaign disturbs, and what of a run has to be equal to the bit."""

import re
import shutil
from functools import cached_property
from pathlib import Path

import yaml

from tests.campaign.calls import Call, do
from tests.conftest import run_options, write_shapes

FINETUNED = (
    "--finetune.widths=[16,12]", "--finetune.iterations=[30]", "--finetune.learning_rates=[0.02]",
    "--finetune.snapshot_every=10", "--finetune.snapshot_batches=2", "--finetune.checkpoint_every=10",
    "--finetune.memory_mib=64", "--finetune.round_iterations=10", "--features.head=finetuned", "--features.layer=fc7",
)  # fmt: skip
# Of time and place, or what only tells how the work was done. What starts with a dot nothing reads.
_OF_TIME = re.compile(r"report(-[^/]*)?\.html|report/(times|data)\.\w+|log\.csv|lock.*|.*/lock.*")


class Material:
    """What every part needs, made in `folder`: the data set `root`, and runs on it that nothing disturbed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = write_shapes(folder / "VOCdevkit")

    @cached_property
    def finished(self) -> Path:
        """A whole run."""
        return self._done("finished")

    @cached_property
    def tuned(self) -> Path:
        """A whole run with fine-tuned layers."""
        return self._done("tuned", *FINETUNED)

    def _done(self, run: str, *options: str) -> Path:
        done = do(self.call("run_pipeline", *options, run=run), self.folder)
        if done.status != 0:
            raise RuntimeError(f"an undisturbed run ended with status {done.status}: {done.errors}{done.out[-2000:]}")
        return self.folder / run

    def call(self, name: str, *arguments: object, run: str = "run", first: tuple[str, ...] = ()) -> Call:
        """A command of a run with the options that `finished` has."""
        return Call(name, (*first, *run_options(self.root), f"--run={run}", *map(str, arguments)))


def copied(run: Path, folder: Path, without: tuple[str, ...] = ()) -> Path:
    """A copy of a run as ``folder/run``, less some of its folders and files."""
    folder.mkdir(parents=True, exist_ok=True)
    target = Path(shutil.copytree(run, folder / "run"))
    for name in without:
        path = target / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return target


def bits(folder: Path) -> dict[str, bytes]:
    """Path -> content of all files of a run, or of what a tool wrote, without times and places."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in path.parts[len(folder.parts) :]):
            if path.name == "run.yaml":
                found[name] = _record(path)
            elif not _OF_TIME.fullmatch(name):
                found[name] = path.read_bytes()
    return found


def _record(path: Path) -> bytes:
    """What of a run.yaml does not tell how the work was done: settings, and the keys of its stages.

    Not the report's: that holds the times too.
    """
    record = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys = {name: one["key"] for name, one in record["stages"].items() if name != "report"}
    return repr((record["settings"], sorted(keys.items()))).encode()


def difference(got: dict[str, bytes], expected: dict[str, bytes]) -> str:
    """The first names in which two results differ, with what is there; nothing where they are equal."""
    names = [one for one in sorted({*got, *expected}) if got.get(one) != expected.get(one)]
    words = [f"{one} ({'changed' if one in got and one in expected else 'added' if one in got else 'absent'})"
             for one in names]  # fmt: skip
    return ", ".join(words[:8])


def changes_of(call: Call, folder: Path, **more: object) -> list[str]:
    """What a call does to files when it is not disturbed, a line each: event and path or paths. more: of `do`."""
    log = folder / "changes"
    done = do(call, folder, log=log, **more)
    if done.status != 0:
        raise RuntimeError(f"{call}: undisturbed it ended with status {done.status}: {done.errors}{done.out[-2000:]}")
    return log.read_text().splitlines()


def stopped_at(call: Call, folder: Path, text: str, nth: int) -> Path:
    """The run of a call that was killed behind its `nth` move to a path with `text` in it."""
    folder.mkdir(parents=True)
    scratch = folder / "scratch"
    scratch.mkdir()
    places = [place for place, line in enumerate(changes_of(call, scratch), start=1)
              if line.startswith("os.rename ") and text in line.rsplit(" ", 1)[-1]]  # fmt: skip
    shutil.rmtree(scratch)
    if len(places) < nth:
        raise RuntimeError(f"{call}: expected {nth} moves to {text}, got {len(places)}")
    do(call, folder, stop_at=places[nth - 1] + 1)
    return folder / "run"
