"""Backbones side by side: what their maps are and cost, and, with a data set, the mAP of a whole run with each.

Cost: one map of a photo of 4:3 at each short side, untrained weights, which take the same time; GMAC are of the same.
Accuracy: tools/run_pipeline.py with configs/custom.yaml, in processes of their own, one run folder for all, so that
proposals are made once. It needs the weights: what cannot be fetched is named in its row.
"""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from benchmarks.harness import ROOT, Row, Tables, progress, run_python, take_turns
from jsonargparse.typing import PositiveInt
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from detection.backbones import Backbone
from detection.backbones.names import family_of
from detection.engines import limit_threads, resolve_engine
from detection.features import FeatureSettings
from detection.features.resize import padded_size
from detection.storage import read_yaml, shortened

CONFIG = ROOT / "configs" / "custom.yaml"
BACKBONES = (
    "efficientnet_lite0:16,32", "efficientnet_lite1:16,32", "efficientnet_lite2:16,32",
    "resnet18:16,32", "resnet50:16,32", "timm/convnext_tiny.dinov3_lvd1689m:16,32",
    "timm/deit_tiny_patch16_224.fb_in1k:16:mean", "timm/deit_small_patch16_224.fb_in1k:16:mean",
    "timm/vit_small_patch14_dinov2.lvd142m:14:mean", "timm/vit_small_patch14_reg4_dinov2.lvd142m:14:mean",
    "timm/vit_small_patch16_dinov3.lvd1689m:16:mean", "timm/vit_base_patch16_dinov3.lvd1689m:16:mean",
    "timm/vit_base_patch16_clip_224.openai:16:mean", "timm/vit_base_patch16_siglip_224.v2_webli:16:mean",
)  # fmt: skip
# Characters of an error that a row shows.
_SHOWN = 200


@dataclass(frozen=True)
class Candidate:
    """A backbone as the command line has it: NAME, NAME:STAGES, NAME:STAGES:POOLING or NAME:STAGES:POOLING:WEIGHTS."""

    name: str
    stages: tuple[int | str, ...]
    pooling: str
    weights: str

    @classmethod
    def read(cls, text: str) -> "Candidate":
        """Raises ValueError for settings that cannot be."""
        name, stages, pooling, weights = (*text.split(":", 3), "", "", "")[:4]
        names = tuple(int(one) if one.isdecimal() else one for one in stages.split(",")) if stages else (16, 32)
        settings = FeatureSettings(backbone=name, stages=names, pooling=pooling or "max", weights=weights or "default")
        return cls(name, settings.stages, settings.pooling, settings.weights)

    def facts(self) -> Row:
        """The first columns of its rows."""
        return {"backbone": self.name, "stages": list(self.stages)}

    def options(self) -> list[str]:
        """Of a run with it."""
        names = ",".join(map(str, self.stages))
        values = {"backbone": self.name, "stages": names, "pooling": self.pooling, "weights": self.weights}
        return [f"--features.{key}={value}" for key, value in values.items()]


def gmac(network: torch.nn.Module, images: Sequence[torch.Tensor]) -> float:
    """10^9 multiplications with additions, of convolutions and matrix products, by the shapes of images alone."""
    shapes = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        for one in images:
            shapes(one.to("meta"))
    return counter.get_total_flops() / 2e9


def cost(candidate: Candidate, short_sides: Sequence[int], engine: str, repeats: int) -> Row:
    """What one backbone's maps are, and what they take."""
    backbone = Backbone.from_weights(candidate.name, candidate.stages, "random", engine=resolve_engine(engine, "cpu"))
    sizes = [padded_size((side, round(side * 4 / 3)), max(backbone.strides)) for side in short_sides]
    images = [torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)) for size in sizes]
    timings = take_turns({"maps": lambda: list(map(backbone, images))}, repeats, candidate.name)
    row: Row = candidate.facts() | {"strides": list(backbone.strides), "channels": list(backbone.channels)}
    row |= {"parameters_M": sum(value.size for value in backbone.state().values()) / 1e6}
    row |= {"GMAC": gmac(backbone.network, images), "engine": backbone.engine, "cpu_ms": 1000 * timings["maps"].cpu_s}
    family = import_module(family_of(candidate.name).module)
    return row | {"weights": family.weights_source(candidate.name) if hasattr(family, "weights_source") else "package"}


def accuracy(candidate: Candidate, arguments: Sequence[str], run: Path) -> Row:
    """The mAP of a whole run with one backbone, or why there is none."""
    progress(f"{candidate.name}: a whole run")
    row: Row = candidate.facts() | {"pooling": candidate.pooling, "mAP": "", "why_not": ""}
    try:
        run_python([str(ROOT / "tools" / "run_pipeline.py"), *arguments, *candidate.options(), f"--run={run}"])
    except ValueError as error:
        return row | {"why_not": shortened(str(error).strip().splitlines()[-1], _SHOWN)}
    stages = read_yaml(run / "run.yaml")["stages"]
    keys = {"maps_s": "features", "svms_s": "svms"}
    seconds = {key: stages[name]["seconds"] for key, name in keys.items() if name in stages}
    return row | {"mAP": stages["evaluation"]["mAP"], **seconds}


def benchmark(
    voc: str | None = None,
    backbones: tuple[str, ...] = BACKBONES,
    short_sides: tuple[PositiveInt, ...] = (480,),
    engine: str = "auto",
    repeats: PositiveInt = 5,
    threads: PositiveInt = 1,
    options: tuple[str, ...] = (),
) -> Tables:
    """Compare backbones; see the head of this file.

    Args:
        voc: Folder of a data set, whose backbones' mAP is measured; of VOC the folder that holds the year folder. None:
            costs alone.
        backbones: NAME, NAME:STAGES, NAME:STAGES:POOLING or NAME:STAGES:POOLING:WEIGHTS, as in the settings of
            features; stages are 16,32 and pooling is max where they are left out.
        short_sides: Lengths in px of the short side of the photo whose maps are timed; times and GMAC are added.
        engine: As in the settings.
        repeats: Runs of each, whose median counts.
        threads: Threads that compute.
        options: Further options of tools/run_pipeline.py, e.g. --limit=100.
    """
    candidates = [Candidate.read(one) for one in backbones]
    rows: list[Row] = []
    with limit_threads(threads):
        for one in candidates:
            rows.append(cost(one, short_sides, engine, repeats))
            yield f"Maps of a photo at {', '.join(map(str, short_sides))} px, threads: {threads}", rows
    if voc is None:
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="benchmark-backbones-") as folder:
        arguments = [f"--config={CONFIG}", f"--dataset.root={Path(voc).resolve()}", *options]
        for one in candidates:
            rows.append(accuracy(one, arguments, Path(folder) / "run"))
            yield "mAP of whole runs, configs/custom.yaml", rows
    progress("")
