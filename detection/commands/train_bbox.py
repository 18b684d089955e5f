"""Box regressors, one a class, added to the detector in RUN/detector/ that sppnet train made.

They move the boxes that are found closer to the objects.

  sppnet regress --run runs/mine
"""

from detection.commands.session import always, run_command
from detection.pipeline.stages.regressors import REGRESSORS

main = run_command(__doc__, lambda experiment: REGRESSORS.make(experiment), needs_run=always)
