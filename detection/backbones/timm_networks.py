"""Any network of timm that tells the strides of its stages: ``timm/NAME``."""

from collections.abc import Mapping

import torch

from detection.backbones.names import TIMM_PREFIX
from detection.backbones.spec import NetworkSpec


def network_spec(name: str) -> NetworkSpec:
    """The network ``timm/NAME``, without weights. Raises ValueError where timm has none of the name."""
    import timm

    timm_name = name.removeprefix(TIMM_PREFIX)
    if not timm.is_model(timm_name):
        raise ValueError(f"backbone: expected timm/NAME with a model of timm {timm.__version__}, got {name!r}")
    with torch.device("meta"):
        network = timm.create_model(timm_name, pretrained=False)
    stages = {int(info["reduction"]): info["module"] for info in getattr(network, "feature_info", None) or []}
    scaled = {key: tuple(255.0 * v for v in network.pretrained_cfg[key]) for key in ("mean", "std")}
    return NetworkSpec(name, network.eval(), stages, scaled["mean"], scaled["std"])


def published_weights(name: str) -> Mapping[str, torch.Tensor]:
    """Its state dict, fetched once. Raises OSError or RuntimeError where it cannot be fetched."""
    import timm

    return timm.create_model(name.removeprefix(TIMM_PREFIX), pretrained=True).state_dict()
