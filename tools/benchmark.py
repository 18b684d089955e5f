"""Measurements against other programs.

usage: python tools/benchmark.py COMMAND [options]

COMMANDS
all          every command that can run on the given data, each in a process of its own

COMMAND --help lists a command's options. Results of all commands: benchmark.json and benchmark.md in the folder --out.
`make bench` runs it in an environment of its own, with opencv-contrib-python-headless in place of
opencv-python-headless. A peer that is not installed is left out and named.
"""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable

from benchmarks import harness

COMMANDS = {
    "accuracy": "mAP of shared maps and of R-CNN-style crops; an hour, so only where asked",
    "backbones": "backbones side by side: strides, channels, GMAC, time; with --voc the mAP of a run with each",
    "boxes": "what may follow scoring (voting, a second round, the mirrored image): mAP on folds, and time",
    "cluster": "a run by one process, by processes, by a Dask cluster on this machine: seconds, memory, equal files",
    "convolutions": "a backbone's convolutions: the engines against eager PyTorch, time and agreement",
    "dataset": "a whole data set, from photos to mAP: seconds a stage and memory, and those of another version",
    "evaluation": "evaluation and report of many photos (a made-up set): seconds and memory a step",
    "fc": "fc6 and fc7: all proposals, different ones once, low-rank layers (truncated SVD); the mAP these cost",
    "few_photos": "mAP with few training photos: draws of photos, mirrored and jittered positives",
    "image": "an image all in against its convolutions and against R-CNN-style crops; a folder against one by one",
    "labelling": "labels that a detector saves that learns while photos are labelled: mAP and actions, by simulation",
    "peers": "torchvision's Faster R-CNN and SSDlite on the run's photos, trained as long and so many times; hours",
    "photos": "mining and box regression over many photos, whose vectors are made up: time a photo, memory",
    "pooling": "pyramid pooling against torchvision's roi_pool and adaptive_max_pool2d",
    "presets": "presets on a part of your training photos that is held out: mAP, time of a photo, minutes, a chart",
    "proposals": "selective search against OpenCV's: time of one thread, recall, proposals of the original MATLAB code",
    "scaling": "growth of time with proposals, image side and classes: exponents",
    "scoring": "NMS of 20 classes against torchvision's batched_nms",
    "startup": "from a fresh process to the first detection: compiling included, and with what it left on disk",
    "svm": "linear SVMs against scikit-learn's LinearSVC: time, objective, memory",
    "thresholds": "found and false boxes at the thresholds chosen in training, against single margins",
}
USAGE = (__doc__ or "").replace("COMMANDS\n", "".join(f"{name:<13}{text}\n" for name, text in COMMANDS.items()))


def _benchmark(command: str) -> Callable[..., harness.Tables]:
    # Each module loads what it measures, and not what the others need.
    return importlib.import_module(f"benchmarks.{command}").benchmark


def run_all(arguments: list[str]) -> int:
    """Every command with those of the options --NAME=VALUE that it has; 0 where all succeeded.

    An option that no command has is refused with 2.
    """
    options = {one.partition("=")[0].removeprefix("--"): one for one in arguments}
    known = {name: {*inspect.signature(_benchmark(name)).parameters, "out"} for name in COMMANDS}
    foreign = [one for name, one in options.items() if not any(name in own for own in known.values()) or "=" not in one]
    if foreign:
        print(f"error: all: expected options of the commands as --NAME=VALUE, got {foreign[0]}", file=sys.stderr)
        return 2
    failed = []
    for command, own in known.items():
        print(f"## {command}", flush=True)
        given = [one for name, one in options.items() if name in own]
        if subprocess.run([sys.executable, __file__, command, *given], check=False).returncode:
            failed.append(command)
    if failed:
        print(f"error: {', '.join(failed)} failed, see above", file=sys.stderr)
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command == "all":
        return run_all(rest)
    if command not in COMMANDS:
        asked = command in ("-h", "--help")
        print(USAGE if asked else f"error: expected all or one of {', '.join(COMMANDS)}, got {command!r}\n\n{USAGE}")
        return 0 if asked else 2
    return harness.run(_benchmark(command), command, rest)


if __name__ == "__main__":
    sys.exit(main())
