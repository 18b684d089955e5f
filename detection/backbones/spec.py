"""What a network is before it is cut."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from detection.storage import shortened

# Grey levels: the means and deviations of ImageNet that torchvision's networks were trained with.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


# Stages as settings have them: a stride in px, or a name.
Stages = tuple[int | str, ...]
# Characters of an error's list of names.
_SHOWN = 300


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network on the meta device: what it is before cutting.

    stages: name of each stage, the path of the module whose output it is -> its stride in px. A stride alone stands for
    the last stage that has it. mean, std: of each RGB channel, in grey levels 0..255; the input is (rgb - mean) / std.
    has_tokens: a plain vision transformer of timm (``tokens.TokenMaps``): the outputs of its stages are tokens of
    patches as large as the stride.
    """

    name: str
    network: nn.Module
    stages: Mapping[str, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    has_tokens: bool = False

    def stage_names(self, stages: Stages) -> list[str]:
        """The names of stages given by name or stride. Raises ValueError for one that is not on offer."""
        return [self._name_of(one) for one in stages]

    def strides(self, stages: Stages) -> tuple[int, ...]:
        """Px from a cell to the next of every stage. Raises as `stage_names`."""
        return tuple(self.stages[one] for one in self.stage_names(stages))

    def _name_of(self, stage: int | str) -> str:
        names = [name for name, stride in self.stages.items() if stage in (name, stride)]
        if not names:
            offered = ", ".join(map(str, sorted(set(self.stages.values())))) or "none"
            known = shortened(", ".join(self.stages), _SHOWN)
            raise ValueError(
                f"stages: backbone {self.name!r} has strides {offered}, got {stage}; stages by name: {known or 'none'}"
            )
        return names[-1]
