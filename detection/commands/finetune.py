"""Fine-tuned fc6 and fc7: RUN/finetuned/, used with --features.head finetuned and --features.layer fc6 or fc7.

Proposals and maps that are absent are made first. The log is RUN/finetuned/log.csv, and TensorBoard's next to it where
that is installed (pip install "sppnet[tensorboard]"). Interrupted, it goes on from its last checkpoint, bit for bit.
With torchrun, on several GPUs, or processes of a CPU (--device cpu):

  sppnet finetune --config finetuned --dataset.root photos --run runs/mine
  torchrun --nproc-per-node 4 -m detection finetune --run runs/mine --device cuda
"""

from detection.commands.session import run_command
from detection.pipeline.stages.finetuning import FINETUNE

main = run_command(__doc__, lambda experiment: FINETUNE.make(experiment))
