"""Image -> maps -> vectors of regions, as one object that holds the networks."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from detection.backbones.backbone import Backbone
from detection.backbones.networks import load_weights
from detection.engines import parallel_executor, resolve_engine, unavailable
from detection.features.head import Head, check_head_settings
from detection.features.resize import network_input, normalise
from detection.features.settings import FeatureSettings
from detection.geometry import resize_scale
from detection.pooling.cells import Places, cells_of, distinct_rows, scales_of
from detection.pooling.spp import empty_vectors, pool_into, pooled_length
from detection.pooling.torch_pooling import pool_tensor
from detection.types import FeaturePyramid, MapFunction, RegionFeatures

# Bits of a float16: all but the sign; infinity, above which lie only what are no numbers.
_MAGNITUDE, _INFINITY = np.uint16(0x7FFF), 0x7C00
_BACKBONE, _HEAD, _OFFSETS = "backbone.", "head.", "backbone_offsets"
_logger = logging.getLogger(__name__)


class FeatureExtractor:
    """The features of images and regions under one `FeatureSettings`. Calling it changes nothing.

    backbone: with the settings' stages. head: for the layers fc6 and fc7, else None. device: where the
    networks run; maps and vectors are NumPy arrays.
    """

    def __init__(
        self, settings: FeatureSettings, backbone: Backbone, head: Head | None = None, device: str = "cpu"
    ) -> None:
        """The engine "auto" of the settings is the backbone's. Raises ValueError where the parts do not fit."""
        if settings.engine == "auto":
            settings = replace(settings, engine=backbone.engine)
        if backbone.stages != tuple(settings.stages):
            raise ValueError(f"stages: settings say {tuple(settings.stages)}, the backbone has {backbone.stages}")
        if backbone.engine != settings.engine:
            raise ValueError(f"features.engine: settings say {settings.engine}, the backbone has {backbone.engine}")
        if settings.layer != "pool5" and head is None:
            raise ValueError(f"layer: {settings.layer} needs a head, got none")
        check_head_settings(settings)
        self.settings, self.device = settings, device
        self.backbone, self.pooled_head = backbone.to(device), None if head is None else head.to(device)

    @classmethod
    def from_settings(cls, settings: FeatureSettings, device: str = "cpu", started_in: Path = Path()) -> Self:
        """Build with the weights the settings name; what this raises see ``networks.load_weights``.

        started_in: where relative paths of files start. The head "finetuned" is a run's own: ``with_head_file`` adds it
        to an extractor of pool5.
        """
        check_head_settings(settings)
        settings = replace(settings, engine=resolve_engine(settings.engine, device))
        options = {"device": device, "engine": settings.engine}
        if settings.weights == "random":
            backbone = Backbone.from_weights(settings.backbone, settings.stages, "random", settings.seed, **options)
            make_head = partial(Head.random, settings)
        else:
            is_file = settings.weights != "default"
            state = load_weights(settings.backbone, str(started_in / settings.weights) if is_file else settings.weights)
            backbone = Backbone(settings.backbone, settings.stages, state, **options)
            make_head = partial(Head.from_network, settings, state=state)
        if settings.layer == "pool5":
            return cls(settings, backbone, None, device)
        if settings.head != "network":
            make_head = partial(Head.from_file, settings, path=started_in / settings.head)
        return cls(settings, backbone, make_head(pooled_length=_pooled_length(backbone, settings)), device)

    def with_head_file(self, settings: FeatureSettings, path: Path | str) -> Self:
        """The same backbone with fc6 and fc7 of a file (see ``Head.from_file``), under `settings`."""
        head = Head.from_file(settings, _pooled_length(self.backbone, settings), path)
        return FeatureExtractor(settings, self.backbone, head, self.device)

    @classmethod
    def from_state(cls, settings: FeatureSettings, state: Mapping[str, np.ndarray], device: str = "cpu") -> Self:
        """Build from what `state` gave, without any weights from elsewhere.

        Where the settings' engine cannot compute, "torch" does: then maps differ by rounding, and a warning is logged.
        """
        settings = settings.for_device(device)
        if fault := unavailable(settings.engine, device):
            _logger.warning("features.engine: %s; torch computes the maps, which then differ by rounding", fault)
            settings = replace(settings, engine="torch")
        backbone = Backbone(
            settings.backbone, settings.stages, _part(state, _BACKBONE), device, offsets=state[_OFFSETS],
            engine=settings.engine,
        )  # fmt: skip
        head = None
        if settings.layer != "pool5":
            head = Head(settings, _pooled_length(backbone, settings), _part(state, _HEAD))
        return cls(settings, backbone, head, device)

    def state(self) -> dict[str, np.ndarray]:
        """All that `from_state` needs beside the settings: float32 arrays, the offsets float64."""
        state = {_BACKBONE + name: value for name, value in self.backbone.state().items()}
        state[_OFFSETS] = self.backbone.offsets
        if self.pooled_head is not None:
            state |= {_HEAD + name: value for name, value in self.pooled_head.state().items()}
        return state

    def length(self, layer: str | None = None) -> int:
        """Length D of a vector of `layer` (default: the settings')."""
        layer = layer or self.settings.layer
        if layer == "pool5":
            return _pooled_length(self.backbone, self.settings)
        return self._head_for(layer).length(layer)

    def scales(self, size: tuple[int, int]) -> np.ndarray:
        """(S,) float64 resized px per image px for an image of `size` (height, width)."""
        return image_scales(size, self.settings)

    def pyramid(
        self,
        image_id: str,
        rgb: np.ndarray,
        mapper: MapFunction | None = None,
        mirrored: bool = False,
        stay: bool = False,
    ) -> FeaturePyramid:
        """The maps of an image: (H, W, 3) uint8 RGB -> S x T maps (C, h, w) float16; with `mirrored` its mirror's too.

        Rounded to float16 here already, so that maps from the cache are equal. Every scale is a batch of its
        own: what runs beside it cannot change its last bits. mapper: on a CPU the scales go through it, largest first;
        None: over ``parallel_executor()``. stay: on another device leave the maps there, as tensors that `pool` takes.
        """
        rgb = np.asarray(rgb)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"image {image_id!r}: expected (H, W, 3) uint8 RGB, got {rgb.dtype} of shape {rgb.shape}")
        size = (int(rgb.shape[0]), int(rgb.shape[1]))
        scales = self.scales(size)
        on_cpu = torch.device(self.device).type == "cpu"
        mapper = (mapper or parallel_executor().map) if on_cpu else map
        normalised = normalise(rgb, self.backbone.mean, self.backbone.std)
        order = np.argsort(-scales, kind="stable")
        found = dict(zip(order, mapper(partial(self._maps, normalised), scales[order].tolist()), strict=True))
        # Asked once, when all is under way: each answer waits for the device.
        finite = _are_finite([one for maps in found.values() for one in maps])
        if not finite:
            raise ValueError(f"maps of image {image_id!r}: expected finite float16, got values beyond its range")
        if on_cpu or not stay:
            found = {index: tuple(one.cpu().numpy() for one in maps) for index, maps in found.items()}
        return FeaturePyramid(
            image_id=image_id,
            size=size,
            maps=tuple(found[index] for index in range(len(scales))),
            scales=scales,
            strides=np.array(self.backbone.strides, np.int64),
            offsets=self.backbone.offsets.copy(),
            mirrored=self.pyramid(image_id, rgb[:, ::-1].copy(), mapper, stay=stay) if mirrored else None,
        )

    def _maps(self, normalised: np.ndarray, scale: float) -> tuple[torch.Tensor, ...]:
        values = network_input(normalised, scale, max(self.backbone.strides))
        # A contiguous (1, H, W, 3) array is a channels_last tensor (1, 3, H, W).
        images = torch.from_numpy(values).permute(0, 3, 1, 2).to(self.device)
        return tuple(one[0].to(torch.float16).contiguous() for one in self.backbone(images))

    def pool(
        self,
        pyramid: FeaturePyramid,
        boxes: np.ndarray,
        out: np.ndarray | None = None,
        scales: np.ndarray | None = None,
        distinct: bool = False,
        mapper: MapFunction = map,
    ) -> RegionFeatures:
        """Pooled vectors of regions: boxes (R, 4) float32, image frame -> values (R, D) float32, layer "pool5".

        Each region is pooled from the scale that the settings' rule gives it; order of a vector: see
        ``detection.pooling.spp``. out: (>= R, D) float32 array to write to, to be spared fresh memory; the
        values are then a view of it. scales: (R,) int, the scale of each region where it is not -1. distinct: regions
        on the same scale and the same cells of every stage share one row of `values`, which has U rows then, in the
        order of the first region of each; the result's `rows` says which. mapper: maps over scales and stages. Of maps
        that are tensors the values are a tensor on their device, for `head`; see `on_host`. Raises ValueError where the
        pyramid is not of this backbone.
        """
        self._check(pyramid)
        boxes = np.asarray(boxes)
        places = self._places(pyramid, boxes, scales)
        count, row_of = distinct_rows(places, len(boxes)) if distinct else (len(boxes), np.arange(len(boxes)))
        device = getattr(pyramid.maps[0][0], "device", None)
        if isinstance(device, torch.device):
            values = torch.empty((count, self.length("pool5")), device=device)
        else:
            values = empty_vectors(count, self.length("pool5")) if out is None else out[:count]
        parts = []
        for (regions, stages), maps in zip(places, pyramid.maps, strict=True):
            rows, first = np.unique(row_of[regions], return_index=True)
            start = 0
            for cells, one in zip(stages, maps, strict=True):
                parts.append((one, cells[first], rows, start))
                start += pooled_length(one.shape[0], self.settings.levels)

        def pool_part(part: tuple[Any, np.ndarray, np.ndarray, int]) -> None:
            one, cells, rows, start = part
            if isinstance(one, torch.Tensor):
                pooled = pool_tensor(one.float(), cells, self.settings.levels, self.settings.pooling)
                values[torch.as_tensor(rows, device=device), start : start + pooled.shape[1]] = pooled
            else:
                pool_into(np.asarray(one), cells, self.settings.levels, rows, values, start, self.settings.pooling)

        # Those with the most values first, so that no thread is left with them at the end.
        deque(mapper(pool_part, sorted(parts, key=lambda part: -len(part[0]) * len(part[2]))), maxlen=0)
        self._finish(values)
        return RegionFeatures(pyramid.image_id, boxes, values, "pool5", row_of if distinct else None)

    def _places(self, pyramid: FeaturePyramid, boxes: np.ndarray, scales: np.ndarray | None) -> list[Places]:
        """Of each scale the regions pooled from it, and their cells on the map of each stage."""
        chosen = scales_of(boxes, pyramid, self.settings)
        if scales is not None:
            chosen = np.where(scales >= 0, scales, chosen)
        places = []
        for index, (scale, maps) in enumerate(zip(pyramid.scales, pyramid.maps, strict=True)):
            regions = np.flatnonzero(chosen == index)
            frames = zip(pyramid.strides, pyramid.offsets, (one.shape[1:] for one in maps), strict=True)
            stages = [
                cells_of(boxes[regions], float(scale), int(stride), offset, pyramid.size, tuple(size), self.settings)
                for stride, offset, size in frames
            ]
            places.append((regions, stages))
        return places

    def _check(self, pyramid: FeaturePyramid) -> None:
        strides = tuple(int(stride) for stride in pyramid.strides)
        channels = {tuple(one.shape[0] for one in maps) for maps in pyramid.maps}
        if strides != self.backbone.strides or channels != {self.backbone.channels}:
            raise ValueError(
                f"maps of image {pyramid.image_id!r}: expected strides {self.backbone.strides} and channels "
                f"{self.backbone.channels}, got {strides} and {sorted(channels)}"
            )

    def _finish(self, values: np.ndarray | torch.Tensor) -> None:
        settings = self.settings
        on_device = isinstance(values, torch.Tensor)
        if settings.pool_floor is not None and on_device:
            values.clamp_(min=settings.pool_floor)
        elif settings.pool_floor is not None:
            np.maximum(values, np.float32(settings.pool_floor), out=values)
        if settings.stage_weights is not None:
            lengths = [pooled_length(channels, settings.levels) for channels in self.backbone.channels]
            weights = np.repeat(np.array(settings.stage_weights, np.float32), lengths)
            values *= torch.from_numpy(weights).to(values.device) if on_device else weights

    def head(self, regions: RegionFeatures, layer: str | None = None) -> RegionFeatures:
        """Pooled vectors -> "fc6" or "fc7" (default: the settings' layer). Raises ValueError without a head."""
        layer = layer or self.settings.layer
        if regions.layer != "pool5":
            raise ValueError(f"image {regions.image_id!r}: expected pool5 vectors, got {regions.layer}")
        values = self._head_for(layer)(regions.values, layer)
        return RegionFeatures(regions.image_id, regions.boxes, values, layer, regions.rows)

    def _head_for(self, layer: str) -> Head:
        if layer not in ("fc6", "fc7") or self.pooled_head is None:
            raise ValueError(f"layer: {layer} is not on offer, settings say layer {self.settings.layer}")
        return self.pooled_head

    def regions(self, pyramid: FeaturePyramid, boxes: np.ndarray, layer: str | None = None) -> RegionFeatures:
        """The vectors of regions, one row each, at `layer` (default: the settings'); see `pool` and `head`."""
        layer = layer or self.settings.layer
        if layer == "pool5":
            return self.pool(pyramid, boxes)
        vectors = self.head(self.pool(pyramid, boxes, distinct=True), layer)
        return RegionFeatures(vectors.image_id, vectors.boxes, vectors.values[vectors.rows], layer)


def on_host(regions: RegionFeatures) -> RegionFeatures:
    """The same with values in an array, where they are a tensor."""
    if isinstance(regions.values, torch.Tensor):
        return replace(regions, values=regions.values.cpu().numpy())
    return regions


def _are_finite(maps: Sequence[torch.Tensor]) -> bool:
    if maps[0].device.type != "cpu":
        return bool(torch.stack([torch.isfinite(one).all() for one in maps]).all())
    # A comparison of bits: to ask whether float16 values are finite takes ten times as long.
    arrays = (one.numpy().view(np.uint16) for one in maps)
    return all(int((one & _MAGNITUDE).max(initial=0)) < _INFINITY for one in arrays)


def image_scales(size: tuple[int, int], settings: FeatureSettings) -> np.ndarray:
    """(S,) float64 resized px per image px for an image of `size` (height, width) in px."""
    return np.array([resize_scale(size, side, settings.max_long_side) for side in settings.short_sides], np.float64)


def _pooled_length(backbone: Backbone, settings: FeatureSettings) -> int:
    return sum(pooled_length(channels, settings.levels) for channels in backbone.channels)


def _part(state: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
