"""A whole run: each stage once, in order, skipped where what it would make is there already."""

from collections.abc import Sequence

from detection.evaluation import Evaluation
from detection.pipeline.experiment import Experiment
from detection.pipeline.stage import Stage
from detection.pipeline.stages import STAGES
from detection.pipeline.stages.evaluation import print_table
from detection.pipeline.stages.images import prepare
from detection.pipeline.stages.report import page


def run_all(experiment: Experiment, stages: Sequence[Stage] = STAGES) -> Evaluation:
    """Every stage that the settings ask for; prints the table of average precision and where the report is."""
    prepare(experiment)
    for stage in stages:
        if stage.wanted(experiment):
            stage.make(experiment)
    result = print_table(experiment)
    experiment.say(f"report: {page(experiment)}")
    return result
