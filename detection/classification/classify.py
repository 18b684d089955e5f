"""Classifiers of whole images, trained and evaluated on any views of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from detection.backbones.backbone import Backbone
from detection.classification.evaluation import accuracy, evaluate_classification
from detection.classification.network import (
    SPPNet,
    batches_of_images,
    batches_of_vectors,
    network_arrays,
    network_from,
    new_network,
    scaling_of,
    soft_targets,
    train_network,
    trainable,
)
from detection.classification.settings import ClassifierSettings
from detection.classification.views import CENTRE, ViewSource, crops, mirrored, view_vectors
from detection.data import read_image
from detection.engines import limit_threads
from detection.evaluation import Evaluation
from detection.features import FeatureSettings
from detection.features.resize import normalise, resize_image
from detection.learning import fit_linear_svm
from detection.pipeline.work import Work
from detection.pooling.torch_pooling import SpatialPyramidPooling, export_onnx
from detection.storage import read_arrays, write_arrays, write_text
from detection.types import ClassificationImage

FORMAT_VERSION = "1"
_KINDS = ("classifier svm", "classifier softmax")
# (height, width) in px of the image that a network is traced on for ONNX; it decides nothing.
_EXAMPLE_SIZE = (160, 224)


@dataclass(frozen=True)
class Classifier:
    """A trained classifier: vectors (V, D) -> scores (V, L) of each.

    arrays: what `save` writes. network: from images to scores, where there is one (method softmax).
    """

    score: Callable[[np.ndarray], np.ndarray]
    arrays: dict[str, np.ndarray]
    network: SPPNet | None = None

    @property
    def backbone(self) -> Backbone | None:
        """Its own convolutions, if they were trained; None: those of the features."""
        return self.network.backbone if any(name.startswith("tuned.") for name in self.arrays) else None

    def export_onnx(self, path: Path) -> None:
        """Write the network as ONNX: (N, 3, H, W) normalised images, sides from 64 px on, -> (N, L) logits.

        Raises ValueError for SVMs, ImportError without the extra ``onnx``.
        """
        if self.network is None:
            raise ValueError("ONNX: expected a network (classifier.method softmax), got SVMs")
        export_onnx(self.network, path, *_EXAMPLE_SIZE, channels=3)

    def save(self, path: Path, classes: Sequence[str], features: FeatureSettings) -> None:
        """Write one file: arrays, and how they came about."""
        metadata = {
            "format_version": FORMAT_VERSION,
            "kind": _KINDS[self.network is not None],
            "classes": "\n".join(classes),
            "backbone": features.backbone,
            "stages": " ".join(map(str, features.stages)),
            "levels": " ".join(map(str, features.levels)),
            "pooling": features.pooling,
        }
        write_arrays(path, self.arrays, metadata)


def load_classifier(path: Path) -> tuple[Classifier, tuple[str, ...]]:
    """(classifier, classes) of `Classifier.save`. Raises ValueError for another kind of file or version."""
    arrays, metadata = read_arrays(path)
    if metadata.get("format_version") != FORMAT_VERSION or metadata.get("kind") not in _KINDS:
        raise ValueError(f"{path}: expected a classifier of format_version {FORMAT_VERSION}, got {metadata}")
    classes = tuple(metadata["classes"].split("\n"))
    if metadata["kind"] == _KINDS[0]:
        return _svm_classifier(arrays), classes
    stages = tuple(int(one) if one.isdecimal() else one for one in metadata["stages"].split())
    # Classifiers of before there was a choice pool maxima.
    pooling = SpatialPyramidPooling([int(one) for one in metadata["levels"].split()], metadata.get("pooling", "max"))
    network = network_from(arrays, metadata["backbone"], stages, pooling)
    return Classifier(network.probabilities, arrays, network), classes


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
            fitted = fit_linear_svm(vectors[known], signs, C=settings.svm_c, positive_weight=1.0, seed=settings.seed)
            weights[label], biases[label] = fitted
    return _svm_classifier({"weights": weights, "biases": biases})


def _train_softmax(source, images, num_classes: int, settings, work: Work, log: Path | None) -> Classifier:
    # (N, 1 or 2, D) at each size: as they are and mirrored.
    vectors_at = partial(view_vectors, source, images, settings.view, flips=settings.flips, work=work)
    known = {size: np.stack(vectors_at(size)) for size in settings.sizes}
    scaling = scaling_of(np.concatenate([one.reshape(-1, one.shape[-1]) for one in known.values()]), settings)
    frozen = source.extractor(settings.sizes[0]).backbone
    backbone = frozen if settings.frozen else trainable(frozen, source.device)
    pooling = SpatialPyramidPooling(source.settings.levels, source.settings.pooling)
    network = new_network(backbone, pooling, num_classes, settings, scaling).to(source.device)
    if settings.frozen:
        batch = batches_of_vectors(known, source.device)
    else:
        batch = batches_of_images(network, partial(_network_input, images, settings.view, backbone), source.device)
    targets = soft_targets(np.array([one.presence for one in images]))
    lines = ["epoch,size,loss\n"]
    with work.progress("epochs", settings.epochs) as advance, limit_threads(work.threads):
        for epoch, loss in enumerate(train_network(network, batch, targets, settings)):
            lines.append(f"{epoch + 1},{settings.sizes[epoch % len(settings.sizes)]},{loss:.6g}\n")
            advance()
    if log is not None:
        write_text(log, "".join(lines))
    return Classifier(network.eval().probabilities, network_arrays(network, not settings.frozen), network)


def _network_input(
    images: Sequence[ClassificationImage], view: str, backbone: Backbone, row: int, size: int, flip: bool
) -> np.ndarray:
    """(H, W, 3) float32 normalised, resized as for the maps."""
    rgb = read_image(images[row].path, max_pixels=None)
    if view == "crop":
        (rgb,) = crops(rgb, CENTRE)
    if flip:
        rgb = mirrored(rgb)
    return resize_image(normalise(rgb, backbone.mean, backbone.std), size / min(rgb.shape[:2]))


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
    """How a classifier did on one view of the test images. accuracy: share whose best class is on the image, or NaN."""

    view: str
    sizes: tuple[int, ...]
    accuracy: float
    evaluation: Evaluation


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
