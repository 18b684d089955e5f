"""A whole run with a transformer: two of its blocks joined, means of tokens, and what is kept of it."""

import numpy as np
import pytest
import timm

from detection.data import read_image
from detection.detector import Detector
from detection.features.cache import estimate_bytes
from detection.pipeline.runner import run_all
from detection.pipeline.stages.detections import read_detections
from detection.storage import read_yaml

OPTIONS = (
    "--features.backbone=timm/vit_tiny_patch16_224", "--features.weights=random", "--features.pooling=mean",
    "--features.stages=blocks.0,blocks.1.norm", "--features.short_sides=[96,160]", "--features.engine=torch",
)  # fmt: skip


@pytest.fixture(scope="module")
def shallow():
    """The transformer with two blocks."""
    made, patch = timm.create_model, pytest.MonkeyPatch()
    patch.setattr(timm, "create_model", lambda name, **options: made(name, **{"depth": 2, **options}))
    yield
    patch.undo()


def test_a_run_from_photos_to_a_detector(shallow, open_run, tmp_path):
    experiment = open_run(tmp_path / "run", *OPTIONS)
    evaluation = run_all(experiment)
    assert 0 < evaluation.mean_ap <= 1
    kept = read_yaml(experiment.run.record_file)["settings"]["features"]
    assert (kept["stages"], kept["pooling"]) == (["blocks.0", "blocks.1.norm"], "mean")
    (about,) = experiment.run.features.glob("*/about.yaml")
    assert read_yaml(about)["stages"] == ["blocks.0", "blocks.1.norm"]
    files = [path.stat().st_size for path in about.parent.glob("*.safetensors")]
    estimate = estimate_bytes([one.size for one in experiment.images], experiment.settings.features)
    assert sum(files) == pytest.approx(estimate, rel=0.01)
    # The folder alone is a detector, with the run's bits.
    detector = Detector.load(experiment.run.detector)
    assert detector.extractor.length() == 2 * 192 * sum(n * n for n in detector.extractor.settings.levels)
    image, expected = experiment.test_images[1], read_detections(experiment)[1]
    found = detector.detect(read_image(image.path))
    assert expected.image_id == image.image_id
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert len(found.scores)


def test_other_stages_have_other_keys(shallow, open_run, tmp_path):
    first, second, means = (
        open_run(tmp_path / "run", *OPTIONS, *more).source.cache().key
        for more in ((), ("--features.stages=blocks.1,blocks.0",), ("--features.pooling=max",))
    )
    assert first == means != second
