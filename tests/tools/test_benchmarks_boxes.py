"""The command that measures what may follow scoring."""

import dataclasses

import pytest

from detection.learning import PostprocessSettings
from detection.pipeline.held_out import HeldOut, folds_of

FEW = ("--calibration.folds=2", "--calibration.min_found=2")


@pytest.fixture
def tool(benchmark):
    from benchmarks import boxes

    return boxes


def content(found):
    return [getattr(found, name).tobytes() for name in ("boxes", "scores", "labels")]


def test_the_settings_of_each_row(tool):
    base = PostprocessSettings(nms_iou=0.4, voting_iou=0.9, rounds=3, mirrored=True)
    found = tool.variants(base, (0.5, 0.6))
    assert list(found)[:4] == ["one round", "voting at 0.5", "voting at 0.6", "two rounds"]
    assert len(set(found.values())) == len(found) == 12
    assert found["one round"] == PostprocessSettings(nms_iou=0.4)
    assert found["mirrored image too, two rounds, voting at 0.6"] == PostprocessSettings(
        nms_iou=0.4, voting_iou=0.6, rounds=2, mirrored=True
    )


def test_every_row_is_what_the_detector_finds(tool, run, open_run):
    experiment = open_run(run, *FEW)
    images = experiment.train_images
    held_out = HeldOut(experiment, images, folds_of(experiment, images))
    detectors = tool.fold_detectors(experiment, held_out)
    assert len(detectors) == 2
    assert detectors[0].regressors.weights.tobytes() != detectors[1].regressors.weights.tobytes()
    settings, image = tool.variants(PostprocessSettings(max_per_class=5), (0.5,)), images[0]
    found = tool.of_photo(experiment, detectors[0], image, settings)
    assert set(found) == set(settings)
    for name, one in settings.items():
        detector = dataclasses.replace(detectors[0], postprocess_settings=one)
        expected = detector.detect_proposals(*experiment.source.inputs(image, one))
        assert content(found[name]) == content(expected)


def test_a_fold_teaches_nothing_of_its_photos(tool, run, open_run, monkeypatch):
    experiment, seen = open_run(run, *FEW), []
    images = experiment.train_images
    held_out = HeldOut(experiment, images, folds_of(experiment, images))
    monkeypatch.setattr(tool, "train_box_regressors", lambda _, others, *rest: seen.append(others))
    tool.fold_detectors(experiment, held_out)
    for fold, others in enumerate(seen):
        assert {one.image_id for one in others} == {name for name, of in held_out.fold_of.items() if of != fold}


def test_in_a_run(tool, measure, run):
    from benchmarks.detectors import MEASURES, SIZES

    rows, times = measure("boxes", f"--run={run}", "--voting_iou=[0.5]", "--photos=1", "--repeats=1")
    assert [row["after scoring"] for row in rows] == list(tool.variants(PostprocessSettings(), (0.5,)))
    assert [row["after scoring"] for row in times] == [row["after scoring"] for row in rows]
    assert set(rows[0]) == {"after scoring", *MEASURES, *(f"{one}_interval" for one in MEASURES), *SIZES}
    for row in rows[1:]:
        for name in MEASURES:
            assert float(row[f"gain_{name}"].split()[0]) == pytest.approx(row[name] - rows[0][name], abs=6e-4)
    assert times[0]["more_cpu_ms"] == 0 < times[0]["cpu_ms"]


def test_what_is_left_out_and_what_is_refused(tool, benchmark, run, capsys):
    assert list(tool.benchmark()) == []
    assert "--run RUN" in capsys.readouterr().out
    for name in ("detector/samples.csv", "calibration/folds.safetensors"):
        (run / name).unlink()
    assert benchmark.main(["boxes", f"--run={run}", f"--out={run}"]) == 2
    assert "expected samples of its training, found none" in capsys.readouterr().err
