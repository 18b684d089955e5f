"""The same function with less work: batch norms and activations folded into convolutions, paddings made static."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse(cut: fx.GraphModule) -> fx.GraphModule:
    """A network in eval mode with every batch norm and common activation that follows a convolution joined to it.

    TensorFlow's SAME paddings become static, for inputs whose sides are multiples of the network's largest
    stride. Outputs agree with the given network's within rounding (1e-4 relative is tested). The argument is
    left as it is.
    """
    fused = copy.deepcopy(cut)
    modules = dict(fused.named_modules())
    for node in list(fused.graph.nodes):
        if node.op == "call_module" and isinstance(modules[node.target], (nn.Identity, nn.Dropout)):
            node.replace_all_uses_with(node.args[0])
            fused.graph.erase_node(node)
    for node in list(fused.graph.nodes):
        if node.op == "call_module" and isinstance(modules[node.target], nn.BatchNorm2d):
            _fold(fused, modules, node)
    for name, module in list(fused.named_modules()):
        if type(module).__name__ == "Conv2dSame":
            _replace(fused, name, _static_same(module))
    for node in list(fused.graph.nodes):
        if node.op == "call_module" and _follows_its_own_convolution(fused, node):
            _join(fused, node)
    fused.delete_all_unused_submodules()
    fused.graph.lint()
    fused.recompile()
    return fused.eval()


def _fold(fused: fx.GraphModule, modules: dict[str, nn.Module], node: fx.Node) -> None:
    source = node.args[0]
    is_conv = isinstance(source, fx.Node) and source.op == "call_module" and _is_conv(modules[source.target])
    if not is_conv or len(source.users) != 1:
        return
    conv, norm = modules[source.target], modules[node.target]
    # timm's BatchNormAct2d ends in its activation, which stays where the norm was.
    after = getattr(norm, "act", nn.Identity())
    _replace(fused, source.target, fuse_conv_bn_eval(conv, norm))
    if isinstance(after, nn.Identity):
        node.replace_all_uses_with(source)
        fused.graph.erase_node(node)
    else:
        _replace(fused, node.target, after)
    modules.update(fused.named_modules())


def _is_conv(module: nn.Module) -> bool:
    # Other subclasses may change their weights on the way (weight standardisation).
    return type(module) is nn.Conv2d or type(module).__name__ == "Conv2dSame"


def _replace(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)


class ConvolutionWithActivation(nn.Module):
    """activation(convolution(x)), on a CPU with oneDNN in one pass over memory.

    oneDNN's operator is the one that PyTorch's own compiler emits. Without it, on other devices and where gradients
    are asked for (it has none), the two run one after the other.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        # A network may use one activation module in several places; here nothing else reads the convolution's output.
        self.convolution, self.activation = convolution, copy.copy(activation)
        self.activation.inplace = True
        self._name, self._scalars = _ONEDNN_ACTIVATIONS[type(activation)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> what the convolution's output becomes under the activation."""
        conv = self.convolution
        # A network that is exported is to run elsewhere, where the operator is not known.
        exported = torch.compiler.is_compiling()
        if exported or _wants_gradients(x, conv) or x.device.type != "cpu" or not _one_pass_is_on_offer():
            return self.activation(conv(x))
        return torch.ops.mkldnn._convolution_pointwise(
            x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups,
            self._name, self._scalars, "",
        )  # fmt: skip


# As oneDNN names them, with their bounds.
_ONEDNN_ACTIVATIONS = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
}


def _wants_gradients(x: torch.Tensor, conv: nn.Conv2d) -> bool:
    return torch.is_grad_enabled() and (x.requires_grad or any(one.requires_grad for one in conv.parameters()))


def _one_pass_is_on_offer() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _follows_its_own_convolution(fused: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the node is an activation that oneDNN has and the only reader of a plain convolution."""
    source = node.args[0]
    return (
        type(fused.get_submodule(node.target)) in _ONEDNN_ACTIVATIONS
        and isinstance(source, fx.Node)
        and source.op == "call_module"
        and len(source.users) == 1
        and _is_plain(fused.get_submodule(source.target))
        # A module that is called twice cannot be changed for one of the calls.
        and sum(other.op == "call_module" and other.target == source.target for other in fused.graph.nodes) == 1
    )


def _is_plain(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _join(fused: fx.GraphModule, node: fx.Node) -> None:
    source = node.args[0]
    joined = ConvolutionWithActivation(fused.get_submodule(source.target), fused.get_submodule(node.target))
    _replace(fused, source.target, joined)
    node.replace_all_uses_with(source)
    fused.graph.erase_node(node)


def _static_same(conv: nn.Conv2d) -> nn.Module:
    """SAME padding for input sides that are multiples of the stride, without looking at the input.

    The surplus row and column (bottom, right) become zeros of a kernel that is one larger at the top and
    left, under symmetric padding.
    """
    before, after = [], []
    for kernel, stride, dilation in zip(conv.kernel_size, conv.stride, conv.dilation, strict=True):
        total = max(dilation * (kernel - 1) + 1 - stride, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    if before != after and conv.dilation != (1, 1):
        return conv
    grow = [b - a for a, b in zip(before, after, strict=True)]
    kernel_size = tuple(k + g for k, g in zip(conv.kernel_size, grow, strict=True))
    static = nn.Conv2d(
        conv.in_channels, conv.out_channels, kernel_size, conv.stride, tuple(after), conv.dilation, conv.groups,
        bias=conv.bias is not None, device="meta",
    )  # fmt: skip
    static.weight = nn.Parameter(torch.nn.functional.pad(conv.weight.detach(), (grow[1], 0, grow[0], 0)), False)
    static.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), False)
    return static
