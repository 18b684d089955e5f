"""Every kind of file of a run damaged: the same results as before, or a refusal that names the file."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaign.calls import Call, do
from tests.campaign.changes import damages
from tests.campaign.runs import FINETUNED, Material, bits, copied, difference, stopped_at
from tests.campaign.trials import Job, Trial

PLACES = 5
# What a user takes for the result of a run; all that is written besides is read by people, not by a command.
_RESULTS = ("detections/", "evaluation/", "found/detections.json")
_LEARNT = ("detector", "detections", "evaluation", "mining")


@dataclass(frozen=True)
class _State:
    """A run in some state. files: patterns, one a kind; of those that fit one is damaged. calls: what reads them."""

    name: str
    run: Path
    files: tuple[str, ...]
    calls: tuple[Call, ...]


def jobs(material: Material, seed: int, share: float) -> Iterator[Job]:
    """A job for each kind of file in each state of a run."""
    for state in _states(material):
        for pattern in state.files:
            work = partial(_try_file, state=state, pattern=pattern, seed=seed, share=share)
            yield Job("damage", f"{state.name} {pattern}", work, limit=3000)


def _states(material: Material) -> Iterator[_State]:
    whole, tuned = material.call("run_pipeline"), material.call("run_pipeline", *FINETUNED)
    photo = str(next(material.root.rglob("test1.jpg")))
    detect = Call("detect", ("--model=run/detector", photo, "--out=run/found", "--workers=1"))
    of_run = tuple(Call(name, ("--run=run", "--workers=1")) for name in ("evaluate", "report"))
    yield _State(
        "finished",
        material.finished,
        (
            "run.yaml", "classes.txt", "detector/detector.yaml", "detector/classes.txt", "detector/svms.safetensors",
            "detector/regressors.safetensors", "detector/network.safetensors", "detector/mining.csv",
            "detector/samples.csv", "detections/test.json", "detections/comp4_*.txt", "evaluation/test.json",
            "evaluation/test.diagnosis.json", "evaluation/test.misses.json",
        ),
        (whole, *of_run, detect),
    )  # fmt: skip
    folder = material.folder / "damage"
    before = copied(material.finished, folder / "again", _LEARNT)
    yield _State(
        "before learning", before, ("proposals/train*", "features/*/about.yaml", "features/*/train*"), (whole,)
    )
    before = copied(material.tuned, folder / "tuned", _LEARNT)
    yield _State("fine-tuned", before, ("finetuned/head.safetensors", "finetuned/log.csv"), (tuned,))
    calibrated = copied(material.finished, folder / "calibrated")
    do(Call("calibrate", ("--run=run", "--workers=1", "--folds=2", "--min_margin=-2")), calibrated.parent)
    yield _State("calibrated", calibrated, ("detector/calibration.safetensors",), (detect,))
    for name, call, text, nth, files in (
        ("mining", whole, "/mining/state", 2, ("mining/state*", "mining/rows*")),
        ("detecting", whole, "/detections/parts/", 3, ("detections/parts/*",)),
        ("fine-tuning", tuned, "/finetuned/checkpoint", 2, ("finetuned/checkpoint*", "finetuned/log.csv")),
    ):
        yield _State(f"interrupted {name}", stopped_at(call, folder / name, text, nth), files, (call,))


def _try_file(folder: Path, state: _State, pattern: str, seed: int, share: float) -> Iterator[Trial]:
    found = sorted(state.run.glob(pattern))
    if not found:
        yield Trial(f"{state.name} {pattern}", "the campaign's own fault: a run has no such file any more")
        return
    rng = random.Random(f"{seed} {state.name} {pattern}")
    expected = _results(_do_all(state, folder / "undisturbed")[0])
    file = rng.choice(found).relative_to(state.run)
    changes = list(damages((state.run / file).read_bytes(), rng, PLACES))
    for number in sorted(rng.sample(range(len(changes)), max(round(len(changes) * share), 1))):
        what, content = changes[number]
        place = folder / str(number)
        run, fault, call = _do_all(state, place, file, content)
        other = "" if fault is not None else difference(_results(run), expected)
        wrong = fault or (f"another result in silence: {other}" if other else "")
        if wrong:
            # As it was before the commands.
            shutil.rmtree(place)
            _damaged(state, place, file, content)
        yield Trial(f"{state.name}: {file} {what}", wrong, str(call), (run,) if wrong else ())
        shutil.rmtree(place)


def _damaged(state: _State, place: Path, file: Path, content: bytes) -> Path:
    place.mkdir()
    run = copied(state.run, place)
    (run / file).write_bytes(content)
    return run


def _do_all(
    state: _State, place: Path, file: Path = Path("run.yaml"), content: bytes | None = None
) -> tuple[Path, str | None, Call]:
    """(run, fault, the last call) of a state's calls on a copy with a changed file.

    fault: empty where a call refused the file rightly, None where all ended well.
    """
    run = _damaged(state, place, file, (state.run / file).read_bytes() if content is None else content)
    for call in state.calls:
        done = do(call, place)
        if done.status != 0:
            return run, done.refusal_fault(file.name), call
        if "Traceback" in done.errors:
            return run, f"a traceback: {done.errors[-1500:]}", call
    return run, None, call


def _results(run: Path) -> dict[str, bytes]:
    found = {name: value for name, value in bits(run).items() if name.startswith(_RESULTS)}
    # A json without its last line end is the same.
    return {name: value.rstrip() if name.endswith(".json") else value for name, value in found.items()}
