"""The whole pipeline on embedded data: handwritten digits on photos.

Makes data/digits, runs every stage, prints mAP and draws detections. Takes the options of sppnet run; without any it
uses the settings named demo. An interrupted demo goes on where it was.

  sppnet demo
  sppnet demo --workers 1
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

from detection.command_line import command
from detection.commands.session import run_command
from detection.data import read_image, write_digits, write_image
from detection.pipeline.experiment import Experiment
from detection.pipeline.runner import run_all
from detection.pipeline.stages.drawings import draw
from detection.visualization import contact_sheet

_SHEET_IMAGES, _SHEET_COLUMNS = 6, 3


def demo(experiment: Experiment) -> None:
    """Make the data where it is absent, run all stages, make one picture of the first drawings."""
    write_digits(experiment.settings.dataset.root)
    evaluation = run_all(experiment)
    drawings = draw(experiment)[:_SHEET_IMAGES]
    sheet = experiment.run.path / "detections.jpg"
    write_image(sheet, contact_sheet([read_image(path) for path in drawings], _SHEET_COLUMNS))
    print(f"mAP on {len(experiment.test_images)} test images: {evaluation.mean_ap:.3f}")
    print(f"drawn detections: {sheet} and {experiment.run.drawings}")
    print(f"where it fails: {experiment.run.path / 'report.html'}")
    detect = shlex.join(["detect", "--model", str(experiment.run.detector), "PHOTO.jpg", "--out", "found"])
    print(f"detect in a photo: {program()} {detect}")
    print(f"next, with labelled photos of your own: {program()} check FOLDER")


def program() -> str:
    """The ``sppnet`` of this environment as it can be typed here: its name where PATH leads to it, else its path."""
    own = shutil.which("sppnet", path=str(Path(sys.executable).parent))
    if own is None:
        return f"{shlex.quote(sys.executable)} -m detection"
    if shutil.which("sppnet") == own:
        return "sppnet"
    return shlex.quote(os.path.relpath(own) if Path(own).is_relative_to(Path.cwd()) else own)


def _run(arguments: list[str]) -> int:
    has_config = any(one.split("=")[0] == "--config" for one in arguments)
    return run_command(__doc__, demo)(arguments if has_config else ["--config=demo", *arguments])


main = command(_run)
