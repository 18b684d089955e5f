"""Commands killed, interrupted and terminated at any moment and given again: they end well, with the bits of one that
was never disturbed.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detection.learning import RegressionCheckpoint, regression_checkpoint
from tests.campaign.calls import Call, Done, Running, do
from tests.campaign.runs import FINETUNED, Material, bits, changes_of, copied, difference
from tests.campaign.trials import Job, Trial
from tests.conftest import write_devkit

COUNT = 200
# Trials of one command before its folder is thrown away: a job each.
_A_JOB = 4
# Half of all are SIGKILL. Of the others, which a command can answer: the exit status.
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
_STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 143}
# Seconds until a command that was started has surely set up how it answers.
_BEGUN = 0.1
_CLASSIFIER = (
    "--run=run", "--features.backbone=timm/mobilenetv3_small_050", "--features.weights=random",
    "--features.stages=[16]", "--features.levels=[2,1]", "--intervals.resamples=20", "--workers=1",
    "--classifier.widths=[16,16]", "--classifier.sizes=[64]", "--classifier.epochs=5",
)  # fmt: skip


@dataclass(frozen=True)
class _Victim:
    """A command to be killed. start: what its folder holds as ``run`` before, None for nothing. result: what it makes.

    weight: its share of all kills. again: exit statuses of the second call; 2 too where the first may have done all.
    """

    name: str
    call: Call
    start: Path | None = None
    result: str = "run"
    weight: int = 1
    again: tuple[int, ...] = (0,)


def victims(material: Material) -> list[_Victim]:
    """The whole pipeline, and every tool that works for long or replaces what is there."""
    run, done = material.call, material.finished
    before = copied(done, material.folder / "kills", ("detector", "detections", "evaluation"))
    photos, root = str(next(material.root.rglob("JPEGImages"))), str(material.root)
    of_run = ("--run=run", "--workers=1")
    zebras = write_devkit(material.folder / "zebras", {"trainval": {"z1": [("star", (10, 10, 60, 60))]}})
    train_svm = partial(Call, "train_svm")
    return [
        _Victim("run", run("run_pipeline"), weight=8),
        _Victim("run with workers", run("run_pipeline", "--workers=2"), weight=4),
        _Victim("learning", run("run_pipeline"), before, weight=5),
        _Victim("fine-tuned run", run("run_pipeline", *FINETUNED), before, weight=5),
        _Victim("finetune", run("finetune", *FINETUNED), before, weight=2),
        _Victim("retrained", run("run_pipeline", "--svm.C=0.01"), done, weight=2),
        _Victim("regressors", run("train_bbox", "--regression.ridge=10"), done),
        _Victim("add", train_svm((*of_run, "--add=star", f"--photos={zebras}")), done, weight=2, again=(0, 2)),
        _Victim("drop", train_svm((*of_run, "--drop=disc")), done, again=(0, 2)),
        _Victim("rename", train_svm((*of_run, "--rename", "disc", "plate")), done, again=(0, 2)),
        _Victim("tune", Call("tune", (*of_run, "--folds=2", "--C=[0.003,0.01]", "--positive_weight=[2]")), done),
        _Victim("calibrate", Call("calibrate", (*of_run, "--folds=2", "--min_margin=-2")), done, weight=2),
        _Victim("maps", Call("extract_features", (*of_run, "--features.short_sides=[480]")), done),
        _Victim("vectors", Call("extract_features", (*of_run, "--export=pool5")), done),
        _Victim("proposals", run("proposals", first=("generate",))),
        _Victim("exported proposals", Call("proposals", ("export", *of_run, "--out=run/all.npz", "--split=all")), done),
        _Victim("detect", Call("detect", ("--model=run/detector", photos, "--out=out", "--workers=1")), done, "out", 2),
        _Victim("combine", Call("combine", (str(done), "run", "--out=out", "--workers=1")), done, "out"),
        _Victim("classifier", Call("train_classifier", (*_CLASSIFIER, f"--dataset.root={root}")), weight=2),
        _Victim("report", Call("report", of_run), done),
        _Victim("evaluate", Call("evaluate", (*of_run, "--diagnose")), done),
        *(_Victim(f"to {to}", Call("dataset", ("convert", root, f"--to={to}", "--out=out")), None, "out", again=(0, 2))
          for to in ("coco", "yolo", "voc")),
        _Victim("split", Call("dataset", ("split", root, "--out=out")), None, "out", again=(0, 2)),
        _Victim("mended", Call("dataset", ("check", root, "--fix=out")), None, "out", again=(0, 2)),
    ]  # fmt: skip


def jobs(material: Material, seed: int, share: float) -> Iterator[Job]:
    """Jobs of a few kills each, in all 200; half of them before a change of a file, half after a time."""
    rng, known = random.Random(f"kills {seed}"), victims(material)
    drawn = rng.choices(range(len(known)), [one.weight for one in known], k=COUNT)
    # All are among them, however few are asked for in the end.
    drawn[: len(known)] = range(len(known))
    rng.shuffle(drawn)
    drawn = drawn[: max(round(COUNT * share), 2)]
    for place, victim in enumerate(known):
        seeds = [f"kill {number} of {seed}" for number, one in enumerate(drawn) if one == place]
        for first in range(0, len(seeds), _A_JOB):
            work = partial(_try_kills, victim=victim, seeds=seeds[first : first + _A_JOB])
            yield Job("kills", victim.name, work, limit=1800)


def _try_kills(folder: Path, victim: _Victim, seeds: list[str]) -> Iterator[Trial]:
    calm = _started(victim, folder / "calm")
    before = time.monotonic()
    changes = len(changes_of(victim.call, calm, before=_keep_often))
    seconds = time.monotonic() - before
    expected = bits(calm / victim.result)
    for seed in seeds:
        rng = random.Random(seed)
        place = _started(victim, folder / "killed")
        # What is left of one that was killed twice is harder to go on from.
        ends = [_end(victim, place, rng, changes, seconds) for _ in range(2 if rng.random() < 0.3 else 1)]
        how = "; then ".join(words for words, _ in ends)
        kept = shutil.copytree(place, folder / "kept", symlinks=True)
        fault = "".join(wrong for _, wrong in ends) or _again(victim, place, expected)
        yield Trial(f"{victim.name}: {how}", fault, str(victim.call), tuple(kept.iterdir()) if fault else ())
        shutil.rmtree(place)
        shutil.rmtree(kept)


def _started(victim: _Victim, place: Path) -> Path:
    place.mkdir()
    if victim.start is not None:
        copied(victim.start, place)
    return place


def _end(victim: _Victim, place: Path, rng: random.Random, changes: int, seconds: float) -> tuple[str, str]:
    """Start the command and send it a signal; how, in words, and what was wrong with its answer."""
    number, locks = rng.choice(_SIGNALS), _locks(place)
    how = signal.Signals(number).name
    if changes and rng.random() < 0.5:
        at = rng.randint(1, changes)
        done = do(victim.call, place, before=_keep_often, stop_at=at, stop=lambda: _send(number, os.getpid()))
        how += f" before change {at} of {changes}"
    else:
        moment = rng.uniform(_BEGUN, max(seconds, _BEGUN))
        running = Running(victim.call, place, before=_keep_often)
        until = time.monotonic() + moment
        while time.monotonic() < until and not running.is_done():
            time.sleep(0.01)
        workers = [] if running.is_done() else running.workers()
        how += f" after {moment:.2f} s of {seconds:.2f} s"
        if number == signal.SIGKILL and workers and rng.random() < 0.5:
            os.kill(rng.choice(workers), number)
            how += ", a worker"
        else:
            _send(number, running.pid)
        done = running.wait()
    how += f"; exit status {done.status}"
    return how, _answer_fault(done, number, victim, _locks(place) - locks) if number in _STATUSES else ""


def _keep_often() -> None:
    """Let box regression keep its state after every image: these runs take no minute."""
    RegressionCheckpoint.SECONDS = 0
    regression_checkpoint._REST = 0


def _send(number: int, process: int) -> None:
    """Send a signal as it comes: SIGTERM to the process, the others to all of its group, as a terminal's Ctrl-C."""
    (os.kill if number == signal.SIGTERM else os.killpg)(process, number)


def _locks(place: Path) -> set[Path]:
    return set(place.rglob(".*lock"))


def _answer_fault(done: Done, number: int, victim: _Victim, locks: set[Path]) -> str:
    """What is wrong with how a command answered a signal: it may have been done before."""
    if locks:
        return f"after {signal.Signals(number).name} there is still {', '.join(map(str, sorted(locks)))}"
    if done.status in victim.again and "Traceback" not in done.errors:
        return ""
    return done.refusal_fault("the same command goes on from here", statuses=(_STATUSES[number],))


def _again(victim: _Victim, place: Path, expected: dict[str, bytes]) -> str:
    done = do(victim.call, place, before=_keep_often)
    if done.status not in victim.again or "Traceback" in done.errors:
        return f"given again it ended with exit status {done.status}: {done.errors[-1500:]}{done.out[-300:]}"
    got = bits(place / victim.result)
    if done.status == 2:  # what a refused call lists is of that call
        got.pop("problems.txt", None)
        expected = {name: value for name, value in expected.items() if name != "problems.txt"}
    other = difference(got, expected)
    return f"other results than undisturbed: {other}" if other else ""
