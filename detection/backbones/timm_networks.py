"""Networks of timm: ``timm/NAME``. Those that tell the strides of their stages, and plain vision transformers."""

import contextlib
import sys
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from detection.backbones.names import TIMM_PREFIX
from detection.backbones.spec import NetworkSpec
from detection.backbones.tokens import token_stages


def network_spec(name: str) -> NetworkSpec:
    """The network ``timm/NAME``, without weights. Raises ValueError where timm has none of the name."""
    import timm

    timm_name = name.removeprefix(TIMM_PREFIX)
    if not timm.is_model(timm_name):
        raise ValueError(f"backbone: expected timm/NAME with a model of timm {timm.__version__}, got {name!r}")
    with torch.device("meta"):
        network = timm.create_model(timm_name, pretrained=False)
        if has_tokens := _is_plain_transformer(network):
            network = timm.create_model(timm_name, pretrained=False, dynamic_img_size=True)
    infos = getattr(network, "feature_info", None) or []
    stages = token_stages(network) if has_tokens else {info["module"]: int(info["reduction"]) for info in infos}
    scaled = {key: tuple(255.0 * v for v in network.pretrained_cfg[key]) for key in ("mean", "std")}
    return NetworkSpec(name, network.eval(), stages, scaled["mean"], scaled["std"], has_tokens)


def _is_plain_transformer(network: nn.Module) -> bool:
    """Whether its tokens are those of square patches side by side, all blocks alike."""
    from timm.layers import PatchEmbed
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(network, (VisionTransformer, Eva)) or type(network.patch_embed) is not PatchEmbed:
        return False
    height, width = network.patch_embed.patch_size
    return height == width


def published_weights(name: str) -> Mapping[str, torch.Tensor]:
    """Its state dict, fetched once. Raises OSError or RuntimeError where it cannot be fetched, ValueError for none."""
    import timm

    timm_name = name.removeprefix(TIMM_PREFIX)
    if not weights_source(name):
        raise ValueError(f"weights: timm knows none of {name!r}; give the path of a state dict as weights, or random")
    return timm.create_model(timm_name, pretrained=True).state_dict()


def weights_source(name: str) -> str:
    """What to fetch by hand where there is no network, with its licence; an empty string where timm knows none."""
    import timm

    known = timm.get_pretrained_cfg(name.removeprefix(TIMM_PREFIX))
    if known is None or not (known.hf_hub_id or known.url):
        return ""
    licence = f" (licence: {known.license})" if known.license else ""
    if not known.hf_hub_id:
        return known.url + licence
    return f"{known.hf_hub_filename or 'model.safetensors'} of https://huggingface.co/{known.hf_hub_id}{licence}"


def own_names(name: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict under the network's own names, as timm converts its publishers' files (Meta's, OpenAI's, ...).

    One that has these names is left as it is, as is one of a network that timm converts no files for. Raises ValueError
    where timm's code stumbles over it.
    """
    network = network_spec(name).network
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None or network.state_dict().keys() == state.keys():
        return dict(state)
    try:
        # It prints what it leaves out.
        with contextlib.redirect_stdout(None):
            found = convert({key: torch.from_numpy(value) for key, value in state.items()}, network)
    except Exception as error:
        raise ValueError(f"expected a state dict of {name!r}, got one that timm cannot read: {error!r}") from error
    return {key: value.detach().numpy() for key, value in found.items()}
