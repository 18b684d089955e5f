"""The command that measures detectors trained on few photos."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from detection import Detector
from detection.evaluation import evaluate
from detection.types import AnnotatedImage


@pytest.fixture
def tool(benchmark):
    from benchmarks import few_photos

    return few_photos


def images_of(labels):
    return [
        AnnotatedImage(
            image_id=f"{place}",
            path=Path(f"{place}.jpg"),
            size=(9, 9),
            boxes=np.tile(np.array([[0, 0, 5, 5]], np.float32), (len(one), 1)),
            labels=np.array(one, np.int64),
            difficult=np.zeros(len(one), bool),
        )
        for place, one in enumerate(labels)
    ]


def test_photos_of_a_draw(tool):
    images = images_of([[0], [1], [0, 1], [], [0], [1], [1, 1], [0]])
    draws = {count: tool.draw_photos(images, 2, count, [3, 0]) for count in (1, 2, 4)}
    for count, chosen in draws.items():
        assert [one.image_id for one in chosen] == sorted(one.image_id for one in chosen)
        for label in range(2):
            assert sum(label in one.labels for one in chosen) >= count
        assert len(chosen) <= 2 * count
    ids = [{one.image_id for one in chosen} for chosen in draws.values()]
    assert ids[0] <= ids[1] <= ids[2]
    assert {one.image_id for one in tool.draw_photos(images, 2, 2, [3, 1])} != ids[1]
    # A class on fewer photos than asked for has all of its own.
    assert [one.image_id for one in tool.draw_photos(images, 2, 9, [3, 0])] == ["0", "1", "2", "4", "5", "6", "7"]


@pytest.mark.parametrize("regression", [False, True])
def test_all_photos_give_the_detector_of_the_run(measure, run, open_run, regression):
    experiment, detector = open_run(run), Detector.load(run / "detector")
    assert detector.regressors.trained.all()
    detector = detector if regression else dataclasses.replace(detector, regressors=None)
    source, images = experiment.source, experiment.test_images
    found = [detector.detect_proposals(source.proposals(one), source.pyramid(one)) for one in images]
    expected = evaluate(found, images, experiment.classes, **vars(experiment.settings.evaluation)).mean_ap
    tolerance = f"--tolerance={experiment.settings.svm.tolerance}"
    options = [f"--run={run}", "--everything=true", "--photos=[2]", "--draws=2", tolerance]
    options += ["--regression=true"] if regression else []
    means, each = measure("few_photos", *options)
    assert [row["photos_a_class"] for row in means] == [2, "all"]
    assert means[1]["plain"] == expected
    assert "plain_error" in means[0]
    of_draws = [row["mAP"] for row in each if row["photos_a_class"] == 2 and row["way"] == "mirrored"]
    assert means[0]["mirrored"] == pytest.approx(np.mean(of_draws))
    assert means[0]["mirrored_error"] == pytest.approx(np.std(of_draws, ddof=1))
    assert {row["photos"] for row in each if row["photos_a_class"] == "all"} == {len(experiment.train_images)}
    # The maps of the mirrored photos that show an object are kept for the next call.
    assert len(list((run / "features").iterdir())) == 2


def test_what_is_left_out_and_what_is_refused(benchmark, tmp_path, run, capsys):
    assert benchmark.main(["few_photos", f"--out={tmp_path}"]) == 0
    assert "left out without --run RUN and --photos" in capsys.readouterr().out
    for wrong in ("--ways=[upside_down]", "--draws=0"):
        assert benchmark.main(["few_photos", wrong, f"--out={tmp_path}"]) == 2
    settings = yaml.safe_load((run / "run.yaml").read_text())
    settings["settings"]["features"] |= {"layer": "fc7", "head": "finetuned"}
    del settings["content_fingerprint"]
    (run / "run.yaml").write_text(yaml.safe_dump(settings))
    assert benchmark.main(["few_photos", f"--run={run}", "--photos=[2]", f"--out={tmp_path}"]) == 2
    assert "expected one without fine-tuned layers" in capsys.readouterr().err
