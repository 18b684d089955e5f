"""The pipeline of one image in one paragraph."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from detection.data import DataError, Problems, read_image
from detection.detector_files import check_parts, read_detector, write_detector
from detection.engines import parallel_executor, single_threaded_pool
from detection.features import FeatureExtractor
from detection.features.extractor import on_host
from detection.geometry import flip
from detection.learning import BoxRegressors, Calibration, LinearSVMs, PostprocessSettings, postprocess, suppressed
from detection.learning.scored_regions import ScoredRegions, in_rounds, mean_of_sides
from detection.parallel import ordered_map
from detection.proposals import ProposalSettings, propose
from detection.storage import notice
from detection.types import Detections, FeaturePyramid, MapFunction, Proposals, RegionScores

_IMAGES_A_THREAD = 2  # in flight: enough to keep all threads busy, few enough to bound memory


@dataclass(frozen=True)
class Detector:
    """All that finding objects in a new image needs.

    classes: names in the order of the labels. extractor: image to maps to vectors. svms: vectors to scores.
    regressors: better boxes, or None. The settings say how proposals are made and scores become detections.
    calibration: margins to probabilities, and from where on a class is shown; None: fixed ones, which are rough.
    notes: plain facts, e.g. the keys of what it was trained on.
    Raises ValueError where the parts are not of these classes and layers.
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
        check_parts(self.classes, self.extractor, self.svms, self.regressors, self.calibration)

    def detect(self, image: Any, image_id: str = "", threads: int | None = None) -> Detections:
        """Find objects in an image: a path, a PIL image or an (H, W, 3) uint8 RGB array.

        Files are turned upright by their EXIF rotation; boxes are in that frame. Labels index ``self.classes``. All
        that is found comes back, by descending margin, with its probability of being right; `shown` chooses from it.
        threads: how many work on proposals, scales and vectors in parallel, each part by one thread alone: no bit
        depends on their number; None: as many as torch uses. Raises DataError where the image cannot be read.
        """
        if self.calibration is None:
            notice("this detector was not calibrated: its probabilities are rough; sppnet calibrate --run RUN does it")
        rgb, executor = read_image(image), parallel_executor(threads)
        proposals = executor.submit(propose, image_id, rgb, self.proposal_settings)  # image -> proposals
        # image -> maps
        mirrored = self.postprocess_settings.mirrored
        pyramid = self.extractor.pyramid(image_id, rgb, executor.map, mirrored, stay=True)
        return self.detect_proposals(proposals.result(), pyramid, executor.map)

    def detect_many(
        self, images: Iterable[Any], workers: int | None = None, problems: Problems | None = None
    ) -> Iterator[Detections]:
        """Find objects in many images, several at a time; yields the ``Detections`` of each, in order.

        images: as `detect` takes them, read as they are needed, e.g. from a video. workers: images worked on at a time,
        each by one thread; None: as many as torch uses. image_id: an image's path, or its number in `images`.
        problems: lists the images that cannot be read and are left out; None: DataError is raised in their turn.
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

    def detect_proposals(self, proposals: Proposals, pyramid: FeaturePyramid, mapper: MapFunction = map) -> Detections:
        """The same from an image's proposals and maps; equal to `detect` bit for bit. Raises as `scored`."""
        regions = self.scored(proposals, pyramid, mapper)  # proposals, maps -> scores
        # scores, better boxes -> detections
        found = postprocess(regions.scores, pyramid.size, self.postprocess_settings, regions.refine)
        return self.sigmoids.applied(found)  # scores -> probabilities

    @property
    def sigmoids(self) -> Calibration:
        """The calibration, or the fixed one that stands for it."""
        return self.calibration or Calibration.fixed(len(self.classes))

    def shown(self, found: Detections) -> Detections:
        """Those of an image's detections that reach their class's threshold: what drawings and counts have."""
        return found.chosen(self.sigmoids.shown(found))

    def score_proposals(self, proposals: Proposals, pyramid: FeaturePyramid) -> RegionScores:
        """Every class's score and refined box for every region of `scored`; detection refines those it looks at."""
        return self.scored(proposals, pyramid).refined()

    def scored(self, proposals: Proposals, pyramid: FeaturePyramid, mapper: MapFunction = map) -> ScoredRegions:
        """Every class's score for every proposal and, in further rounds, for refined boxes, which come behind them.

        Raises ValueError where maps of the mirrored image are asked for and not there.
        """
        score, settings = partial(self._scored_boxes, pyramid=pyramid, mapper=mapper), self.postprocess_settings
        regions = score(proposals.boxes)
        if regions.refine is None:
            return regions
        if settings.nms_before_regression:
            few = suppressed(regions.scores, pyramid.size, settings)  # scores -> those of few proposals
            regions = replace(regions, scores=few)
        return in_rounds(regions, score, pyramid.size, settings.rounds)

    def _scored_boxes(self, boxes: np.ndarray, pyramid: FeaturePyramid, mapper: MapFunction) -> ScoredRegions:
        plain = self._scored_side(boxes, pyramid, mapper)
        if not self.postprocess_settings.mirrored:
            return plain
        if pyramid.mirrored is None:
            raise ValueError(
                f"maps of image {pyramid.image_id!r}: expected those of the mirrored image too (postprocess.mirrored), "
                "got none; extractor.pyramid(..., mirrored=True) makes them"
            )
        width = pyramid.size[1]
        return mean_of_sides(plain, self._scored_side(flip(boxes, width), pyramid.mirrored, mapper), width)

    def _scored_side(self, boxes: np.ndarray, pyramid: FeaturePyramid, mapper: MapFunction) -> ScoredRegions:
        pool5 = self.extractor.pool(pyramid, boxes, distinct=True, mapper=mapper)  # -> distinct vectors
        features = None if self.svms.layer == "pool5" else self.extractor.head(pool5)  # vectors -> fc6 or fc7
        pool5 = on_host(pool5)
        features = features or pool5
        scores = self.svms.region_scores(features, mapper)  # vectors -> scores
        refine = self.regressors and partial(self.regressors.boxes, pool5, mapper=mapper)  # vectors -> better boxes
        return ScoredRegions(scores, refine)

    detect_windows, score_windows = detect_proposals, score_proposals  # the last version's names, for this one still

    def save(self, folder: Path | str) -> None:
        """Write a folder that `load` reads: see ``detector_files.write_detector``."""
        write_detector(folder, vars(self))

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> Self:
        """Read what `save` wrote; raises as ``detector_files.read_detector``."""
        return cls(**read_detector(folder, device))
