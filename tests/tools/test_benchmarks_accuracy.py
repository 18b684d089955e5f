"""R-CNN-style crops and shared maps on a few images."""

from dataclasses import replace

import numpy as np
import pytest

from detection.data import DatasetSource
from detection.features import FeatureExtractor, FeatureSettings


@pytest.fixture
def accuracy(benchmark):
    from benchmarks import accuracy

    return accuracy


def test_the_command(accuracy, benchmark, measure, shapes, capsys):
    assert benchmark.main(["accuracy", f"--voc={shapes}"]) == 0
    assert "left out" in capsys.readouterr().out
    options = ["--accuracy_images=6", "--accuracy_proposals=4", "--levels=[[1],[2,1]]", "--short_sides=[64,96]"]
    (rows,) = measure("accuracy", f"--voc={shapes}", *options)
    assert [(row["levels"], row["vectors"]) for row in rows] == [
        (levels, kind) for levels in ([1], [2, 1]) for kind in ("R-CNN-style crops", "shared maps")
    ]
    assert all(0 <= row["mAP"] <= 1 for row in rows)
    for crops, shared in (rows[:2], rows[2:]):
        assert crops["against_crops"] == ""
        assert float(shared["against_crops"].split()[0]) == pytest.approx(shared["mAP"] - crops["mAP"], abs=6e-4)
    assert benchmark.main(["accuracy", f"--voc={shapes}", "--accuracy_images=2", "--folds=1"]) == 2


def test_both_kinds_of_vectors(accuracy, shapes, monkeypatch):
    sample = accuracy.draw_sample(DatasetSource("VOC2007", "trainval", str(shapes)), 2, 5)
    extractor = FeatureExtractor.from_settings(FeatureSettings(levels=(2, 1), short_sides=(64,)))
    shared, crops = (accuracy.with_vectors(sample, kind, extractor) for kind in (accuracy.SHARED, accuracy.CROPS))
    for image in sample.images:
        boxes = sample.boxes[image.image_id]
        assert len(boxes) == len(image.boxes) + 5
        pyramid = extractor.pyramid("", accuracy.read_image(image.path))
        np.testing.assert_array_equal(shared.values[image.image_id], extractor.pool(pyramid, boxes).values)
        rgb = accuracy.read_image(image.path)
        expected = accuracy.crop_vectors(extractor.backbone, rgb, boxes, (2, 1)).astype(np.float16)
        np.testing.assert_array_equal(crops.values[image.image_id], expected)
        regions = shared.regions(image)
        np.testing.assert_array_equal(regions.objects.boxes, image.boxes)
        assert len(regions.proposals.values) == 5


def test_held_out_photos_are_not_learned_from(accuracy, shapes, monkeypatch):
    """A photo's detections stay the same, bit for bit, whatever its own objects are said to be."""
    sample = accuracy.draw_sample(DatasetSource("VOC2007", "trainval", str(shapes)), 6, 40)
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal((len(one), 12)).astype(np.float16) for name, one in sample.boxes.items()}
    sample = replace(sample, values=values)
    found = []
    evaluate = accuracy.evaluate
    monkeypatch.setattr(accuracy, "evaluate", lambda *arguments: found.append(arguments[0]) or evaluate(*arguments))
    place = next(place for place, image in enumerate(sample.images) if len(image.labels))
    images = list(sample.images)
    images[place] = replace(images[place], labels=1 - images[place].labels)
    for one in (sample, replace(sample, images=tuple(images))):
        assert accuracy.held_out(one, [0.01], 2)[0] == 0.01
    fold_of = accuracy.image_folds([one.image_id for one in images], 2, 0)
    same = [
        np.array_equal(one.scores, two.scores) and np.array_equal(one.boxes, two.boxes)
        for one, two in zip(*found, strict=True)
    ]
    own = fold_of[images[place].image_id]
    assert all(equal for equal, image in zip(same, images, strict=True) if fold_of[image.image_id] == own)
    assert not all(same)
