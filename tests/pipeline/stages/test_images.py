import pickle
import time
from collections import Counter

import pytest

import detection.data.images
from detection.backbones.backbone import Backbone
from detection.features import FeatureExtractor, MapCache
from detection.pipeline import source as source_module
from detection.pipeline.runner import run_all
from detection.pipeline.stages import DETECTIONS, EVALUATION, REGRESSORS, SVMS, images
from detection.pipeline.stages.images import missing_maps, prepare, prepare_images, usable
from detection.pipeline.stages.misses import diagnosis
from detection.proposals import ProposalStore

PROPOSALS, MAPS = "proposals", "features"


def figures(experiment, *parts):
    return {
        part: one.figures
        for part, one in prepare_images(experiment.source, experiment.images, experiment.work, parts).items()
    }


def test_only_what_is_absent_is_made(run, open_run):
    experiment = open_run(run)
    store, cache = experiment.source.store(), experiment.source.cache()
    before = {one.image_id: store.path(one.image_id).stat().st_mtime_ns for one in experiment.images}
    assert missing_maps(experiment.source, experiment.images) == []
    store.path("train1").unlink()
    store.path("sub dir/test 0").write_bytes(b"damaged")
    cache.path("train1").unlink()
    cache.path("train2").unlink()
    assert [one.image_id for one in missing_maps(experiment.source, experiment.images)] == ["train1", "train2"]
    made = figures(experiment, PROPOSALS, MAPS)
    counts = [len(experiment.source.proposals(one).boxes) for one in experiment.images]
    mean = pytest.approx(sum(counts) / 13, abs=0.05)
    assert made == {
        PROPOSALS: {"made": 2, "kept": 11, "proposals_per_image": mean},
        MAPS: {"made": 2, "kept": 11},
    }  # fmt: skip
    after = {one.image_id: store.path(one.image_id).stat().st_mtime_ns for one in experiment.images}
    assert {name for name in after if after[name] != before[name]} == {"train1", "sub dir/test 0"}
    assert missing_maps(experiment.source, experiment.images) == []


@pytest.mark.parametrize(("part", "title"), [(PROPOSALS, "proposals"), (MAPS, "maps")])
def test_one_part_alone(run, open_run, part, title):
    experiment = open_run(run)
    experiment.source.store().path("train1").unlink()
    experiment.source.cache().path("train1").unlink()
    made = prepare_images(experiment.source, experiment.images, experiment.work, [part])
    assert list(made) == [part]
    assert (made[part].figures["made"], made[part].figures["kept"], made[part].share) == (1, 12, 1)
    assert experiment.source.store().path("train1").is_file() == (part == PROPOSALS)
    assert experiment.source.cache().path("train1").is_file() == (part == MAPS)
    assert experiment.work.console.file.getvalue().splitlines()[-1].startswith(f"{title}: 1/1")


def test_no_image(run, open_run):
    experiment = open_run(run)
    made = prepare_images(experiment.source, [], experiment.work)
    assert {part: one.figures for part, one in made.items()} == {
        PROPOSALS: {"made": 0, "kept": 0, "proposals_per_image": 0.0}, MAPS: {"made": 0, "kept": 0},
    }  # fmt: skip


def test_each_stage_has_its_share_of_the_time(tmp_path, open_run):
    experiment, started = open_run(tmp_path / "run"), time.monotonic()
    prepare(experiment)
    elapsed = time.monotonic() - started
    lines = experiment.work.console.file.getvalue().splitlines()
    assert any(line.startswith("proposals and maps: 13/13") for line in lines)
    stages = experiment.run.read()["stages"]
    assert {name: stages[name]["made"] for name in stages} == {PROPOSALS: 13, MAPS: 13}
    assert min(one["seconds"] for one in stages.values()) >= 0
    assert sum(one["seconds"] for one in stages.values()) < elapsed + 1
    prepare(experiment)
    images.PROPOSALS.make(experiment)
    assert experiment.work.console.file.getvalue().splitlines() == lines
    again = open_run(tmp_path / "run")
    prepare(again)
    assert again.work.console.file.getvalue().split("\n")[-3:-1] == [f"{one}: done before" for one in (PROPOSALS, MAPS)]


def test_what_was_made_elsewhere_is_believed(tmp_path, open_run, monkeypatch):
    """A shared disk may say for a while that a file is not there that it was asked for before."""
    experiment = open_run(tmp_path / "run")
    for kind in (MapCache, ProposalStore):
        monkeypatch.setattr(kind, "has", lambda *_: False)
    found = usable(experiment, experiment.test_images)
    assert [one.image_id for one in found] == [one.image_id for one in experiment.test_images]


def test_maps_that_are_not_kept_give_the_same(finished, tmp_path, open_run):
    experiment = open_run(tmp_path / "run", "--keep_maps=false")
    run_all(experiment)
    assert not experiment.run.features.exists()
    assert "features" not in experiment.run.read()["stages"]
    for kind in ("detector/*.safetensors", "detections/*"):
        names = sorted(path.relative_to(finished) for path in finished.glob(kind))
        assert names
        assert all((experiment.run.path / name).read_bytes() == (finished / name).read_bytes() for name in names)
    # Another call keeps them, and has nothing else to do.
    again = open_run(tmp_path / "run")
    run_all(again)
    assert len(list(again.run.features.rglob("*.safetensors"))) == len(again.images)
    assert "svms: done before" in again.work.console.file.getvalue()


def test_an_image_that_cannot_be_read_is_listed_once(run, open_run):
    experiment = open_run(run)
    for kept in (experiment.source.store(), experiment.source.cache()):
        kept.path("train1").unlink()
    image = next(one for one in experiment.images if one.image_id == "train1")
    broken = type(image)("train1", image.path.with_name("x"), image.size, image.boxes, image.labels, image.difficult)
    prepare_images(experiment.source, [broken], experiment.work)
    assert [one.kind for one in experiment.work.problems] == ["missing image"]


def test_what_is_sent_with_an_image_does_not_grow_with_the_data_set(run, open_run):
    experiment = open_run(run)
    source, image = experiment.source, experiment.train_images[0]
    assert source.of(image).image_keys == {image.image_id: source.image_keys[image.image_id]}
    assert len(pickle.dumps(source.of(image))) < len(pickle.dumps(source))


def test_a_task_knows_one_image_alone(tmp_path, open_run, monkeypatch):
    experiment, sent = open_run(tmp_path / "run"), []
    monkeypatch.setattr(images, "map_images", lambda task, items, *_: sent.extend((task, one) for one in items) or ())
    prepare_images(experiment.source, experiment.images, experiment.work)
    assert len(sent) == 13
    for task, item in sent:
        others = {one.image_id for one in experiment.images} - {item[0].image_id}
        assert not [one for one in others if f"{one}.jpg".encode() in pickle.dumps((task, item))]
        assert len(pickle.dumps((task, item))) < 3000


def test_no_image_is_decoded_searched_or_convolved_twice(tmp_path, open_run, monkeypatch):
    """A whole run, from the photos to their evaluation; drawings and the report look at some photos again."""
    counts = {name: Counter() for name in ("decoded", "searched", "convolved")}
    batches = []

    def counted(name, what, key):
        def call(*arguments, **named):
            counts[name][key(arguments)] += 1
            return what(*arguments, **named)

        return call

    def forward(self, images):
        batches.append(images.shape)
        return convolve(self, images)

    convolve = Backbone.forward
    decode, pyramid = detection.data.images._decode, FeatureExtractor.pyramid
    monkeypatch.setattr(detection.data.images, "_decode", counted("decoded", decode, lambda given: given[2]))
    monkeypatch.setattr(source_module, "propose", counted("searched", source_module.propose, lambda given: given[0]))
    monkeypatch.setattr(FeatureExtractor, "pyramid", counted("convolved", pyramid, lambda given: given[1]))
    experiment = open_run(tmp_path / "run", "--features.short_sides=[64,96]")
    experiment.source  # noqa: B018 (its backbone is measured on images of its own)
    monkeypatch.setattr(Backbone, "forward", forward)
    prepare(experiment)
    for stage in (SVMS, REGRESSORS, DETECTIONS, EVALUATION):
        stage.make(experiment)
    ids = [one.image_id for one in experiment.images]
    assert counts["decoded"] == Counter(str(one.path) for one in experiment.images)
    assert counts["searched"] == counts["convolved"] == Counter(ids)
    assert len(batches) == 2 * len(ids)
    diagnosis(experiment)
    assert sum(counts["decoded"].values()) == len(ids)
