"""How a classifier of whole images is trained."""

from dataclasses import dataclass
from typing import Literal

from detection.learning.finetune.settings import FinetuneSettings


@dataclass(frozen=True)
class ClassifierSettings:
    """A classifier of whole images on top of convolutions and a spatial pyramid (paper, section 3).

    Args:
        method: softmax (fc6, fc7 and a softmax layer, trained by SGD; the network of the paper's figure 3) or svm
            (a linear SVM a class on the pooled vectors, made of length 1, as in section 3.2).
        sizes: Short sides in px to which training images are brought: an epoch at the first, the next at the second
            and so on, with the same weights (section 3.1.3: 224 180). svm: the first alone.
        view: What of a training image is seen: full (all of it) or crop (its middle square of 224/256 of the short
            side, resized to the size).
        flips: Mirrored training images too.
        frozen: Keep the convolutions as they are; their vectors are computed once. If not, they are trained too, with
            batch norms folded in, by backbone_rate.
        widths: Outputs of fc6 and of fc7 (paper: 4096 4096).
        epochs: Times the training images are gone through.
        learning_rate: Of the fully connected layers; a tenth of it in the last third of the epochs.
        backbone_rate: Of the convolutions where they are not frozen.
        momentum: Of stochastic gradient descent.
        weight_decay: Times a weight is its gradient's addition.
        dropout: Share of the outputs of fc6 and of fc7 dropped while training.
        batch_size: Images a batch.
        svm_c: Cost of an image's loss at vectors of length 1.
        seed: Of weights, order, mirroring and dropout.
    """

    method: Literal["softmax", "svm"] = "softmax"
    sizes: tuple[int, ...] = (224,)
    view: Literal["full", "crop"] = "full"
    flips: bool = True
    frozen: bool = True
    widths: tuple[int, int] = (512, 512)
    epochs: int = 30
    learning_rate: float = 0.01
    backbone_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0005
    dropout: float = 0.5
    batch_size: int = 32
    svm_c: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("sizes", "widths"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
        distinct = len(set(self.sizes)) == len(self.sizes)
        rules = {
            "sizes": (min(self.sizes, default=0) >= 1 and distinct, "numbers of px, each once"),
            "widths": (len(self.widths) == 2 and min(self.widths) >= 1, "two numbers above 0"),
            "dropout": (0 <= self.dropout < 1, ">= 0 and < 1"),
        }
        for key in ("epochs", "learning_rate", "backbone_rate", "batch_size", "svm_c"):
            rules[key] = (getattr(self, key) > 0, "> 0")
        for key in ("momentum", "weight_decay", "seed"):
            rules[key] = (getattr(self, key) >= 0, ">= 0")
        for key, (is_met, expected) in rules.items():
            if not is_met:
                raise ValueError(f"classifier.{key}: expected {expected}, got {getattr(self, key)!r}")

    def layers(self) -> FinetuneSettings:
        """The settings of fc6, fc7 and the softmax layer."""
        return FinetuneSettings(
            widths=self.widths,
            initial="gaussian",
            learning_rates=(self.learning_rate,),
            iterations=(self.epochs,),
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            dropout=self.dropout,
            seed=self.seed,
        )
