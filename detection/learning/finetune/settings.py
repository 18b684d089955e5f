"""What decides the fine-tuned fully connected layers."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from detection.learning.ranges import check_ranges

Measure = Literal["loss", "error"]


@dataclass(frozen=True)
class FinetuneSettings:
    """Training of fc6, fc7 and a softmax over the classes and background on pooled vectors (paper, section 4.1).

    ``features.head: finetuned`` with ``features.layer: fc6`` or ``fc7`` uses the result. Values of the released code
    are those of ShaoqingRen/SPP_net, finetuning/spp_finetune_voc.m ("script") and model-defs/pascal_finetune_fc_spm_*
    ("solver", "net").

    Args:
        widths: Outputs of fc6 and of fc7. Paper and net: 4096 4096; fewer train faster and serve a light backbone.
        initial: Where fc6 and fc7 start. "imagenet": at the backbone's own where it has them, the widths are theirs and
            their pooling is among the levels (alexnet 6, vgg16 7); Gaussian elsewhere, also for fc6's inputs from the
            other levels. "gaussian": everywhere. Or the path of a file with fc6.weight (fc6, D), fc6.bias, fc7.weight
            (fc7, fc6) and fc7.bias, .safetensors or .pth.
        initial_sigma: Standard deviation of the Gaussian weights of fc6 and fc7; null: sqrt(2 / inputs) (He et al.
            2015). Net: 0.01.
        initial_bias: First bias of Gaussian layers. Net: 1, with inputs that are all positive.
        last_sigma: Standard deviation of the softmax layer's first weights. Paper, section 4.1, and net: 0.01.
        standardise: Subtract each value's mean and divide by its standard deviation, both of the first round's
            samples; folded into fc6 afterwards. Published: false, for vectors that ImageNet training has scaled.
        deviation_floor: Added to that standard deviation, as a part of the mean one, so that values that hardly vary
            are not blown up.
        learning_rates: Learning rate of each step. Paper: 1e-4 1e-5; solver: 1e-3 1e-4 1e-5.
        iterations: Batches of each step. Paper: 250000 50000; solver: 30000 each (going on with the last to 200000).
        bias_rate: Learning rate of biases, in units of the weights'. Net: 2.
        momentum: Of stochastic gradient descent. Solver: 0.9. Velocities are scaled by the learning rate in force.
        weight_decay: Times a weight is added to its gradient; biases have none. Solver: 0.0005; with few photos
            layers overfit at that (docs/protocol.md).
        dropout: Share of the outputs of fc6 and of fc7 that are dropped while training. Net: 0.5.
        batch_size: Proposals a batch, over all processes. Script: 128; R-CNN report, section 2.3: 128.
        foreground_fraction: Share of a batch that is foreground. Paper and script: 0.25.
        foreground_iou: Proposals whose IoU with an object is at least this are foreground of its class. Paper and
            script: 0.5.
        background_min_iou: Other proposals are background from this IoU with the object they overlap most. Paper,
            script: 0.1.
        background_max_iou: Background ends below this IoU. Paper, script: 0.5.
        include_objects: Whether ground-truth boxes are foreground samples too. Script: true (its roidb holds them).
        use_difficult: Whether objects marked difficult have foreground. Released: true (imdb/roidb_from_voc.m); if
            not, proposals that overlap one of them most are left out.
        flips: Mirrored images too, with mirrored proposals; their maps are made and kept. Script: true.
        random_scale: Pool each proposal from a random scale while training, from the best one on held-out images.
            Script: true.
        held_out: Share of the training images that are not trained on: there the snapshot is chosen. 0: the last
            one is taken. (The released code chooses on the test set.)
        snapshot_every: Iterations between measurements of the held-out loss. Script: 2000.
        snapshot_batches: Batches measured on, of the held-out images. Script: 500.
        snapshot_measure: What the chosen snapshot is least in: "error" (script) or "loss".
        round_iterations: Proposals are drawn and pooled for this many batches at a time. Script: 500.
        round_passes: Times these proposals are gone through, newly shuffled, before others are drawn. Script: 1.
        memory_mib: Memory for pooled proposals in MiB, held-out ones included and over all processes; where it does
            not hold a round's proposals, rounds are shorter.
        log_every: Iterations between lines of the log. Solver: 20.
        checkpoint_every: Iterations between checkpoints.
        seed: Of the weights, proposals, batches and dropout. Script: 6 (other generators, so other draws).
    """

    widths: tuple[int, int] = (512, 512)
    initial: str = "imagenet"
    initial_sigma: float | None = None
    initial_bias: float = 0.0
    last_sigma: float = 0.01
    standardise: bool = True
    deviation_floor: float = 0.05
    learning_rates: tuple[float, ...] = (0.01, 0.001)
    iterations: tuple[int, ...] = (800, 200)
    bias_rate: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0.01
    dropout: float = 0.5
    batch_size: int = 128
    foreground_fraction: float = 0.25
    foreground_iou: float = 0.5
    background_min_iou: float = 0.1
    background_max_iou: float = 0.5
    include_objects: bool = True
    use_difficult: bool = True
    flips: bool = False
    random_scale: bool = False
    held_out: float = 0.2
    snapshot_every: int = 200
    snapshot_batches: int = 50
    snapshot_measure: Measure = "loss"
    round_iterations: int = 500
    round_passes: int = 2
    memory_mib: int = 1024
    log_every: int = 20
    checkpoint_every: int = 200
    seed: int = 6

    def __post_init__(self) -> None:
        for key in ("widths", "learning_rates", "iterations"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
            if not getattr(self, key) or not all(value > 0 for value in getattr(self, key)):
                raise ValueError(f"finetune.{key}: expected numbers above 0, got {getattr(self, key)!r}")
        if len(self.widths) != 2 or len(self.learning_rates) != len(self.iterations):
            raise ValueError(
                "finetune: expected two widths and as many learning_rates as iterations, got "
                f"{self.widths!r}, {self.learning_rates!r}, {self.iterations!r}"
            )
        above = ("last_sigma", "bias_rate", "batch_size", "snapshot_every", "snapshot_batches", "round_iterations",
                 "round_passes", "memory_mib", "log_every", "checkpoint_every", "initial_sigma")  # fmt: skip
        others = ("deviation_floor", "weight_decay", "seed")
        shares = ("dropout", "momentum", "foreground_fraction", "held_out")
        check_ranges("finetune.", vars(self), {"> 0": above, ">= 0": others, ">= 0 and < 1": shares})
        if not 0 <= self.background_min_iou < self.background_max_iou <= self.foreground_iou <= 1:
            raise ValueError(
                "finetune: expected 0 <= background_min_iou < background_max_iou <= foreground_iou <= 1, got "
                f"{self.background_min_iou}, {self.background_max_iou}, {self.foreground_iou}"
            )
        if not self.initial:
            raise ValueError("finetune.initial: expected imagenet, gaussian or a path, got an empty string")
        if self.snapshot_measure not in ("loss", "error"):
            raise ValueError(f"finetune.snapshot_measure: expected loss or error, got {self.snapshot_measure!r}")
        if not 0 < self.foregrounds < self.batch_size:
            raise ValueError(
                f"finetune: expected foreground and background in a batch, got foreground_fraction "
                f"{self.foreground_fraction} of batch_size {self.batch_size}"
            )

    @property
    def foregrounds(self) -> int:
        """Foreground proposals a batch."""
        return round(self.foreground_fraction * self.batch_size)

    @property
    def total_iterations(self) -> int:
        """Batches in all."""
        return sum(self.iterations)

    def learning_rate(self, iteration: int) -> float:
        """The learning rate of a batch, counted from 0."""
        step = bisect_right(list(accumulate(self.iterations[:-1])), iteration)
        return self.learning_rates[step]
