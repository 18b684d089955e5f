"""The whole pipeline: proposals, maps, SVMs, box regression, detection, drawing, evaluation, report.

Each stage is passed over where what it would make is there already, so the same command goes on after an
interruption, and a changed setting redoes just the stages that depend on it.

  sppnet run --config custom --dataset.root photos --run runs/mine
"""

from detection.commands.session import run_command
from detection.pipeline.runner import run_all

main = run_command(__doc__, lambda experiment: run_all(experiment))
