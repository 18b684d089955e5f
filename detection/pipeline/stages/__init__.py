"""The stages of a run, in order. Another one is a file here and a line in `STAGES`."""

from detection.pipeline.stage import Stage
from detection.pipeline.stages.calibration import CALIBRATION
from detection.pipeline.stages.detections import DETECTIONS
from detection.pipeline.stages.drawings import DRAWINGS
from detection.pipeline.stages.evaluation import EVALUATION
from detection.pipeline.stages.finetuning import FINETUNE
from detection.pipeline.stages.images import MAPS, PROPOSALS
from detection.pipeline.stages.misses import MISSES
from detection.pipeline.stages.regressors import REGRESSORS
from detection.pipeline.stages.report import REPORT
from detection.pipeline.stages.svms import SVMS

STAGES: tuple[Stage, ...] = (
    PROPOSALS,
    MAPS,
    FINETUNE,
    SVMS,
    REGRESSORS,
    CALIBRATION,
    DETECTIONS,
    DRAWINGS,
    EVALUATION,
    MISSES,
    REPORT,
)
