from dataclasses import replace

import numpy as np
import pytest
import torch

from detection.classification.classify import Classifier
from detection.classification.network import (
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
from detection.classification.views import full_vector, view_settings
from detection.features import FeatureExtractor, FeatureSettings
from detection.features.resize import normalise
from detection.pooling.torch_pooling import SpatialPyramidPooling, export_onnx

FEATURES = FeatureSettings(
    "timm/mobilenetv3_small_050", "random", stages=(16, 32), short_sides=(64,), levels=(2, 1), engine="torch"
)
SETTINGS = ClassifierSettings(widths=(16, 8), epochs=24, batch_size=8, dropout=0.2, learning_rate=0.05, sizes=(64, 48))


@pytest.fixture(scope="module")
def backbone():
    return FeatureExtractor.from_settings(FEATURES).backbone


def learnable(count=40, length=12, classes=3, seed=0):
    """Vectors (N, 2, D) at two sizes that carry their class, and its presence."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    values = rng.normal(0, 0.3, (2, count, 2, length)).astype(np.float32)
    values[:, np.arange(count), :, labels] += 2
    presence = np.where(np.arange(classes) == labels[:, None], 1, -1).astype(np.int8)
    return dict(zip(SETTINGS.sizes, values, strict=True)), presence


def trained(backbone, settings, known, presence, seen=None):
    scaling = scaling_of(np.concatenate([one.reshape(-1, one.shape[-1]) for one in known.values()]), settings)
    pooling = SpatialPyramidPooling(FEATURES.levels)
    network = new_network(backbone, pooling, presence.shape[1], settings, scaling)
    batch, calls = batches_of_vectors(known, "cpu"), []

    def recorded(rows, size, mirrored):
        calls.append((size, rows, mirrored))
        return batch(rows, size, mirrored)

    losses = list(train_network(network, recorded, soft_targets(presence), settings))
    return network.eval(), losses, calls


def test_targets():
    presence = np.array([[1, -1, 1], [0, 1, -1], [-1, 0, -1]], np.int8)
    assert soft_targets(presence).tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 0]]


def test_it_learns_at_sizes_in_turn(backbone):
    known, presence = learnable()
    network, losses, calls = trained(backbone, SETTINGS, known, presence)
    assert losses[-1] < 0.3 * losses[0]
    assert (network.probabilities(known[64][:, 0]).argmax(axis=1) == presence.argmax(axis=1)).all()
    sizes = [size for size, _, _ in calls]
    assert sizes == ([64] * 5 + [48] * 5) * 12
    rows = np.concatenate([rows for _, rows, _ in calls[:5]])
    assert sorted(rows) == list(range(40))
    assert 0 < np.concatenate([flips for _, _, flips in calls]).mean() < 1
    probabilities = network.probabilities(known[48][:5, 1])
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_same_seed_gives_the_same_network(backbone):
    known, presence = learnable()
    presence[3] = -1
    first, losses, calls = trained(backbone, SETTINGS, known, presence)
    second, again, _ = trained(backbone, SETTINGS, known, presence)
    assert losses == again
    assert torch.equal(first.head.fc6.weight, second.head.fc6.weight)
    assert all(3 not in rows for _, rows, _ in calls), "an image without any class is no example"


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("size", [(64, 96), (50, 70), (33, 47), (20, 200)])
def test_any_size_and_the_same_vectors_as_from_maps(backbone, size, pooling):
    scaling = scaling_of(np.zeros((2, 5 * sum(backbone.channels))), SETTINGS)
    network = new_network(backbone, SpatialPyramidPooling(FEATURES.levels, pooling), 3, SETTINGS, scaling)
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = torch.from_numpy(normalise(rgb, backbone.mean, backbone.std)[None]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        pooled = network.pooled(image)[0].numpy()
        assert network.eval()(image).shape == (1, 3)
    settings = replace(view_settings(FEATURES, min(size)), pooling=pooling)
    expected = full_vector(FeatureExtractor(settings, backbone).pyramid("a", rgb), settings)
    # Maps on disk are rounded to float16.
    assert pooled == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_convolutions_can_be_trained_and_kept(backbone, tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40 + 8 * n, 64, 3), dtype=np.uint8) for n in range(4)]
    presence = np.array([[1, -1], [-1, 1]] * 2, np.int8)
    settings = ClassifierSettings(widths=(8, 8), epochs=2, batch_size=2, sizes=(32,), frozen=False, backbone_rate=0.01)
    own = trainable(backbone, "cpu")
    pooling = SpatialPyramidPooling((1,))
    network = new_network(own, pooling, 2, settings, scaling_of(np.ones((2, sum(own.channels))), settings))
    before = {name: value.clone() for name, value in own.network.state_dict().items()}

    def pixels(row, size, flip):
        return normalise(images[row][:, ::-1] if flip else images[row], own.mean, own.std)

    batch = batches_of_images(network, pixels, "cpu")
    assert len(list(train_network(network, batch, soft_targets(presence), settings))) == 2
    moved = [name for name, value in own.network.state_dict().items() if not torch.equal(value, before[name])]
    assert len(moved) > len(before) / 2
    assert all(torch.equal(value, backbone.network.state_dict()[name]) for name, value in before.items())
    again = network_from(network_arrays(network, tuned=True), own.name, own.stages, pooling)
    image = torch.randn(1, 3, 50, 66)
    with torch.inference_mode():
        assert torch.equal(again(image), network.eval()(image))
    kept, frozen = (
        Classifier(network.probabilities, network_arrays(network, tuned), network) for tuned in (True, False)
    )
    assert (kept.backbone, frozen.backbone) == (network.backbone, None)
    renamed = {name.replace("tuned.", "tuned.old."): value for name, value in network_arrays(network, True).items()}
    with pytest.raises(ValueError, match="under the names that this version gives them, got old"):
        network_from(renamed, own.name, own.stages, pooling)


def test_the_whole_network_as_onnx(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    settings = FeatureSettings("alexnet", "random", stages=(16,), levels=(2, 1), engine="torch")
    own = FeatureExtractor.from_settings(settings).backbone
    pooling = SpatialPyramidPooling((2, 1))
    network = new_network(own, pooling, 3, SETTINGS, scaling_of(np.eye(2, 5 * 256), SETTINGS)).eval()
    export_onnx(network, tmp_path / "network.onnx", 96, 128, channels=3)
    session = runtime.InferenceSession(tmp_path / "network.onnx")
    for size in ((96, 128), (64, 70), (101, 333)):
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        (logits,) = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            assert logits == pytest.approx(network(images).numpy(), rel=1e-3, abs=1e-4)
