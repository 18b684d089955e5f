"""What decides the SVMs. Numbers that the solver and the settings share stand here once."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from detection.learning.ranges import check_ranges
from detection.storage import added_field

Loss = Literal["hinge", "squared_hinge"]
LOSSES = ("hinge", "squared_hinge")

# Cost of a negative's loss at a mean norm of 20: R-CNN's (rcnn_train.m), and what did better with the default backbone
# on folds of a training split (docs/choices.md).
RCNN_C, MEASURED_C = 1e-3, 1e-2
# The constant feature whose weight gives the bias, and the cost of a positive's loss in costs of a negative's: R-CNN's
# ``-B 10 -w1 2`` (rcnn_train.m).
BIAS_MULTIPLIER, POSITIVE_WEIGHT = 10.0, 2.0
# Largest duality gap, as a part of the objective, and passes over the samples before the solver gives up: ours. At 5e-5
# objectives lie nearer to the optimum than liblinear's at its default.
TOLERANCE, MAX_ITER = 5e-5, 10_000


@dataclass(frozen=True)
class NormSettings:
    """How features are brought to one scale: their mean L2 norm on a sample of proposals becomes `target`.

    Args:
        target: mean norm after scaling; SVM and ridge penalties are tuned to it. R-CNN rcnn_train.m: 20.
        images: number of images in the sample. R-CNN rcnn_feature_stats.m: 200.
        windows: number of proposals drawn from each of them. R-CNN rcnn_feature_stats.m: 200.
        seed: of the sample. R-CNN rcnn_feature_stats.m: 3 (another generator, so another sample).
    """

    target: float = 20.0
    images: int = 200
    windows: int = 200
    seed: int = 3

    def __post_init__(self) -> None:
        check_ranges("norm.", vars(self), {"> 0": ("target", "images", "windows"), ">= 0": ("seed",)})


@dataclass(frozen=True)
class ExtraPositives:
    """What is made of each object. Fields as in `SVMSettings`; difficult: of objects marked difficult too."""

    mirrored: bool
    jittered: int
    jitter_iou: float
    difficult: bool
    seed: int


@dataclass(frozen=True)
class SVMSettings:
    """How the SVMs are trained: R-CNN's protocol, which SPP-net follows (paper, section 4.1).

    Args:
        C: cost of a negative's loss at the features' target norm. R-CNN rcnn_train.m: 1e-3; the default is larger
            because it did better with the default backbone on folds of a training split (docs/choices.md).
        bias_multiplier: value of the constant feature whose weight gives the bias; large values penalise the
            bias less. R-CNN rcnn_train.m: 10.
        positive_weight: cost of a positive's loss, in costs of a negative's. R-CNN rcnn_train.m: 2.
        loss: hinge (R-CNN, liblinear -s 3) or squared_hinge.
        norm: scaling of the features; it is folded into the weights.
        negative_iou: proposals whose IoU with every instance of a class is below this are its negatives. R-CNN
            report, section 2.3, and spp_train.m: 0.3.
        negative_overlap: among the proposals that are negatives of every class, one is left out if its IoU with an
            earlier one is above this; null keeps all. SPP-net paper, section 4.1: 0.7; its released code: null.
        distinct_negatives: whether proposals with equal vectors, that is of one scale and the same cells, are left out
            but for the first. Released SPP-net: true (spp_train.m, spp_features_convX_to_poolX.m); paper: not stated.
        use_difficult: whether objects marked difficult are positives. R-CNN and the released SPP-net: true
            (imdb/roidb_from_voc.m). If not, proposals near them still are no negatives.
        mirrored_positives: whether objects are positives mirrored left to right too: needs maps of the mirrored
            photos with objects. For few photos (docs/learning.md). R-CNN, SPP-net: false.
        mirrored_below: they are too where there are fewer training photos than this; 0: nowhere. sppnet label does
            not. R-CNN, SPP-net: 0.
        jittered_positives: boxes near each object that are positives too. For few photos. R-CNN, SPP-net: 0.
        jitter_iou: least IoU of such a box with its object.
        hard_threshold: a negative scored above this is kept for training. SVM margin. rcnn_train.m: -1.0001.
        evict_threshold: after training, a negative scored below this is dropped. SVM margin. rcnn_train.m:
            -1.2 (Fast R-CNN: -1.1).
        retrain_after: a class is trained again when more than this many negatives were added since the last
            time. rcnn_train.m: 2000.
        retrain_growth: part of the negatives kept that must have been added as well, so that the time of all trainings
            grows with the negatives and not with their square. rcnn_train.m: 0.
        passes: times the images are gone through for negatives, fewer if one pass adds none; 0: until one adds
            none. rcnn_train.m: 1.
        max_positives: most positives of a class, a seeded random sample of all; null: all. With 100,000 photos all do
            not fit into memory. R-CNN: null.
        memory_mib: most memory for the vectors of positives and kept negatives, in MiB. (R-CNN keeps what comes.)
        tolerance: largest duality gap of a trained class, as a part of its objective.
        mining_tolerance: the same of trainings on the way, which only choose negatives; every pass ends in one to
            `tolerance`. R-CNN trains to liblinear's default, projected gradients of 0.1 at most, throughout.
        max_iter: passes of the solver over its samples before it gives up.
        seed: of the order in which the solver visits samples, and of the sample of positives.
    """

    C: float = MEASURED_C
    bias_multiplier: float = BIAS_MULTIPLIER
    positive_weight: float = POSITIVE_WEIGHT
    loss: Loss = "hinge"
    norm: NormSettings = field(default_factory=NormSettings)
    negative_iou: float = 0.3
    negative_overlap: float | None = None
    distinct_negatives: bool = False
    use_difficult: bool = True
    mirrored_positives: bool = False
    jittered_positives: int = 0
    jitter_iou: float = 0.8
    hard_threshold: float = -1.0001
    evict_threshold: float = -1.2
    retrain_after: int = 2000
    retrain_growth: float = 1.0
    passes: int = 1
    memory_mib: int = 2000
    tolerance: float = TOLERANCE
    mining_tolerance: float = 1e-3
    max_iter: int = MAX_ITER
    seed: int = 3
    max_positives: int | None = added_field(None)
    mirrored_below: int = added_field(0)

    def __post_init__(self) -> None:
        positive = ("C", "positive_weight", "tolerance", "mining_tolerance", "max_iter", "memory_mib")
        if self.max_positives is not None:
            positive += ("max_positives",)
        others = ("bias_multiplier", "retrain_after", "retrain_growth", "seed", "passes", "jittered_positives")
        others += ("mirrored_below",)
        shares = ("negative_iou", "jitter_iou")
        ranges = {"> 0": positive, ">= 0": others, "> 0 and <= 1": shares, "0 .. 1 or null": ("negative_overlap",)}
        check_ranges("svm.", vars(self), ranges)
        if self.evict_threshold > self.hard_threshold:
            raise ValueError(
                f"svm.evict_threshold: expected at most hard_threshold {self.hard_threshold}, "
                f"got {self.evict_threshold}: kept negatives would be dropped at once"
            )
        if self.loss not in LOSSES:
            raise ValueError(f"svm.loss: expected hinge or squared_hinge, got {self.loss!r}")

    def for_photos(self, count: int) -> "SVMSettings":
        """The same for so many training photos: `mirrored_below` has become `mirrored_positives`."""
        return replace(
            self, mirrored_positives=self.mirrored_positives or count < self.mirrored_below, mirrored_below=0
        )

    @property
    def least_passes(self) -> int:
        """Mining passes that are gone through at least: 0 passes are as many as it takes."""
        return max(self.passes, 1)

    @property
    def extra_positives(self) -> ExtraPositives | None:
        """What is to be made of each object but itself; None: nothing."""
        if not (self.mirrored_positives or self.jittered_positives):
            return None
        return ExtraPositives(
            self.mirrored_positives, self.jittered_positives, self.jitter_iou, self.use_difficult, self.seed
        )

    def solver_arguments(self, scale: float) -> dict[str, Any]:
        """Arguments of ``solve_svm`` for features as they come, which `scale` brings to the target norm.

        Scaling features by s is the same as C s^2 and bias_multiplier / s on the features as they are, with
        weights s times larger and an objective s^2 times larger: no row is copied, and the scale is folded
        into the weights by itself.
        """
        return {
            "C": self.C * scale**2,
            "bias_multiplier": self.bias_multiplier / scale,
            "positive_weight": self.positive_weight,
            "loss": self.loss,
            "max_iter": self.max_iter,
            "seed": self.seed,
        }
