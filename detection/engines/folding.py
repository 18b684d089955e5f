"""The same function with fewer layers: batch norms folded into convolutions, TensorFlow's paddings made static."""

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(cut: nn.Module) -> nn.Module:
    """A network in eval mode without the batch norms that follow convolutions, and without identities.

    TensorFlow's SAME paddings become static, for inputs whose sides are multiples of the network's largest stride.
    Outputs agree with the given network's within rounding (1e-4 relative is tested). The argument is left as it is.
    A network without a graph, a transformer, has neither, and is returned itself.
    """
    if not isinstance(cut, fx.GraphModule):
        return cut
    folded = copy.deepcopy(cut)
    modules = dict(folded.named_modules())
    for node in list(folded.graph.nodes):
        if node.op == "call_module" and isinstance(modules[node.target], (nn.Identity, nn.Dropout)):
            _drop(folded, node)
        elif node.op == "call_module" and isinstance(modules[node.target], nn.BatchNorm2d):
            _fold_norm(folded, modules, node)
    for name, module in list(folded.named_modules()):
        if type(module).__name__ == "Conv2dSame":
            folded.set_submodule(name, _static_same(module))
    folded.delete_all_unused_submodules()
    folded.graph.lint()
    folded.recompile()
    return folded.eval()


def _drop(folded: fx.GraphModule, node: fx.Node) -> None:
    node.replace_all_uses_with(node.args[0])
    folded.graph.erase_node(node)


def _fold_norm(folded: fx.GraphModule, modules: dict[str, nn.Module], node: fx.Node) -> None:
    source = node.args[0]
    is_conv = isinstance(source, fx.Node) and source.op == "call_module" and _is_conv(modules[source.target])
    # A convolution that is called twice cannot be changed for one of the calls.
    calls = sum(one.op == "call_module" and one.target == getattr(source, "target", None) for one in folded.graph.nodes)
    if not is_conv or len(source.users) != 1 or calls != 1:
        return
    norm = modules[node.target]
    modules[source.target] = fuse_conv_bn_eval(modules[source.target], norm)
    folded.set_submodule(source.target, modules[source.target])
    # timm's BatchNormAct2d ends in its activation, which stays where the norm was.
    modules[node.target] = getattr(norm, "act", nn.Identity())
    if isinstance(modules[node.target], nn.Identity):
        _drop(folded, node)
    else:
        folded.set_submodule(node.target, modules[node.target])


def _is_conv(module: nn.Module) -> bool:
    # Other subclasses may change their weights on the way (weight standardisation).
    return type(module) is nn.Conv2d or type(module).__name__ == "Conv2dSame"


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
