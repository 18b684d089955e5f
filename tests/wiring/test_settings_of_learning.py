"""Settings of what is learned: each changes the layers, SVMs or regressors that come of the same photos."""

import csv
import dataclasses
import logging

import pytest
from rich.console import Console
from wires import Wire

from detection.pipeline.stages.finetuning import FINETUNE
from detection.pipeline.stages.regressors import REGRESSORS
from detection.pipeline.stages.svms import SVMS
from detection.storage import fingerprint, read_arrays
from detection.talking import Notices


def numbers(path):
    """The content of a file of arrays, without what its header says of settings."""
    return fingerprint(read_arrays(path)[0])


def layers(experiment):
    """The fine-tuned layers, and the log of measurements."""
    FINETUNE.make(experiment)
    return numbers(experiment.run.finetuned / "head.safetensors"), (experiment.run.finetuned / "log.csv").read_text()


class Stopped(Console):
    """Ctrl-C after the fifth of eight iterations."""

    def print(self, *objects, **options):
        if str(objects[0]).startswith("fine-tuning: 5/8"):
            raise KeyboardInterrupt


def left_behind(experiment):
    """What an interrupted fine-tuning goes on from."""
    log = logging.Logger("stopped", logging.INFO)
    log.addHandler(Notices(Stopped()))
    experiment.work = dataclasses.replace(experiment.work, log=log)
    with pytest.raises(KeyboardInterrupt):
        FINETUNE.make(experiment)
    return sorted(path.name for path in experiment.run.finetuned.iterdir() if not path.name.startswith("."))


def machines(experiment):
    """The SVMs, and what was left out of mining."""
    SVMS.make(experiment)
    with (experiment.run.detector / "mining.csv").open() as file:
        left_out = [row["left_out"] for row in csv.DictReader(file)]
    return numbers(experiment.run.detector / "svms.safetensors"), left_out


def regressors(experiment):
    """The box regressors; 0.736 is the IoU of one proposal with its object."""
    SVMS.make(experiment)
    REGRESSORS.make(experiment)
    return numbers(experiment.run.detector / "regressors.safetensors")


DIFFICULT = "--dataset.root={difficult}"
SMALL = (
    "--finetune.widths=[8,6]", "--finetune.iterations=[6,2]", "--finetune.snapshot_every=2", "--finetune.batch_size=16",
    "--finetune.snapshot_batches=2", "--finetune.round_iterations=3", "--finetune.log_every=4",
)  # fmt: skip
# Many trainings on the way, and negatives to be dropped.
OFTEN = ("--svm.retrain_after=20", "--svm.retrain_growth=0")


def tuned(value, *given):
    return Wire(value, layers, (*SMALL, *given))


def mined(value, *given):
    return Wire(value, machines, given)


def fitted(value, *given):
    return Wire(value, regressors, given)


WIRES = {
    "finetune.widths": tuned("[9,6]"),
    "finetune.initial": tuned("{sets}/start.safetensors"),
    "finetune.initial_sigma": tuned(0.3),
    "finetune.initial_bias": tuned(0.5),
    "finetune.last_sigma": tuned(0.1),
    "finetune.standardise": tuned("false"),
    "finetune.deviation_floor": tuned(0.5),
    "finetune.learning_rates": tuned("[0.02,0.01]"),
    "finetune.iterations": tuned("[6,3]", "--finetune.held_out=0"),
    "finetune.bias_rate": tuned(3),
    "finetune.momentum": tuned(0.5),
    "finetune.weight_decay": tuned(0.5),
    "finetune.dropout": tuned(0.1),
    "finetune.batch_size": tuned(20),
    "finetune.foreground_fraction": tuned(0.5),
    "finetune.foreground_iou": tuned(0.7),
    "finetune.background_min_iou": tuned(0),
    "finetune.background_max_iou": tuned(0.2),
    "finetune.include_objects": tuned("false"),
    "finetune.use_difficult": tuned("false", DIFFICULT),
    "finetune.flips": tuned("true"),
    "finetune.random_scale": tuned("true", "--features.short_sides=[64,96]"),
    "finetune.held_out": tuned(0.5),
    "finetune.snapshot_every": tuned(3),
    "finetune.snapshot_batches": tuned(1),
    "finetune.snapshot_measure": tuned("error"),
    "finetune.round_iterations": tuned(2),
    "finetune.round_passes": tuned(1),
    "finetune.memory_mib": tuned(1, "--finetune.round_iterations=8", "--finetune.round_passes=1"),
    "finetune.log_every": tuned(2, "--finetune.snapshot_every=8"),
    "finetune.checkpoint_every": Wire(2, left_behind, SMALL),
    "finetune.seed": tuned(7),
    "svm.C": mined(0.5),
    "svm.bias_multiplier": mined(1),
    "svm.positive_weight": mined(5),
    "svm.loss": mined("squared_hinge"),
    "svm.norm.target": mined(10),
    "svm.norm.images": mined(2),
    "svm.norm.windows": mined(5),
    "svm.norm.seed": mined(4, "--svm.norm.windows=5"),
    "svm.negative_iou": mined(0.1),
    "svm.negative_overlap": mined(0.3),
    "svm.distinct_negatives": mined("true"),
    "svm.use_difficult": mined("false", DIFFICULT),
    "svm.mirrored_positives": mined("true"),
    "svm.mirrored_below": mined(9),
    "svm.jittered_positives": mined(2),
    "svm.jitter_iou": mined(0.5, "--svm.jittered_positives=2"),
    "svm.hard_threshold": mined(-0.5, *OFTEN),
    "svm.evict_threshold": mined(-1.001, *OFTEN),
    "svm.retrain_after": mined(20, "--svm.retrain_growth=0"),
    "svm.retrain_growth": mined(3, "--svm.retrain_after=20"),
    "svm.passes": mined(3, *OFTEN, "--svm.evict_threshold=-1.0001"),
    "svm.max_positives": mined(2),
    "svm.memory_mib": mined(1),
    "svm.tolerance": mined(0.1),
    "svm.mining_tolerance": mined(0.5, *OFTEN),
    "svm.max_iter": mined(1),
    "svm.seed": mined(4),
    "regression.ridge": fitted(10),
    "regression.min_iou": fitted(0.4),
    "regression.comparison": fitted(">=", "--regression.min_iou=0.736"),
    "regression.use_difficult": fitted("false", DIFFICULT),
    "regression.include_objects": fitted("true"),
    "regression.norm.target": fitted(10),
    "regression.norm.images": fitted(2),
    "regression.norm.windows": fitted(5),
    "regression.norm.seed": fitted(4, "--regression.norm.windows=5"),
    "regression.max_examples": fitted(4),
    "regression.min_examples": fitted(1000),
    "regression.seed": fitted(4, "--regression.max_examples=4"),
}


@pytest.mark.parametrize("name", WIRES)
def test_the_setting_counts(name, before_and_after):
    before, after = before_and_after(name, WIRES[name])
    assert before != after
