"""Makes the golden files beside this script: images, a run and two detectors as the code of commit e48dafe wrote them.

With a checkout of that commit in REF, and an environment that has the project's dependencies:

    PYTHONPATH=REF python make_golden.py FOLDER

It makes FOLDER and writes

    images/VOCdevkit      8 training and 4 test images: red squares ("box") and blue discs ("disc") on grey
    run/                  a finished run on them: pool5 of a network cut at stride 8, at most 40 windows an image,
                          regression, calibration; drawings, report and the maps of all but one image are left out
    detector_fc/          a detector that sees fine-tuned fc7
    expected.json         what that code reads and finds in them

The settings keep the files small. Images and objects follow from a seed; a run's record holds times, so that no two
folders are the same byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from detection.data.voc import annotation_xml
from detection.stages.experiment import Experiment
from detection.stages.validation import calibrate, measure_reliability
from PIL import Image

from detection import Detector, config
from detection.features import limit_threads
from detection.pipeline.runner import run_all
from detection.pipeline.stages.evaluation import evaluation
from detection.proposals import ProposalStore
from detection.types import Detections

COMMIT = "e48dafe"
# Relative, as are all paths that a run keeps: its folder can be copied with the images to anywhere.
DEVKIT = Path("images/VOCdevkit")
# One id has a blank and a folder, which names of files encode.
TRAINING = [f"train{number}" for number in range(8)]
TEST = ["sub dir/test 0", "test1", "test2", "test3"]
# The test images whose detections are written down; each shows a box and a disc.
DETECTED = TEST[:2]
# Place in its split of the image without an object.
EMPTY = 3
OPTIONS = (
    f"--dataset.root={DEVKIT.as_posix()}", "--proposals.preset=fast", "--proposals.max_windows=40",
    "--features.stages=[4,8]", "--features.short_sides=[48,80]", "--features.target_area=2500",
    "--regression.min_examples=3", "--workers=1",
)  # fmt: skip
FC_OPTIONS = (
    "--features.stages=[4]", "--features.layer=fc7", "--features.head=finetuned", "--finetune.widths=[16,12]",
    "--finetune.iterations=[200]", "--finetune.learning_rates=[0.02]", "--finetune.snapshot_every=50",
    "--finetune.snapshot_batches=2", "--finetune.round_iterations=10", "--finetune.memory_mib=64",
    "--finetune.dropout=0",
)  # fmt: skip
FOLDS, FOLDS_SEED, LEAST_MARGIN, BINS = 3, 0, -1.0, 10


def draw_shapes(rng: np.random.Generator, count: int, size: tuple[int, int]) -> tuple[np.ndarray, list[tuple]]:
    """A grey image of `size` (height, width) px with `count` shapes side by side, and (name, half-open box, False)."""
    height, width = size
    image = np.full((height, width, 3), 120.0) + np.linspace(0, 40, width)[None, :, None]
    image += rng.normal(0, 2, image.shape)
    rows, columns = np.mgrid[:height, :width]
    objects = []
    for number in range(count):
        side = int(rng.integers(36, 60))
        x, y = number * 80 + int(rng.integers(4, 76 - side)), int(rng.integers(4, height - side - 4))
        name = ("box", "disc")[int(rng.integers(2))]
        inside = (columns >= x) & (columns < x + side) & (rows >= y) & (rows < y + side)
        if name == "disc":
            inside &= (columns + 0.5 - x - side / 2) ** 2 + (rows + 0.5 - y - side / 2) ** 2 <= (side / 2) ** 2
        image[inside] = (200, 40, 30) if name == "box" else (40, 50, 190)
        objects.append((name, (x, y, x + side, y + side), False))
    return image.clip(0, 255).astype(np.uint8), objects


def write_images() -> None:
    """Write the devkit: images, annotations, split lists. One image of each split has no object."""
    # A seed with as many boxes as discs among the test images.
    rng = np.random.default_rng(2)
    year = DEVKIT / "VOC2007"
    for split, ids in {"trainval": TRAINING, "test": TEST}.items():
        write_text(year / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{name}\n" for name in ids))
        for number, name in enumerate(ids):
            pixels, objects = draw_shapes(rng, 0 if number == EMPTY else 2, (100 + 4 * number, 160))
            path = year / "JPEGImages" / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=85)
            write_text(year / "Annotations" / f"{name}.xml", annotation_xml(path.name, pixels.shape[:2], objects))


def write_text(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def open_run(folder: Path, *options: str) -> Experiment:
    """The run in `folder` under the settings of the golden files and these options."""
    settings, _ = config.parse(config.build_parser(""), [*OPTIONS, f"--run={folder}", *options])
    return config.open_experiment(settings)


def make_run() -> Experiment:
    """The whole run, calibrated."""
    experiment = open_run(Path("run"))
    run_all(experiment)
    detector = calibrate(experiment, FOLDS, FOLDS_SEED, LEAST_MARGIN)
    measure_reliability(experiment, detector, BINS, LEAST_MARGIN)
    return experiment


def keep_what_is_small(experiment: Experiment) -> None:
    """Delete what can be drawn again, and the maps of all images but the first test image."""
    run = experiment.run
    shutil.rmtree(run.drawings)
    shutil.rmtree(run.path / "report")
    (run.path / "report.html").unlink()
    for path in run.evaluation.glob("*.png"):
        path.unlink()
    cache = experiment.source.cache()
    for path in cache.folder.glob("*.safetensors"):
        if path != cache.path(DETECTED[0]):
            path.unlink()


def make_fc_detector() -> None:
    """A run with fine-tuned layers, of which the detector alone is kept."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = open_run(Path(folder) / "run", *FC_OPTIONS)
        run_all(experiment)
        shutil.copytree(experiment.run.detector, "detector_fc")


def plain(found: Detections, detector: Detector) -> dict[str, list]:
    """Detections as lists; float32 values keep all their digits."""
    values = {"boxes": found.boxes.tolist(), "scores": found.scores.tolist(), "labels": found.labels.tolist()}
    if detector.calibration is not None:
        values["probabilities"] = detector.calibration.of(found).tolist()
    return values


def expectations(experiment: Experiment) -> dict:
    """What a later version should read and find in the files."""
    source, images = experiment.source, {one.image_id: one for one in experiment.images}
    store = ProposalStore("run/proposals", experiment.settings.proposals)
    windows = {one: store.read(one, source.image_keys[one]).boxes for one in images}
    content = {
        "commit": COMMIT,
        "classes": list(experiment.classes),
        "windows_key": store.key,
        "maps_key": source.cache().key,
        "maps_of": DETECTED[0],
        "image_keys": source.image_keys,
        "windows": {name: len(boxes) for name, boxes in windows.items()},
        "first_windows": {name: windows[name][:5].tolist() for name in DETECTED},
        "mean_ap": evaluation(experiment).mean_ap,
        "detections": {},
    }
    for folder in ("run/detector", "detector_fc"):
        detector = Detector.load(folder)
        with limit_threads(1):
            found = {name: detector.detect(images[name].path, name) for name in DETECTED}
        content["detections"][folder] = {name: plain(one, detector) for name, one in found.items()}
    return content


def main() -> None:
    """Make all files in the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Where to write; must not exist yet.")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True)
    os.chdir(folder)
    write_images()
    experiment = make_run()
    make_fc_detector()
    keep_what_is_small(experiment)
    write_text(Path("expected.json"), json.dumps(expectations(experiment), indent=1) + "\n")


if __name__ == "__main__":
    main()
