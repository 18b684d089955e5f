"""The networks on offer, by family; no torch, so that settings can be checked without it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BackboneFamily:
    """Networks of one origin.

    names: theirs, as ``FeatureSettings.backbone`` has them. module: loaded when one of them is asked for; it has
    ``network_spec(name)``, a ``NetworkSpec``, and ``published_weights(name)``, the whole network's state dict (name ->
    tensor); where these are fetched also ``weights_source(name)``, what to fetch by hand, and where files of weights
    may have other names ``own_names(name, state)``. prefix: every name that begins with it is of the family too.
    """

    names: tuple[str, ...]
    module: str
    prefix: str = ""

    def has(self, name: str) -> bool:
        """Whether a network is of this family."""
        return name in self.names or bool(self.prefix and name.startswith(self.prefix) and name != self.prefix)


# Networks whose ImageNet weights come from the package index, see `packaged_weights`.
PACKAGED_BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
TIMM_PREFIX = "timm/"
# Networks whose own fc6 and fc7 are on offer.
HEAD_BACKBONES = ("alexnet", "vgg16")
FAMILIES = [
    BackboneFamily(PACKAGED_BACKBONES, "detection.backbones.lite"),
    BackboneFamily(("alexnet", "vgg16", "resnet18", "resnet50"), "detection.backbones.torchvision_networks"),
    BackboneFamily(("zf5", "zf5_released"), "detection.backbones.zf5"),
    BackboneFamily((), "detection.backbones.timm_networks", TIMM_PREFIX),
]


def family_of(name: str) -> BackboneFamily:
    """The family of a network. Raises ValueError for an unknown name."""
    for family in FAMILIES:
        if family.has(name):
            return family
    known = [
        one for family in FAMILIES for one in (*family.names, *([f"{family.prefix}NAME"] if family.prefix else []))
    ]
    raise ValueError(f"backbone: expected one of {', '.join(known)}, got {name!r}")
