"""Stage: classifiers of whole images, trained and evaluated on any views of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detection.classification.evaluation import accuracy, evaluate_classification
from detection.classification.settings import ClassifierSettings
from detection.classification.views import (
    CORNERS,
    CROP_SHARE,
    NINE,
    crop_vectors,
    cut_centre,
    full_vector,
    mirrored,
    view_settings,
    window_vectors,
)
from detection.data import DataError, read_image
from detection.data.formats.image_folders import MAP_EXTENSIONS, read_map
from detection.engines import limit_threads
from detection.evaluation import Evaluation
from detection.features import FeatureExtractor, FeatureSettings, MapCache, settings_key
from detection.features.cache import map_settings
from detection.features.resize import normalise, resize_image
from detection.learning import fit_linear_svm
from detection.pipeline.source import shared_extractor
from detection.pipeline.work import Work, map_images, progress
from detection.pooling import pool_map
from detection.storage import file_fingerprint, read_arrays, write_arrays, write_text
from detection.types import ClassificationImage, FeaturePyramid

if TYPE_CHECKING:
    from detection.backbones import Backbone
    from detection.classification.network import SPPNet

FORMAT_VERSION = "1"
# Side in px of the windows of the full map, whatever its size (paper, section 3.1.5), and of the training image the
# short side of the map that gives the standard ten views.
VIEW_SIDE, VIEW_SIZE = 224, 256
# (height, width) in px of the image that a network is traced on for ONNX; it decides nothing.
_EXAMPLE_SIZE = (160, 224)
VIEWS = ("full", "crop", "ten", "multi")


@dataclass(frozen=True)
class ViewSource:
    """Where the maps of views are kept and how those absent are made; picklable. weights: of the backbone.

    backbone: another network than that of the settings, whose maps are not kept; None: theirs.
    """

    folder: Path
    settings: FeatureSettings
    weights: str
    device: str = "cpu"
    threads: int = 1
    backbone: Backbone | None = None

    def vectors(self, image: ClassificationImage, view: str, size: int, flips: bool) -> np.ndarray:
        """The vectors of one view of an image, (V, D) float32: V 1, with its mirror image 2, or of several places.

        view: "full"; "crop" (the middle square of 224/256 of the short side); "ten" (the same square in the middle
        and the corners, with mirror images); "multi" (9 windows of 224 px from the map of the full image at `size`,
        with mirror images, each once). size: short side in px; of crops the side of what the network sees. flips: the
        mirror image too where it is not part of the view. Raises DataError for an unusable image.
        """
        if image.path.suffix.lower() in MAP_EXTENSIONS:
            return pool_map(read_map(image.path), self.settings.levels)[None]
        settings = view_settings(self.settings, [size])
        extractor = self._extractor(settings)
        both = flips or view in ("ten", "multi")
        rgb = read_image(image.path)
        found = []
        for picture, name in ((rgb, ""), (mirrored(rgb), "#mirrored"))[: 1 + both]:
            with limit_threads(self.threads):
                found.append(self._of_picture(extractor, image, picture, name, view))
        return np.concatenate(found)

    def _of_picture(
        self, extractor: FeatureExtractor, image: ClassificationImage, picture: np.ndarray, name: str, view: str
    ) -> np.ndarray:
        size, levels = picture.shape[:2], extractor.settings.levels
        if view == "ten":
            return crop_vectors(extractor, picture, CORNERS.boxes(size, CROP_SHARE * min(size)))
        if view == "crop":
            picture, name = cut_centre(picture), "#crop" + name
        pyramid = self._pyramid(extractor, image, picture, name)
        if view == "multi":
            places = NINE.boxes(size, VIEW_SIDE / float(pyramid.scales[0]))
            return window_vectors(pyramid, 0, np.unique(places, axis=0), levels)
        return full_vector(pyramid, 0, levels)[None]

    def _extractor(self, settings: FeatureSettings) -> FeatureExtractor:
        if self.backbone is None:
            return shared_extractor(settings, self.device)
        # Convolutions that were trained are torch's, whatever computes the frozen ones.
        return FeatureExtractor(replace(settings, engine=self.backbone.engine), self.backbone, device=self.device)

    def _pyramid(
        self, extractor: FeatureExtractor, image: ClassificationImage, rgb: np.ndarray, name: str
    ) -> FeaturePyramid:
        settings = extractor.settings
        if self.backbone is not None:
            return extractor.pyramid(image.image_id + name, rgb)
        cache = MapCache(self.folder, settings_key(settings, self.weights), map_settings(settings))
        image_id, key = image.image_id + name, file_fingerprint(image.path)
        found = cache.read(image_id, key)
        if found is None:
            found = extractor.pyramid(image_id, rgb)
            cache.write(found, key)
        return found


def _view_task(image: ClassificationImage, source: ViewSource, view: str, size: int, flips: bool) -> np.ndarray:
    return source.vectors(image, view, size, flips)


def view_vectors(
    source: ViewSource, images: Sequence[ClassificationImage], view: str, size: int, flips: bool, work: Work
) -> list[np.ndarray]:
    """`ViewSource.vectors` of every image, in order; they are made ``work.workers`` at a time.

    Raises DataError for the first image that cannot be read: an image without a vector has no score.
    """
    task = partial(_view_task, source=source, view=view, size=size, flips=flips)
    before = len(work.problems)
    found = [vectors for _, vectors in map_images(task, images, work, f"{view} {size} px")]
    if len(found) != len(images):
        first = list(work.problems)[before]
        raise DataError(first.kind, first.file, first.message)
    return found


Scorer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Classifier:
    """A trained classifier: vectors (V, D) -> scores (V, L) of each.

    arrays: what `save` writes. backbone: its own convolutions, if they were trained; None: those of the features.
    network: from images to scores, where there is one (method softmax).
    """

    score: Scorer
    arrays: dict[str, np.ndarray]
    backbone: Backbone | None = None
    network: SPPNet | None = None

    def export_onnx(self, path: Path) -> None:
        """Write the network as ONNX: (N, 3, H, W) normalised images, sides from 64 px on, -> (N, L) logits.

        Raises ValueError for SVMs, ImportError without the extra ``onnx``.
        """
        if self.network is None:
            raise ValueError("ONNX: expected a network (classifier.method softmax), got SVMs")
        from detection.pooling.torch_pooling import export_onnx

        export_onnx(self.network, path, *_EXAMPLE_SIZE, channels=3)

    def save(self, path: Path, classes: Sequence[str], settings: ClassifierSettings, features: FeatureSettings) -> None:
        """Write one file: arrays, and how they came about."""
        metadata = {
            "format_version": FORMAT_VERSION,
            "kind": f"classifier {settings.method}",
            "classes": "\n".join(classes),
            "backbone": features.backbone,
            "stages": " ".join(map(str, features.stages)),
            "levels": " ".join(map(str, features.levels)),
        }
        write_arrays(path, self.arrays, metadata)


def load_classifier(path: Path) -> tuple[Classifier, tuple[str, ...]]:
    """(classifier, classes) of `Classifier.save`. Raises ValueError for another kind of file or version."""
    arrays, metadata = read_arrays(path)
    kinds = {f"classifier {method}" for method in ("svm", "softmax")}
    if metadata.get("format_version") != FORMAT_VERSION or metadata.get("kind") not in kinds:
        raise ValueError(f"{path}: expected a classifier of format_version {FORMAT_VERSION}, got {metadata}")
    classes = tuple(metadata["classes"].split("\n"))
    if metadata["kind"].endswith("svm"):
        return _svm_classifier(arrays), classes
    from detection.classification.network import network_from

    stages, levels = (tuple(int(one) for one in metadata[key].split()) for key in ("stages", "levels"))
    network = network_from(arrays, metadata["backbone"], stages, levels)
    return _softmax_classifier(network, arrays), classes


def train_classifier(
    source: ViewSource,
    images: Sequence[ClassificationImage],
    num_classes: int,
    settings: ClassifierSettings,
    work: Work,
    log: Path | None = None,
) -> Classifier:
    """Train on labelled images; see `ClassifierSettings`. log: CSV file of the epochs' losses."""
    if settings.method == "svm":
        return _train_svms(source, images, num_classes, settings, work)
    return _train_softmax(source, images, num_classes, settings, work, log)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)


def _svm_classifier(arrays: dict[str, np.ndarray]) -> Classifier:
    return Classifier(lambda vectors: _unit(vectors) @ arrays["weights"].T + arrays["biases"], arrays)


def _train_svms(source, images, num_classes: int, settings: ClassifierSettings, work: Work) -> Classifier:
    found = view_vectors(source, images, settings.view, settings.sizes[0], settings.flips, work)
    vectors = _unit(np.concatenate(found))
    presence = np.repeat([one.presence for one in images], [len(one) for one in found], axis=0)
    weights = np.zeros((num_classes, vectors.shape[1]), np.float32)
    biases = np.full(num_classes, -1.0, np.float32)
    for label in range(num_classes):
        # An image with difficult objects alone is neither.
        known = presence[:, label] != 0
        signs = presence[known, label].astype(np.int64)
        if (signs > 0).any() and (signs < 0).any():
            weights[label], biases[label] = fit_linear_svm(
                vectors[known], signs, C=settings.svm_c, positive_weight=1.0, seed=settings.seed
            )
    return _svm_classifier({"weights": weights, "biases": biases})


def _train_softmax(source, images, num_classes: int, settings, work: Work, log: Path | None) -> Classifier:
    from detection.classification import network as networks

    flips = settings.flips
    # (N, 1 or 2, D) at each size: as they are and mirrored.
    known = {size: np.stack(view_vectors(source, images, settings.view, size, flips, work)) for size in settings.sizes}
    everything = np.concatenate([one.reshape(-1, one.shape[-1]) for one in known.values()])
    extractor = shared_extractor(view_settings(source.settings, settings.sizes[:1]), source.device)
    backbone = extractor.backbone if settings.frozen else networks.trainable(extractor.backbone, source.device)
    scaling = networks.scaling_of(everything, settings)
    network = networks.new_network(backbone, source.settings.levels, num_classes, settings, scaling).to(source.device)
    if settings.frozen:
        batch = networks.batches_of_vectors(known, source.device)
    else:
        pixels = partial(_network_input, images, settings.view, backbone.mean, backbone.std)
        batch = networks.batches_of_images(network, pixels, source.device)
    lines = ["epoch,size,loss\n"]
    with progress(work.console, "epochs", settings.epochs) as advance, limit_threads(work.threads):

        def on_epoch(epoch: int, loss: float) -> None:
            lines.append(f"{epoch + 1},{settings.sizes[epoch % len(settings.sizes)]},{loss:.6g}\n")
            advance()

        targets = networks.soft_targets(np.array([one.presence for one in images]))
        networks.train_network(network, batch, targets, settings, on_epoch)
    if log is not None:
        write_text(log, "".join(lines))
    return _softmax_classifier(network, networks.network_arrays(network, not settings.frozen))


def _softmax_classifier(network: SPPNet, arrays: dict[str, np.ndarray]) -> Classifier:
    """With convolutions that were trained, vectors are of other maps than those of the frozen ones."""
    own = network.backbone if any(name.startswith("tuned.") for name in arrays) else None
    return Classifier(network.eval().probabilities, arrays, own, network)


def _network_input(
    images: Sequence[ClassificationImage], view: str, mean: tuple, std: tuple, row: int, size: int, flip: bool
) -> np.ndarray:
    """(H, W, 3) float32 normalised, resized as for the maps."""
    rgb = read_image(images[row].path)
    rgb = cut_centre(rgb) if view == "crop" else rgb
    rgb = mirrored(rgb) if flip else rgb
    return resize_image(normalise(rgb, mean, std), size / min(rgb.shape[:2]))


def score_images(
    classifier: Classifier,
    source: ViewSource,
    images: Sequence[ClassificationImage],
    view: str,
    sizes: Sequence[int],
    work: Work,
) -> np.ndarray:
    """Scores (N, L): the mean over the view's vectors, and over `sizes` where the view is "multi"."""
    if classifier.backbone is not None:
        source = replace(source, backbone=classifier.backbone)
    total = 0.0
    for size in sizes:
        found = view_vectors(source, images, view, size, False, work)
        total = total + np.array([classifier.score(one).mean(axis=0) for one in found])
    return total / len(sizes)


@dataclass(frozen=True)
class ViewResult:
    """How a classifier did on one view of the test images. accuracy: share whose best class is on the image."""

    view: str
    sizes: tuple[int, ...]
    accuracy: float
    evaluation: Evaluation

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "view": self.view,
            "sizes": list(self.sizes),
            "accuracy": None if np.isnan(self.accuracy) else self.accuracy,
            "mAP": self.evaluation.mean_ap,
            "per_class": {one.name: one.ap for one in self.evaluation.per_class},
        }


def evaluate_view(
    classifier: Classifier,
    source: ViewSource,
    images: Sequence[ClassificationImage],
    classes: Sequence[str],
    view: str,
    sizes: Sequence[int],
    work: Work,
) -> ViewResult:
    """Score the test images by one view and measure."""
    scores = score_images(classifier, source, images, view, sizes, work)
    return ViewResult(view, tuple(sizes), accuracy(scores, images), evaluate_classification(scores, images, classes))
