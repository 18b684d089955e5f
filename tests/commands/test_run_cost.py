import dataclasses
import shutil

import numpy as np
import pytest

from detection.commands import run_cost
from detection.commands.run_cost import RunCost, Sample, cost_of, sample_of

COST = RunCost(
    photos=100, workers=2, outside=7200, inside=3600, left_out="report", proposal_bytes=2**20, maps_bytes=2**30,
    positives_bytes=5 * 2**20, mining_bytes=8 * 2**20, regression_bytes=3 * 2**20,
)  # fmt: skip


def test_time_and_what_is_told():
    assert [COST.seconds(workers) / 3600 for workers in (1, 2, 4)] == [3, 2, 1.5]
    disk, memory, time = COST.lines(5 * 2**30)
    assert disk == "disk: proposals 1.0 MiB, maps 1.00 GiB, 11 MiB more at most while it learns; free 5.0 GiB"
    assert "mining 8 MiB at most, of which positives 5; box regression 3 MiB" in memory
    assert time.endswith("(this command: 2): 3.0 h on 1, 2.0 h on 2, 75.0 min on 8, 61.9 min on 64. Not in it: report")
    tight = dataclasses.replace(COST, positives_bytes=8 * 2**20, maps_bytes=0)
    assert "maps are not kept" in tight.lines(0)[0]
    assert tight.lines(0)[-1] == "the positives do not fit: raise svm.memory_mib, or set svm.max_positives"


@pytest.fixture
def fresh(open_run, tmp_path):
    return open_run(tmp_path / "run")


def test_bytes_are_those_of_a_real_run(fresh, finished):
    sample = sample_of(fresh)
    assert sample.photos == len(fresh.images) == 13
    assert not fresh.run.proposals.exists()
    assert not fresh.run.features.exists()
    cost = cost_of(fresh, sample)
    for folder, expected in (("proposals", cost.proposal_bytes), ("features", cost.maps_bytes)):
        found = sum(path.stat().st_size for path in (finished / folder).rglob("*.safetensors"))
        assert expected == pytest.approx(found, rel=0.1)
    sometimes = {"starting", "solving_regressors"}
    assert all(value > 0 for name, value in dataclasses.asdict(sample).items() if name not in sometimes)


def test_what_the_first_photo_takes_more_is_said_once(fresh, monkeypatch):
    seconds = iter([5.0, *[1.5] * 13])
    monkeypatch.setattr(run_cost, "_measured", lambda *_: (1.0,) * 7)
    monkeypatch.setattr(run_cost, "_solving", lambda *_: (2.0, 3.0))
    monkeypatch.setattr(run_cost, "timed", lambda make: (make(), next(seconds)))
    sample = sample_of(fresh)
    assert (sample.photos, sample.starting, sample.vectors) == (13, 3.5, 1.0)
    assert (sample.solving_svms, sample.solving_regressors) == (2.0, 3.0)


def test_photos_that_cannot_be_read_are_passed_over(open_run, shapes, tmp_path):
    root = shutil.copytree(shapes, tmp_path / "VOCdevkit")
    photos = sorted(root.glob("VOC2007/JPEGImages/**/*.jpg"))
    experiment = open_run(tmp_path / "run", f"--dataset.root={root}")
    first = experiment.images[0].path
    first.write_bytes(first.read_bytes()[:-2000])
    assert sample_of(experiment).photos == len(photos) - 1
    for path in set(photos) - {first}:
        path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"run: expected photos to time, found none of 13 that can be read"):
        sample_of(experiment)


def test_passes_memory_and_maps_that_are_not_kept(fresh, open_run, tmp_path):
    sample = Sample(
        20, proposals=1.0, maps=2.0, reading=0.5, vectors=3.0, starting=7.0, solving_svms=0.0, solving_regressors=0.0,
        proposal_bytes=1000, examples=4.0,
    )  # fmt: skip
    train, test = len(fresh.train_images), len(fresh.test_images)
    cost = cost_of(fresh, sample)
    assert cost.outside == pytest.approx(13 * (1 + 2) + 13 * (0.5 + 3))
    assert cost.inside == pytest.approx(7 + train * (3 * 0.5 + 3))
    assert train + test == 13
    objects = np.bincount(np.concatenate([one.labels for one in fresh.train_images]))
    row = fresh.source.pooling_extractor().length("pool5") * 4
    assert cost.positives_bytes == objects.sum() * row
    assert cost.regression_bytes == (4 * objects.sum() + 8 * objects.max()) * row
    options = ("--keep_maps=false", "--svm.passes=2", "--svm.max_positives=1", "--regression.max_examples=2")
    other = cost_of(open_run(tmp_path / "other", *options), sample)
    assert other.maps_bytes == 0
    assert other.inside == pytest.approx(7 + train * (4 * 2 + 2 * 3))
    assert other.positives_bytes == len(objects) * row
    assert other.regression_bytes == (2 * len(objects) + 4) * row
    options = ("--svm.mirrored_below=9", "--postprocess.mirrored=true")
    mirrored = cost_of(open_run(tmp_path / "mirrored", *options), sample)
    assert mirrored.inside == pytest.approx(cost.inside + train * 2)
    assert mirrored.outside == pytest.approx(cost.outside + test * (2 + 3))
    assert mirrored.maps_bytes == pytest.approx(2 * cost.maps_bytes, rel=0.01)
    assert mirrored.positives_bytes == 2 * cost.positives_bytes


def test_solving_grows_with_the_training_photos(fresh):
    sample = Sample(
        2, proposals=0.0, maps=0.0, reading=0.0, vectors=0.0, starting=0.0, solving_svms=10.0, solving_regressors=3.0,
        proposal_bytes=1000, examples=4.0,
    )  # fmt: skip
    learned = len(fresh.train_images) / 2
    cost = cost_of(fresh, sample)
    assert cost.inside == pytest.approx(10 * learned**0.55 + 3 * learned)
    assert cost.left_out == "evaluation, report"
    tuned = cost_of(fresh, dataclasses.replace(sample, solving_svms=None))
    assert tuned.inside == pytest.approx(3 * learned)
    assert tuned.left_out == "fine-tuning, SVMs, evaluation, report"


def test_what_learns_from_the_sample_is_what_the_run_learns_with(fresh, monkeypatch):
    """The time of reading is taken off, and nothing is left where the run would look."""
    ticks = iter([1.0, 4.0, 2.0, 9.0])
    trained = []
    monkeypatch.setattr(run_cost, "timed", lambda make: (make(), next(ticks)))
    for name in ("train_linear_svms", "train_box_regressors"):
        monkeypatch.setattr(run_cost, name, lambda *given, name=name, **named: trained.append((name, given, named)))
    images = fresh.images[:6]
    assert run_cost._solving(fresh, fresh.source, images) == (7.0, 3.0)
    (_, regression, _), (_, svms, named) = trained
    assert regression[1:4] == (images, len(fresh.classes), fresh.settings.regression)
    assert svms[1:5] == (images, len(fresh.classes), fresh.svm_settings, fresh.settings.features.layer)
    assert set(named["fold_of"]) == {one.image_id for one in images}
    assert not (fresh.run.path / "mining").exists()


def test_layers_that_are_to_be_fine_tuned_are_not_timed(open_run, tmp_path):
    fresh = open_run(tmp_path / "run", "--features.layer=fc7", "--features.head=finetuned")
    assert sample_of(fresh).solving_svms is None


def test_from_the_command_line(load_tool, shape_options, tmp_path, capsys):
    assert load_tool("run_pipeline").main([*shape_options, f"--run={tmp_path / 'run'}", "--dry-run"]) == 0
    heading, disk, memory, time = capsys.readouterr().out.splitlines()
    assert heading == "13 photos, by 13 of them"
    assert [disk.split()[0], memory.split()[0], time.split()[0]] == ["disk:", "memory", "time"]
    assert not (tmp_path / "run" / "detector").exists()
