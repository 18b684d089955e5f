"""The pipeline of one image in one paragraph, and a trained detector as one folder."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from detection.data import DataError, Problems, read_image
from detection.engines import ordered_map, parallel_executor, single_threaded_pool
from detection.features import FeatureExtractor, FeatureSettings
from detection.learning import BoxRegressors, Calibration, LinearSVMs, PostprocessSettings, postprocess, suppressed
from detection.proposals import ProposalSettings, propose
from detection.storage import file_fingerprint, read_arrays, read_yaml, write_arrays, write_text, write_yaml
from detection.types import Detections, FeaturePyramid, MapFunction, Proposals, RegionFeatures, RegionScores

FORMAT_VERSION = 1
_DESCRIPTION = "detector.yaml"
_CLASSES = "classes.txt"
_SVMS = "svms.safetensors"
_REGRESSORS = "regressors.safetensors"
_NETWORK = "network.safetensors"
_CALIBRATION = "calibration.safetensors"
_REQUIRED = {_CLASSES, _SVMS, _NETWORK}
_KEYS = {"format_version", "proposals", "features", "postprocess", "notes", "files"}
# Images handed out ahead of the one awaited, per worker: enough to keep all busy, few enough to bound memory.
_AHEAD = 2
# Where a detector is written before its files are moved to their places.
_STAGING = ".tmp-detector"
_NEW = ".new-"


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
    postprocess_settings: PostprocessSettings = dataclasses.field(default_factory=PostprocessSettings)
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        length = self.extractor.length(self.svms.layer)
        if self.svms.weights.shape != (len(self.classes), length):
            raise ValueError(
                f"detector: expected SVM weights of {len(self.classes)} classes x {length} values of "
                f"{self.svms.layer}, got {self.svms.weights.shape}"
            )
        expected = (len(self.classes), 4, self.extractor.length("pool5"))
        if self.regressors is not None and self.regressors.weights.shape != expected:
            raise ValueError(
                f"detector: expected regressor weights of {expected[0]} classes x 4 x {expected[2]} values of pool5, "
                f"got {self.regressors.weights.shape}"
            )
        if self.calibration is not None and len(self.calibration.slopes) != len(self.classes):
            raise ValueError(
                f"detector: expected a calibration of {len(self.classes)} classes, got {len(self.calibration.slopes)}"
            )

    def detect(self, image: Any, image_id: str = "", threads: int | None = None) -> Detections:
        """Find objects in an image: a path, a PIL image or an (H, W, 3) uint8 RGB array.

        Files are turned upright by their EXIF rotation; boxes are in that frame. threads: how many may work on the
        proposals and the scales, then on parts of their vectors, side by side, each part by one thread alone, so that
        the result is the same bit for bit whatever their number; None: as many as torch uses
        (``torch.get_num_threads()``). Returns
        ``Detections``, labels index ``self.classes``. Raises DataError where the image cannot be read.
        """
        rgb, beside = read_image(image), parallel_executor(threads)
        proposals = beside.submit(propose, image_id, rgb, self.proposal_settings)  # image -> proposals
        pyramid = self.extractor.pyramid(image_id, rgb, beside.map)  # image -> maps
        return self.detect_proposals(proposals.result(), pyramid, beside.map)

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
            for found in ordered_map(self._detect_numbered, enumerate(images), pool, _AHEAD * count):
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
        """Write one folder that holds all that predicting needs, weights of the network too.

        A detector that is there is replaced in one step, the move of its description: until then the folder holds
        the old one, from then on the new one, whenever the process is cut short. Other files of the folder stay.
        """
        folder = Path(folder)
        staging = folder / _STAGING
        shutil.rmtree(staging, ignore_errors=True)
        self._write(staging)
        fingerprints = read_yaml(staging / _DESCRIPTION)["files"]
        # New files lie beside the old ones under names of their own, which `_found` knows.
        for name, one in fingerprints.items():
            if not _has(folder / name, one):
                os.replace(staging / name, _beside(folder, name, one))
        os.replace(staging / _DESCRIPTION, folder / _DESCRIPTION)
        for name, one in fingerprints.items():
            if _beside(folder, name, one).is_file():
                os.replace(_beside(folder, name, one), folder / name)
        for name in {_CLASSES, _SVMS, _NETWORK, _REGRESSORS, _CALIBRATION} - set(fingerprints):
            (folder / name).unlink(missing_ok=True)
        for path in folder.glob(f"{_NEW}*"):
            path.unlink()
        shutil.rmtree(staging)

    def _write(self, folder: Path) -> None:
        write_text(folder / _CLASSES, "".join(f"{name}\n" for name in self.classes))
        write_arrays(folder / _NETWORK, self.extractor.state(), {"format_version": str(FORMAT_VERSION)})
        _write_part(folder / _SVMS, self.svms)
        if self.regressors is not None:
            _write_part(folder / _REGRESSORS, self.regressors)
        if self.calibration is not None:
            _write_part(folder / _CALIBRATION, self.calibration)
        description = {
            "format_version": FORMAT_VERSION,
            "proposals": _plain(self.proposal_settings),
            "features": _plain(self.extractor.settings),
            "postprocess": _plain(self.postprocess_settings),
            "notes": self.notes,
            "files": {path.name: file_fingerprint(path) for path in sorted(folder.iterdir())},
        }
        write_yaml(folder / _DESCRIPTION, description)

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> Detector:
        """Read what `save` wrote; nothing else is needed, no network either.

        Raises FileNotFoundError where there is no detector, ValueError for a file that is absent, changed or of
        another format version; each names the file.
        """
        folder = Path(folder)
        description = read_description(folder)
        paths = {name: _found(folder, name, one) for name, one in description["files"].items()}
        # Detectors of before there was a choice say nothing of their engine.
        settings = _from_plain(FeatureSettings, {"engine": "torch", **description["features"]})
        state, _ = read_arrays(paths[_NETWORK])
        return cls(
            classes=tuple(paths[_CLASSES].read_text(encoding="utf-8").splitlines()),
            proposal_settings=_from_plain(ProposalSettings, description["proposals"]),
            extractor=FeatureExtractor.from_state(settings, state, device),
            svms=LinearSVMs.from_arrays(*read_arrays(paths[_SVMS])),
            regressors=_read_part(paths, _REGRESSORS, BoxRegressors),
            postprocess_settings=_from_plain(PostprocessSettings, description["postprocess"]),
            notes=description["notes"],
            calibration=_read_part(paths, _CALIBRATION, Calibration),
        )


def read_description(folder: Path | str) -> dict[str, Any]:
    """What ``detector.yaml`` of a saved detector says, without loading it. Raises as ``Detector.load``.

    Keys: format_version; proposals, features and postprocess (settings); notes; files (name -> fingerprint).
    """
    path = Path(folder) / _DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no trained detector here; tools/train_svm.py makes one")
    description = read_yaml(path)
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}")
    missing = sorted(_KEYS - set(description)) or sorted(_REQUIRED - set(description["files"]))
    if missing:
        raise ValueError(f"{path}: expected the keys {', '.join(missing)}, found none")
    return description


def read_calibration(folder: Path | str) -> Calibration | None:
    """The calibration of a saved detector alone, None where it has none. Raises as ``Detector.load``."""
    content = read_description(folder)["files"].get(_CALIBRATION)
    if content is None:
        return None
    return Calibration.from_arrays(*read_arrays(_found(Path(folder), _CALIBRATION, content)))


def _write_part(path: Path, part: LinearSVMs | BoxRegressors | Calibration) -> None:
    arrays, metadata = part.to_arrays()
    write_arrays(path, arrays, {"format_version": str(FORMAT_VERSION), **metadata})


def _read_part(paths: Mapping[str, Path], name: str, kind: type) -> Any:
    return kind.from_arrays(*read_arrays(paths[name])) if name in paths else None


def _beside(folder: Path, name: str, content: str) -> Path:
    """Where a file of this fingerprint lies until it takes the place of another."""
    return folder / f"{_NEW}{content}-{name}"


def _has(path: Path, content: str) -> bool:
    return path.is_file() and file_fingerprint(path) == content


def _found(folder: Path, name: str, content: str) -> Path:
    """The file of a saved detector that has this fingerprint. Raises ValueError where there is none."""
    for path in (folder / name, _beside(folder, name, content)):
        if _has(path, content):
            return path
    found = file_fingerprint(folder / name) if (folder / name).is_file() else "no file"
    raise ValueError(f"{folder / name}: expected fingerprint {content} as in {_DESCRIPTION}, got {found}")


def _plain(settings: Any) -> dict[str, Any]:
    def plain(value):
        return [plain(one) for one in value] if isinstance(value, (tuple, list)) else value

    return {name: plain(value) for name, value in dataclasses.asdict(settings).items()}


def _from_plain(kind: type, values: dict[str, Any]) -> Any:
    def tupled(value):
        return tuple(tupled(one) for one in value) if isinstance(value, list) else value

    names = {one.name for one in dataclasses.fields(kind)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise ValueError(f"{_DESCRIPTION}: expected the keys of {kind.__name__}, got {', '.join(unknown)}")
    return kind(**{name: tupled(value) for name, value in values.items()})
