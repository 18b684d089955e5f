"""What several commands measure: a run, its detector or one of random classes, and the detector's stages."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.harness import Row, change_text, progress
from rich.console import Console

from detection.backbones import Backbone
from detection.commands.session import open_experiment
from detection.config import read_settings
from detection.data import read_image
from detection.detector import Detector
from detection.evaluation import Evaluation, IntervalSettings, difference, evaluate, intervals
from detection.features import FeatureExtractor, FeatureSettings
from detection.features.resize import network_input, normalise
from detection.learning import BoxRegressors, LinearSVMs, postprocess
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import uses_finetuned
from detection.proposals import ProposalSettings, propose
from detection.types import AnnotatedImage, Detections, Proposals

# Column -> settings of the evaluation.
MEASURES = {
    "mAP_50": {"metric": "voc07", "iou_threshold": 0.5},
    "mAP_70": {"metric": "voc07", "iou_threshold": 0.7},
    "mAP_50_95": {"metric": "coco"},
}
# Of objects, as COCO bounds them.
SIZES = ("small", "medium", "large")
# Random classes take the same time as trained ones; they are to find something, and not everything.
_WEIGHT_SPREAD, _OFFSET_SPREAD, _BIAS = 0.01, 0.0003, -1.0


def open_run(run: str) -> Experiment:
    """A run with its own settings, in this process; it prints nothing."""
    settings = read_settings(f"--run={run}", "--workers=1")
    return open_experiment(settings, Console(file=io.StringIO()))


def frozen_run(benchmark: str, run: str | None, needed: str = "--run RUN") -> Experiment | None:
    """`open_run` for a benchmark that trains on a part of the training images; None, with a word, where none is given.

    needed: the options without which it is left out. Raises ValueError for a run with fine-tuned layers.
    """
    if run is None:
        print(f"{benchmark}: left out without {needed}: it takes minutes to hours")
        return None
    experiment = open_run(run)
    if uses_finetuned(experiment.settings.features):
        raise ValueError(f"run: {run}: expected one without fine-tuned layers, which have seen all of its photos")
    return experiment


def evaluation_of(
    experiment: Experiment, detector: Detector, label: str, images: Sequence[AnnotatedImage] | None = None
) -> Evaluation:
    """What a detector is worth on images of a run, None: its test images, with the run's proposals and maps."""
    images, source, found = experiment.test_images if images is None else images, experiment.source, []
    for image in images:
        found.append(detector.detect_proposals(*source.inputs(image, detector.postprocess_settings)))
        progress(f"{label}: {len(found)}/{len(images)} images")
    return evaluate(found, images, experiment.classes, **vars(experiment.settings.evaluation))


def quality(
    column: str, images: Sequence[AnnotatedImage], classes: Sequence[str], found: Mapping[str, Sequence[Detections]]
) -> Iterator[Row]:
    """A row a name of `found`, under `column`: mAP by each of `MEASURES`, and the gain over the first row, with 95 %
    intervals (seed 0); COCO's AP by size.
    """
    base: dict[str, Evaluation] = {}
    for name, detections in found.items():
        row: Row = {column: name}
        for measure, how in MEASURES.items():
            progress(f"{measure}: {name}")
            result = evaluate(detections, images, classes, **how)
            row[measure] = result.mean_ap
            if (bounds := intervals(result, IntervalSettings())) and bounds.mean_ap:
                row[f"{measure}_interval"] = f"{bounds.mean_ap.low:.3f} to {bounds.mean_ap.high:.3f}"
            if result.coco:
                row |= {size: getattr(result.coco, f"ap_{size}") for size in SIZES}
            if measure in base:
                row[f"gain_{measure}"] = change_text(difference(base[measure], result, IntervalSettings()))
            base.setdefault(measure, result)
        yield row


def detector_of(run: str | None) -> Detector:
    """The detector of a finished run; None: the default network with five random classes."""
    if run is None:
        return random_detector(FeatureExtractor.from_settings(FeatureSettings()), 5)
    return Detector.load(Path(run) / "detector")


def random_detector(extractor: FeatureExtractor, classes: int) -> Detector:
    """A detector of `classes` classes with random SVMs and box regressors on pooled vectors; seed 0."""
    rng, length, trained = np.random.default_rng(0), extractor.length("pool5"), np.ones(classes, bool)
    weights = rng.normal(0, _WEIGHT_SPREAD, (classes, length)).astype(np.float32)
    offsets = rng.normal(0, _OFFSET_SPREAD, (classes, 4, length)).astype(np.float32)
    return Detector(
        classes=tuple(f"class {number}" for number in range(classes)),
        proposal_settings=ProposalSettings(),
        extractor=extractor,
        svms=LinearSVMs(weights, np.full(classes, _BIAS, np.float32), trained, "pool5"),
        regressors=BoxRegressors(offsets, np.zeros((classes, 4), np.float32), trained, "pool5"),
    )


def plain_network(backbone: Backbone) -> torch.nn.Module:
    """The peer of every engine: the same network as it was trained, eager PyTorch, NCHW, no batch norm folded."""
    plain = Backbone(backbone.name, backbone.stages, backbone.state(), offsets=backbone.offsets, fused=False)
    return plain.network.to(memory_format=torch.contiguous_format)


def network_inputs(extractor: FeatureExtractor, rgb: np.ndarray) -> list[torch.Tensor]:
    """What the network is given for (H, W, 3) uint8 RGB: (1, 3, H, W) float32, NCHW, at every scale, largest first."""
    backbone = extractor.backbone
    normalised = normalise(rgb, backbone.mean, backbone.std)
    scales = sorted(map(float, extractor.scales(rgb.shape[:2])), reverse=True)
    images = [network_input(normalised, scale, max(backbone.strides)) for scale in scales]
    return [torch.from_numpy(one).permute(0, 3, 1, 2).contiguous() for one in images]


def stage_methods(detector: Detector, path: Path, boxes: np.ndarray | None = None) -> dict[str, Callable[[], Any]]:
    """Stage of `Detector.detect` -> what runs it alone on one photo; what it reads is made beforehand.

    boxes: (R, 4) in place of the photo's own proposals.
    """
    rgb, extractor = read_image(path), detector.extractor
    proposals = propose("", rgb, detector.proposal_settings)
    if boxes is not None:
        proposals = Proposals("", proposals.size, boxes, "given")
    pyramid = extractor.pyramid("", rgb)
    pool5 = extractor.pool(pyramid, proposals.boxes, distinct=True)
    has_head, regressors = detector.svms.layer != "pool5", detector.regressors
    vectors = extractor.head(pool5) if has_head else pool5
    scores = detector.svms.region_scores(vectors)
    suppress = partial(postprocess, scores, pyramid.size, detector.postprocess_settings)
    methods = {
        "decode": partial(read_image, path),
        "proposals": partial(propose, "", rgb, detector.proposal_settings),
        "maps": partial(extractor.pyramid, "", rgb),
        "pooling": partial(extractor.pool, pyramid, proposals.boxes, distinct=True),
    }
    methods |= {"fc layers": partial(extractor.head, pool5)} if has_head else {}
    methods["scores"] = partial(detector.svms.region_scores, vectors)
    if regressors is None:
        return methods | {"suppression": suppress}
    # Suppression asks for refined boxes of some pairs of region and class: those, and no others, are timed.
    asked, refined = [], scores.boxes.copy()

    def refine(regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        asked.append((regions, labels))
        refined[regions, labels] = regressors.boxes(pool5, regions, labels)
        return refined[regions, labels]

    suppress(refine)
    methods["regression"] = lambda: [regressors.boxes(pool5, *pair) for pair in asked]
    return methods | {"suppression": lambda: suppress(lambda regions, labels: refined[regions, labels])}
