"""The command that measures detectors trained on few photos."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from detection import Detector
from detection.evaluation import evaluate
from detection.storage import read_json
from detection.types import AnnotatedImage, Detections


@pytest.fixture
def tool(benchmark):
    from benchmarks import few_photos

    return few_photos


def measured(tool, out, *options):
    assert tool.main([*options, f"--out={out}"]) == 0
    return list(read_json(out / "benchmark.json")["commands"]["few_photos"]["tables"].values())


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
    assert tool.scarce_classes([*images[:5], *images[6:]], ("a", "b"), 4) == {"b": 3}
    assert tool.scarce_classes(images, ("a", "b"), 4) == {}


def test_detectors_that_are_scored_together_are_taken_apart(tool):
    boxes = np.tile(np.array([[0, 0, 5, 5]], np.float32), (4, 1))
    found = Detections("x", boxes, np.array([4, 3, 2, 1], np.float32), np.array([3, 0, 2, 1]))
    first, second = tool.split_classes(found, 2, 2)
    assert (first.scores.tolist(), first.labels.tolist()) == ([3, 1], [0, 1])
    assert (second.scores.tolist(), second.labels.tolist()) == ([4, 2], [1, 0])


def test_all_photos_give_the_detector_of_the_run(tool, run, open_run, tmp_path):
    experiment = open_run(run)
    detector = dataclasses.replace(Detector.load(run / "detector"), regressors=None)
    source, images = experiment.source, experiment.test_images
    found = [detector.detect_proposals(source.proposals(one), source.pyramid(one)) for one in images]
    expected = evaluate(found, images, experiment.classes, **vars(experiment.settings.evaluation)).mean_ap
    tolerance = f"--tolerance={experiment.settings.svm.tolerance}"
    options = [f"--run={run}", "--everything=true", "--photos=[2]", "--draws=2", tolerance]
    means, each = measured(tool, tmp_path / "out", *options)
    assert [row["photos_a_class"] for row in means] == [2, "all"]
    assert means[1]["plain"] == expected
    assert "plain_error" in means[0]
    of_draws = [row["mAP"] for row in each if row["photos_a_class"] == 2 and row["way"] == "mirrored"]
    assert means[0]["mirrored"] == pytest.approx(np.mean(of_draws))
    assert means[0]["mirrored_error"] == pytest.approx(np.std(of_draws, ddof=1))
    assert {row["photos"] for row in each if row["photos_a_class"] == "all"} == {len(experiment.train_images)}
    # The maps of the mirrored photos that show an object are kept for the next call.
    assert len(list((run / "features").iterdir())) == 2


def test_fine_tuned_layers(tool, run, tmp_path):
    settings = yaml.safe_load((run / "run.yaml").read_text())
    settings["settings"]["finetune"] |= {"widths": [8, 8], "iterations": [4, 4], "snapshot_every": 4}
    (run / "run.yaml").write_text(yaml.safe_dump(settings))
    options = [f"--run={run}", "--photos=[3]", "--draws=1", "--ways=[finetuned,plain]"]
    means, each = measured(tool, tmp_path / "out", *options)
    assert [row["way"] for row in each] == ["finetuned", "plain"]
    assert 0 <= means[0]["finetuned"] <= 1
    assert each[0]["photos"] == each[1]["photos"]


def test_what_is_left_out_and_what_is_refused(tool, tmp_path, capsys):
    assert tool.main([f"--out={tmp_path}"]) == 0
    assert "left out without --run RUN and --photos" in capsys.readouterr().out
    for wrong, message in (("--ways=[upside_down]", "ways: expected some of plain"), ("--draws=0", "numbers >= 1")):
        assert tool.main([wrong, f"--out={tmp_path}"]) == 2
        assert message in capsys.readouterr().err
