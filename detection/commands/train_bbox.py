"""Box regressors, one a class, added to the detector in RUN/detector/ that tools/train_svm.py made."""

from detection.commands.session import always, run_command
from detection.pipeline.stages.regressors import REGRESSORS

main = run_command(__doc__, lambda experiment: REGRESSORS.make(experiment), needs_run=always)
