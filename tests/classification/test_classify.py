import numpy as np
import pytest

from detection.classification.classify import evaluate_view, load_classifier, train_classifier
from detection.classification.settings import ClassifierSettings
from detection.classification.views import ViewSource
from detection.data import DataError
from detection.features import FeatureSettings
from detection.pipeline.work import Work
from detection.storage import write_arrays
from detection.types import ClassificationImage

FEATURES = FeatureSettings("timm/mobilenetv3_small_050", "random", levels=(2, 1))
CLASSES = ("a", "b", "c")


@pytest.fixture
def maps(tmp_path):
    """Dense maps in place of images, two classes by turns; the third is on none."""
    rng, images = np.random.default_rng(0), []
    for number in range(12):
        values = rng.random((4, 3 + number % 3, 5)).astype(np.float16)
        values[number % 2, 1, 1] += 2
        np.save(tmp_path / f"{number}.npy", values)
        presence = np.where(np.arange(3) == number % 2, 1, -1).astype(np.int8)
        images.append(ClassificationImage(str(number), tmp_path / f"{number}.npy", presence))
    return images


def test_svms_on_maps_learn_and_are_kept(maps, tmp_path):
    source = ViewSource(tmp_path, FEATURES, "random")
    settings, work = ClassifierSettings(method="svm", flips=False, svm_c=10), Work()
    classifier = train_classifier(source, maps[:8], 3, settings, work)
    result = evaluate_view(classifier, source, maps[8:], CLASSES, "full", (224,), work)
    assert (result.view, result.sizes, result.accuracy) == ("full", (224,), 1.0)
    assert [one.ap for one in result.evaluation.per_class[:2]] == pytest.approx([1, 1])
    vectors = np.random.default_rng(1).random((5, 20), np.float32)
    scores = classifier.score(vectors)
    assert (scores[:, 2] == -1).all(), "no example of the class"
    classifier.save(tmp_path / "c.safetensors", CLASSES, FEATURES)
    again, classes = load_classifier(tmp_path / "c.safetensors")
    assert classes == CLASSES
    assert np.array_equal(again.score(vectors), scores)
    with pytest.raises(ValueError, match="expected a network"):
        classifier.export_onnx(tmp_path / "c.onnx")


def test_an_image_without_a_vector_has_no_score(maps, tmp_path):
    maps[3].path.write_bytes(b"no array")
    work = Work()
    with pytest.raises(DataError, match=r"3\.npy"):
        train_classifier(ViewSource(tmp_path, FEATURES, "random"), maps, 3, ClassifierSettings(method="svm"), work)


def test_another_kind_of_file(tmp_path):
    write_arrays(tmp_path / "x.safetensors", {"a": np.zeros(1)}, {"format_version": "1", "kind": "head"})
    with pytest.raises(ValueError, match="expected a classifier of format_version 1"):
        load_classifier(tmp_path / "x.safetensors")
