"""What speed costs in accuracy: this package's vectors beside R-CNN's, on the same photos, proposals and learning.

Scales x stages x levels of the maps that are computed once an image, against every proposal sent through the network
alone (see rcnn.py): mAP of held-out photos, the difference to R-CNN-style crops with a paired interval, and the time.
How it is learned: see held_out.py. R-CNN-style crops takes 20 to 30 ms a proposal, an hour in all: its vectors, and the
maps, are kept in the folder --cache, and an interrupted call goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.held_out import (
    LEARNING,
    Found,
    Pool,
    Sample,
    Vectors,
    draw_sample,
    evaluated,
    held_out,
    proposals_of,
    read_found,
    training_classes,
    transferred,
    write_found,
)
from benchmarks.measure import keep, run, take_turns
from benchmarks.rcnn import CropSettings, CropStore, crop_vectors

from detection.backbones import Backbone
from detection.data import DatasetSource, read_image
from detection.engines import limit_threads
from detection.evaluation import Interval, IntervalSettings, difference, intervals
from detection.features import FeatureExtractor, FeatureSettings, MapCache, settings_key
from detection.pooling.spp import pooled_length
from detection.storage import file_fingerprint, fingerprint
from detection.types import AnnotatedImage, FeaturePyramid

DEFAULT = FeatureSettings()
# What is varied around the defaults, one thing at a time. The last scales are the paper's five (section 4.1).
SCALES = [[480], [688], [240, 480], [240, 336, 480], [480, 576, 688, 864, 1200]]
STAGES = [[16], [32]]
LEVELS = [[1], [2, 1], [6, 3, 2, 1]]
# Of R-CNN-style crops: its network's last stage, as the source has it, and ours; the levels that its vectors are kept
# at.
RCNN_STAGES, RCNN_LEVELS = ((32,), (16, 32)), (6, 3, 2, 1)
# Proposals of R-CNN-style crops that are timed; the time of all of them is in proportion.
TIMED_CROPS = 32
RCNN = "R-CNN-style crops"
# Levels for what is timed without regard to them.
ANY_LEVELS = DEFAULT.levels


@dataclass(frozen=True)
class Way:
    """How vectors are made. sides: short sides of the image in px; none: proposal by proposal."""

    sides: tuple[int, ...]
    stages: tuple[int, ...]
    levels: tuple[int, ...]

    @property
    def settings(self) -> FeatureSettings:
        """As settings of this package."""
        return replace(DEFAULT, short_sides=self.sides or DEFAULT.short_sides, stages=self.stages, levels=self.levels)

    @property
    def row(self) -> dict[str, Any]:
        """Its name in tables."""
        texts = [" ".join(map(str, one)) for one in (self.sides, self.stages, self.levels)]
        return dict(zip(("scales", "stages", "levels"), [texts[0] or RCNN, *texts[1:]], strict=True))

    @property
    def label(self) -> str:
        """The same in one line."""
        return " / ".join(self.row.values())


BASE = Way(DEFAULT.short_sides, DEFAULT.stages, DEFAULT.levels)


def ways(scales: Sequence, stages: Sequence, levels: Sequence, full: bool) -> list[Way]:
    """The defaults and what differs from them in one of the three, or in any."""
    lists = [[tuple(one) for one in given] for given in (scales, stages, levels)]
    if full:
        sides, strides, pyramids = ([first, *rest] for first, rest in zip(vars(BASE).values(), lists, strict=True))
        found = [Way(*one) for one in product(sides, strides, pyramids)]
    else:
        varied = zip(("sides", "stages", "levels"), lists, strict=True)
        found = [BASE, *(replace(BASE, **{name: one}) for name, given in varied for one in given)]
    return list(dict.fromkeys(found))


class Maker:
    """Makes the vectors of every way; maps and R-CNN's vectors are made once and kept in a folder.

    stages: all that will be asked for. Maps are those of one network cut after the last of them, so that stage 16 by
    itself is padded to multiples of 32 px too.
    """

    def __init__(self, cache: Path, stages: tuple[int, ...], crops: CropSettings) -> None:
        self.cache, self.settings = cache, replace(DEFAULT, stages=stages)
        self.extractors: dict[tuple[int, ...], FeatureExtractor] = {}
        self.crops = CropStore(cache / "crops", self.extractor(RCNN_STAGES[-1]).backbone, RCNN_LEVELS, crops)

    def extractor(self, stages: tuple[int, ...]) -> FeatureExtractor:
        """An extractor with a network of these stages."""
        if stages not in self.extractors:
            self.extractors[stages] = FeatureExtractor.from_settings(replace(DEFAULT, stages=stages))
        return self.extractors[stages]

    def with_settings(self, way: Way) -> FeatureExtractor:
        """The extractor of a way."""
        return FeatureExtractor(way.settings, self.extractor(way.stages).backbone)

    def vectors(self, way: Way) -> Vectors:
        """The function that makes them."""
        return partial(self._pooled if way.sides else self._cropped, way)

    def _cropped(self, way: Way, image: AnnotatedImage, boxes: np.ndarray) -> np.ndarray:
        values = self.crops.make(image.image_id, image.path, boxes)
        return values[:, columns(self.crops.backbone, RCNN_LEVELS, way)]

    def _pooled(self, way: Way, image: AnnotatedImage, boxes: np.ndarray) -> np.ndarray:
        # A maximum of float16 maps is a float16.
        return self.with_settings(way).pool(self.pyramid(image, way), boxes).values.astype(np.float16)

    def pyramid(self, image: AnnotatedImage, way: Way) -> FeaturePyramid:
        """The maps of an image at a way's scales and stages, put together from those of each scale."""
        parts = [self._maps(image, side) for side in way.sides]
        stages = [self.settings.stages.index(one) for one in way.stages]
        return FeaturePyramid(
            image_id=image.image_id,
            size=image.size,
            maps=tuple(tuple(one.maps[0][stage] for stage in stages) for one in parts),
            scales=np.concatenate([one.scales for one in parts]),
            strides=parts[0].strides[stages],
            offsets=parts[0].offsets[stages],
        )

    def _maps(self, image: AnnotatedImage, side: int) -> FeaturePyramid:
        settings, backbone = replace(self.settings, short_sides=(side,)), self.extractor(self.settings.stages).backbone
        store = MapCache(self.cache / "maps", settings_key(settings, backbone.weights_fingerprint))
        key = file_fingerprint(image.path)
        found = store.read(image.image_id, key)
        if found is None:
            found = FeatureExtractor(settings, backbone).pyramid(image.image_id, read_image(image.path, image.size))
            store.write(found, key)
        return found


def columns(backbone: Backbone, levels: tuple[int, ...], way: Way) -> np.ndarray:
    """Places of a way's values in a vector of all of a backbone's stages and of `levels`."""
    found, start = [], 0
    for stride, channels in zip(backbone.strides, backbone.channels, strict=True):
        for level in levels:
            end = start + pooled_length(channels, (level,))
            if stride in way.stages and level in way.levels:
                found.append(np.arange(start, end))
            start = end
    return np.concatenate(found)


# What is measured.


def detections_of(way: Way, maker: Maker, sample: Sample, costs: Sequence[float], folds: int, seed: int) -> Found:
    """Held-out detections of a way in a sample, kept in the cache."""
    weights = maker.crops.backbone.weights_fingerprint
    crops = "" if way.sides else maker.crops.folder.name
    key = fingerprint(sample.key, way.settings, weights, crops, list(costs), folds, seed, LEARNING)
    path = maker.cache / "found" / f"{key}.safetensors"
    if not path.is_file():
        write_found(path, held_out(Pool.of(sample, maker.vectors(way), way.label), costs, folds, seed))
    return read_found(path, sample)


def accuracy_rows(sample: Sample, found: dict[Way, Found]) -> list[dict[str, Any]]:
    """For every way its mAP, and the difference to each of R-CNN's with the bounds of a paired interval."""
    results = {way: evaluated(sample, one.refined) for way, one in found.items()}
    cropped = [way for way in results if not way.sides]
    rows = []
    for way, one in found.items():
        own = intervals(results[way], IntervalSettings())
        row = {**way.row, "C": f"{one.C:g}", "mAP_without": evaluated(sample, one.plain).mean_ap}
        row |= {"mAP": results[way].mean_ap, "from_to": _text(own.mean_ap, "")}
        for base in cropped:
            gain = difference(results[base], results[way], IntervalSettings())
            name = base.row["stages"] + ("" if base.levels == BASE.levels else f" / {base.row['levels']}")
            row[f"against_R-CNN_{name}"] = _text(gain.mean_ap, "+", value=True) if base != way else ""
        rows.append(row)
    return rows


def _text(one: Interval | None, sign: str, value: bool = False) -> str:
    if one is None:
        return ""
    bounds = f"{one.low:{sign}.3f} to {one.high:{sign}.3f}"
    return f"{one.value:{sign}.3f} ({bounds})" if value else bounds


def times_of(ways: Sequence[Way], maker: Maker, image: AnnotatedImage, repeats: int) -> dict[Way, dict[str, float]]:
    """CPU ms of one image: its maps, and pooling of all its proposals; R-CNN-style crops in proportion to some."""
    rgb, boxes = read_image(image.path, image.size), proposals_of(image, maker.cache)
    some = boxes[:TIMED_CROPS]
    methods: dict[tuple[Way, str], Callable[[], Any]] = {}
    for way in ways:
        bare = replace(way, levels=ANY_LEVELS)
        extractor = maker.with_settings(way)
        if way.sides:
            methods[bare, "maps_ms"] = partial(extractor.pyramid, image.image_id, rgb)
            methods[way, "pooling_ms"] = partial(extractor.pool, maker.pyramid(image, way), boxes)
        else:
            methods[bare, "maps_ms"] = partial(
                crop_vectors, extractor.backbone, rgb, some, ANY_LEVELS, maker.crops.settings
            )
    timings = take_turns({str(key): method for key, method in methods.items()}, repeats, image.image_id)
    milliseconds = {key: 1000 * timings[str(key)].cpu_s for key in methods}
    found = {}
    for way in ways:
        share = 1 if way.sides else len(boxes) / len(some)
        found[way] = {"maps_ms": share * milliseconds[replace(way, levels=ANY_LEVELS), "maps_ms"]}
        found[way] |= {"pooling_ms": milliseconds[way, "pooling_ms"]} if way.sides else {}
    return found


def mean_times(
    ways: Sequence[Way], maker: Maker, images: Sequence[AnnotatedImage], repeats: int
) -> dict[Way, dict[str, float]]:
    """The means of `times_of` over some images; nothing where there are none."""
    measured = [times_of(ways, maker, one, repeats) for one in images]
    names = {way: measured[0][way] if measured else {} for way in ways}
    return {way: {one: float(np.mean([times[way][one] for times in measured])) for one in names[way]} for way in ways}


def transfer_rows(found: dict[Way, Found], maker: Maker, sample: Sample, other: Sample) -> list[dict[str, Any]]:
    """The defaults and the best of crops, learned on all of `sample` at the C of its folds, on other photos."""
    cropped = [way for way in found if not way.sides]
    best = max(cropped, key=lambda way: evaluated(sample, found[way].refined).mean_ap or 0.0, default=None)
    measured = {}
    for way in filter(None, (best, BASE)):
        pools = [Pool.of(one, maker.vectors(way), way.label) for one in (sample, other)]
        measured[way] = transferred(*pools, found[way].C)
    return accuracy_rows(other, measured)


def benchmark(
    voc: str | None = None,
    year: str = "VOC2007",
    split: str = "trainval",
    accuracy_images: int = 0,
    accuracy_proposals: int = 150,
    accuracy_test_images: int = 0,
    test_split: str = "test",
    folds: int = 2,
    C: list[float] = [0.003, 0.01],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    scales: list[list[int]] = SCALES,
    stages: list[list[int]] = STAGES,
    levels: list[list[int]] = LEVELS,
    full: bool = False,
    with_rcnn: bool = True,
    timed_images: int = 2,
    repeats: int = 3,
    cache: str = "runs/accuracy",
    seed: int = 0,
    out: str = "runs/benchmark",
) -> None:
    """Measure mAP and time of scales, stages and levels beside R-CNN-style crops; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC devkit. None: nothing is measured.
        year: Name of the year folder.
        split: Split whose photos are learned from and measured on, in folds.
        accuracy_images: Photos of it, chosen by a hash; 0: leave all out. R-CNN-style crops takes 4 s a photo with 150
            proposals.
        accuracy_proposals: Proposals a photo, the first of selective search.
        accuracy_test_images: Photos of the test split that the defaults and R-CNN-style crops are measured on as well.
        test_split: That split.
        folds: Parts that are left out in turn.
        C: Costs of the SVMs that each way chooses from.
        scales: Short sides in px that are tried beside the default's.
        stages: Stages that are tried beside the default's.
        levels: Levels that are tried beside the default's.
        full: Try all combinations, not one thing at a time.
        with_rcnn: Measure R-CNN-style crops too.
        timed_images: Photos on which times are taken.
        repeats: Runs of everything that is timed.
        cache: Folder of proposals, maps, R-CNN's vectors and detections.
        seed: Of the folds.
        out: Folder of benchmark.json and benchmark.md.
    """
    if voc is None or not accuracy_images:
        print("accuracy: left out: it takes an hour; --voc=FOLDER --accuracy_images=N, e.g. 300, ask for it")
        return
    if min(accuracy_images, accuracy_proposals, repeats) < 1 or min(timed_images, accuracy_test_images) < 0 or not C:
        raise ValueError("expected accuracy_images, accuracy_proposals, repeats >= 1, timed_images >= 0, some C")
    tried = ways(scales, stages, levels, full)
    if with_rcnn:
        # The finest pyramid for both stages alone: one is behind without it already.
        cropped = [(one, BASE.levels) for one in RCNN_STAGES] + [(RCNN_STAGES[-1], RCNN_LEVELS)]
        tried = [Way((), *one) for one in cropped] + tried
    source, folder = DatasetSource(year, split, voc), Path(cache)
    used = tuple(sorted({stage for way in tried for stage in way.stages}))
    with limit_threads(1):
        sample = draw_sample(source, training_classes(source), accuracy_images, accuracy_proposals, folder)
        maker = Maker(folder, used, CropSettings())
        found = {way: detections_of(way, maker, sample, C, folds, seed) for way in tried}
        rows = accuracy_rows(sample, found)
        times = mean_times(tried, maker, sample.images[:timed_images], repeats)
        rows = [row | times[way] for row, way in zip(rows, tried, strict=True)]
        title = f"{len(sample.images)} photos of {split} in {folds} folds, {accuracy_proposals} proposals each"
        tables = {title: rows}
        if accuracy_test_images:
            other = draw_sample(
                replace(source, split=test_split), sample.classes, accuracy_test_images, accuracy_proposals, folder
            )
            tables[f"{len(other.images)} photos of {test_split}, learned on those of {split}"] = transfer_rows(
                found, maker, sample, other
            )
    keep(out, "accuracy", tables)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "accuracy", arguments)
