"""Operations of PyTorch that OpenVINO's converter of exported networks does not know, in terms of its own."""

from typing import Any

from detection.engines.openvino_import import import_openvino

# Of the cubic that antialiased resizing has, in PyTorch and in Pillow.
_CUBE_COEFFICIENT = -0.5


def extensions() -> list[Any]:
    """What the converter is given to know them."""
    import_openvino()
    from openvino.frontend.pytorch import ConversionExtension

    return [ConversionExtension("aten._upsample_bicubic2d_aa.default", _resized)]


def _resized(node: Any) -> list[Any]:
    """Bicubic with antialiasing, of an image (N, C, H, W) to sides: what transformers resize positions by."""
    from openvino import opset13

    # Two numbers, each an output of its own.
    sides = [opset13.reshape(one, [1], False) for one in node.get_input(1).get_node().input_values()]
    found = opset13.interpolate(
        node.get_input(0), opset13.concat(sides, 0), "bicubic_pillow", "sizes", axes=[2, 3],
        coordinate_transformation_mode="half_pixel", cube_coeff=_CUBE_COEFFICIENT,
    )  # fmt: skip
    return [found.output(0)]
