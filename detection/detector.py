"""The pipeline of one image in one paragraph."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from detection.data import DataError, Problems, read_image
from detection.detector_files import read_detector, write_detector
from detection.engines import parallel_executor, single_threaded_pool
from detection.features import FeatureExtractor
from detection.learning import BoxRegressors, Calibration, LinearSVMs, PostprocessSettings, postprocess, suppressed
from detection.parallel import ordered_map
from detection.proposals import ProposalSettings, propose
from detection.types import Detections, FeaturePyramid, MapFunction, Proposals, RegionFeatures, RegionScores

# Images in flight for each thread: enough to keep all busy, few enough to bound memory.
_IMAGES_A_THREAD = 2


@dataclass(frozen=True)
class Detector:
    """All that finding objects in a new image needs.

    classes: names in the order of the labels. extractor: image to maps to vectors. svms: vectors to scores.
    regressors: better boxes, or None. The settings say how proposals are made and scores become detections.
    calibration: margins to probabilities, or None.
    notes: plain facts kept with the detector, e.g. the keys of what it was trained on.
    """

    classes: tuple[str, ...]
    proposal_settings: ProposalSettings
    extractor: FeatureExtractor
    svms: LinearSVMs
    regressors: BoxRegressors | None = None
    postprocess_settings: PostprocessSettings = field(default_factory=PostprocessSettings)
    notes: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        count, pooled = len(self.classes), self.extractor.length("pool5")
        self._check("SVM weights", self.svms.weights.shape, (count, self.extractor.length(self.svms.layer)))
        if self.regressors is not None:
            self._check("regressor weights", self.regressors.weights.shape, (count, 4, pooled))
        if self.calibration is not None:
            self._check("slopes of the calibration", self.calibration.slopes.shape, (count,))

    def _check(self, what: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
        if found != expected:
            raise ValueError(
                f"detector of {len(self.classes)} classes, layer {self.svms.layer}: "
                f"expected {what} of shape {expected}, got {found}"
            )

    def detect(self, image: Any, image_id: str = "", threads: int | None = None) -> Detections:
        """Find objects in an image: a path, a PIL image or an (H, W, 3) uint8 RGB array.

        Files are turned upright by their EXIF rotation; boxes are in that frame. threads: how many may work on the
        proposals and the scales, then on parts of their vectors, in parallel, each part by one thread alone, so that
        the result is the same bit for bit whatever their number; None: as many as torch uses
        (``torch.get_num_threads()``). Labels index ``self.classes``. Raises DataError where the image cannot be read.
        """
        rgb, executor = read_image(image), parallel_executor(threads)
        proposals = executor.submit(propose, image_id, rgb, self.proposal_settings)  # image -> proposals
        pyramid = self.extractor.pyramid(image_id, rgb, executor.map)  # image -> maps
        return self.detect_proposals(proposals.result(), pyramid, executor.map)

    def detect_many(
        self, images: Iterable[Any], workers: int | None = None, problems: Problems | None = None
    ) -> Iterator[Detections]:
        """Find objects in many images, several at a time; yields the ``Detections`` of each, in order.

        images: as `detect` takes them, read as they are needed, so that a generator of a video's frames will do.
        workers: how many images are worked on at a time, each by one thread of this process; None: as many as torch
        uses threads. The image_id is an image's path, or its number in `images` where it has none. problems: lists
        the images that cannot be read, which then are left out; None: DataError is raised in their turn.
        """
        count = torch.get_num_threads() if workers is None else workers
        pool = single_threaded_pool(count)
        try:
            for found in ordered_map(self._detect_numbered, enumerate(images), pool, _IMAGES_A_THREAD * count):
                if isinstance(found, Detections):
                    yield found
                elif problems is None:
                    raise found
                else:
                    problems.skip_error(found)
        finally:
            pool.shutdown(cancel_futures=True)

    def _detect_numbered(self, numbered: tuple[int, Any]) -> Detections | DataError:
        number, image = numbered
        image_id = Path(image).as_posix() if isinstance(image, (str, os.PathLike)) else str(number)
        try:
            return self.detect(image, image_id)
        except DataError as error:
            return error

    def detect_proposals(self, proposals: Proposals, pyramid: FeaturePyramid, spread: MapFunction = map) -> Detections:
        """The same from an image's proposals and maps; equal to `detect` bit for bit."""
        pool5, scores = self._scored(proposals, pyramid, spread)  # proposals, maps -> vectors -> scores
        refine = None  # vectors -> better boxes
        if self.regressors is not None:
            refine = partial(self.regressors.boxes, pool5, spread=spread)
        return postprocess(scores, pyramid.size, self.postprocess_settings, refine)  # scores, boxes -> detections

    def score_proposals(self, proposals: Proposals, pyramid: FeaturePyramid) -> RegionScores:
        """Every class's score and refined box for every proposal.

        `detect_proposals` gives what `postprocess` makes of them, but refines only the boxes that are looked at.
        """
        pool5, scores = self._scored(proposals, pyramid)
        return scores if self.regressors is None else self.regressors.refine(scores, pool5)

    def _scored(
        self, proposals: Proposals, pyramid: FeaturePyramid, spread: MapFunction = map
    ) -> tuple[RegionFeatures, RegionScores]:
        """The vectors that regression reads, and every class's score for every proposal with the proposal's own box."""
        # proposals, maps -> different vectors
        pool5 = self.extractor.pool(pyramid, proposals.boxes, distinct=True, spread=spread)
        features = pool5 if self.svms.layer == "pool5" else self.extractor.head(pool5)  # vectors -> fc6 or fc7
        scores = self.svms.region_scores(features, spread)  # vectors -> scores
        if self.regressors is not None and self.postprocess_settings.nms_before_regression:
            scores = suppressed(scores, pyramid.size, self.postprocess_settings)  # scores -> those of few proposals
        return pool5, scores

    def save(self, folder: Path | str) -> None:
        """Write a folder that `load` reads: see ``detector_files.write_detector``."""
        write_detector(folder, {one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> Detector:
        """Read what `save` wrote; raises as ``detector_files.read_detector``."""
        return cls(**read_detector(folder, device))
