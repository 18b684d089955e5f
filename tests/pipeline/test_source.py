import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from detection.data import DataError
from detection.learning import ExtraPositives
from detection.pipeline.source import shared_extractor
from detection.storage import write_arrays
from detection.types import AnnotatedImage


@pytest.fixture
def experiment(run, open_run):
    return open_run(run)


def content(pyramid):
    return [one.tobytes() for maps in pyramid.maps for one in maps]


def test_what_is_kept_equals_what_is_made(experiment):
    source, image = experiment.source, experiment.train_images[0]
    proposals, pyramid = source.proposals(image), source.pyramid(image)
    source.store().path("train0").unlink()
    source.cache().path("train0").unlink()
    assert source.proposals(image).boxes.tobytes() == proposals.boxes.tobytes()
    assert content(source.pyramid(image)) == content(pyramid)
    assert source.store().path("train0").is_file()
    assert source.cache().path("train0").is_file()


def test_proposals_need_no_image_that_is_kept(experiment):
    image = dataclasses.replace(experiment.train_images[0], path=experiment.run.path / "none.jpg")
    assert len(experiment.source.proposals(image).boxes) > 0
    experiment.source.store().path("train0").unlink()
    with pytest.raises(DataError, match=r"none\.jpg: missing image"):
        experiment.source.proposals(image)


def test_training_regions(experiment):
    source, image = experiment.source, experiment.train_images[0]
    regions = source.training_regions(image, "pool5")
    assert regions.proposals.boxes.tobytes() == source.proposals(image).boxes.tobytes()
    assert regions.objects.boxes.tobytes() == image.boxes.tobytes()
    assert regions.labels is image.labels
    direct = source.extractor().pool(source.pyramid(image), image.boxes)
    assert regions.objects.values.tobytes() == direct.values.tobytes()
    assert regions.norm_proposals is None


def test_chosen_proposals_have_the_same_vectors(experiment):
    source, image = experiment.source, experiment.train_images[0]
    whole = source.training_regions(image, "pool5")
    rows, norm_rows = np.array([3, 7, 20]), np.array([0, 7])
    some = source.training_regions(image, "pool5", lambda boxes: (rows, norm_rows))
    for part, chosen in ((some.proposals, rows), (some.norm_proposals, norm_rows)):
        assert part.boxes.tobytes() == whole.proposals.boxes[chosen].tobytes()
        assert part.values.tobytes() == whole.proposals.values[chosen].tobytes()
    assert some.objects.values.tobytes() == whole.objects.values.tobytes()
    none = source.training_regions(image, "pool5", lambda boxes: (rows[:0], None))
    assert none.proposals.boxes.shape == (0, 4)
    assert none.norm_proposals is None


def test_an_image_without_objects(experiment):
    image = next(one for one in experiment.train_images if not len(one.boxes))
    regions = experiment.source.training_regions(image, "pool5")
    assert regions.objects.boxes.shape == (0, 4)
    assert len(regions.proposals.boxes) > 0


def test_it_can_be_sent_to_another_process(experiment):
    source = pickle.loads(pickle.dumps(experiment.source))
    image = experiment.train_images[0]
    assert isinstance(image, AnnotatedImage)
    assert content(source.pyramid(image)) == content(experiment.source.pyramid(image))


def test_the_extractor_is_built_once(experiment):
    settings = experiment.settings.features
    assert shared_extractor(settings, "cpu") is experiment.source.extractor()
    assert np.array_equal(experiment.source.extractor().backbone.strides, (16, 32))


def test_a_process_with_other_weights_makes_nothing(experiment):
    other = dataclasses.replace(experiment.source, weights="0" * 16)
    with pytest.raises(ValueError, match=r"features\.weights: default: expected weights of fingerprint 0000.* got"):
        other.extractor()


def test_relative_paths_of_settings_start_where_the_command_did(experiment, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    backbone = experiment.source.extractor().backbone
    write_arrays(tmp_path / "here/weights.safetensors", backbone.state(), {})
    monkeypatch.chdir(tmp_path / "here")
    features = dataclasses.replace(experiment.source.feature_settings, weights="weights.safetensors")
    source = dataclasses.replace(experiment.source, feature_settings=features, started_in=Path.cwd())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert source.extractor().backbone.weights_fingerprint == backbone.weights_fingerprint
    assert source.extractor().settings.weights == "weights.safetensors"
    with pytest.raises((ValueError, FileNotFoundError), match=r"weights\.safetensors"):
        dataclasses.replace(source, started_in=Path.cwd()).extractor()


@pytest.mark.parametrize(("difficult", "objects"), [(True, 2), (False, 1)])
def test_further_positives_of_difficult_objects_where_they_are_asked_for(experiment, difficult, objects):
    image = dataclasses.replace(experiment.train_images[0], difficult=np.array([True, False]))
    extra = ExtraPositives(mirrored=True, jittered=2, jitter_iou=0.8, difficult=difficult, seed=0)
    regions = experiment.source.training_regions(image, "pool5", extra=extra)
    assert len(regions.extra_labels) == len(regions.extra.boxes) == objects * 5
    assert set(regions.extra_labels.tolist()) == set(image.labels[2 - objects :].tolist())
