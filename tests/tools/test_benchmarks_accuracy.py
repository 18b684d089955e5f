"""R-CNN-style crops beside this package's on a few made-up images."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from detection.features import FeatureExtractor


@pytest.fixture
def tools(benchmark, monkeypatch):
    from benchmarks import accuracy, held_out

    # Small scales, few crops and resamples, so that it takes a second.
    settings = replace(accuracy.DEFAULT, short_sides=(64, 96))
    monkeypatch.setattr(accuracy, "DEFAULT", settings)
    monkeypatch.setattr(accuracy, "BASE", accuracy.Way(settings.short_sides, settings.stages, settings.levels))
    monkeypatch.setattr(accuracy, "CropSettings", partial(accuracy.CropSettings, side=64, context=4))
    monkeypatch.setattr(accuracy, "IntervalSettings", partial(accuracy.IntervalSettings, resamples=20))
    monkeypatch.setattr(accuracy, "TIMED_CROPS", 2)
    return benchmark, accuracy, held_out


def _tables(folder):
    return list(json.loads((folder / "benchmark.json").read_text())["commands"]["accuracy"]["tables"].values())


def test_the_command(tools, shapes, tmp_path, capsys, monkeypatch):
    benchmark, accuracy, _ = tools
    options = [f"--voc={shapes}", "--accuracy_proposals=4", "--folds=2", "--C=[0.01,0.1]", "--scales=[[64]]"]
    options += ["--stages=[[32]]", "--levels=[[2,1]]", "--timed_images=1", "--repeats=1", "--accuracy_test_images=2"]
    options += [f"--cache={tmp_path / 'cache'}", f"--out={tmp_path}"]
    assert benchmark.main(["accuracy", *options]) == 0
    assert "left out" in capsys.readouterr().out
    assert not (tmp_path / "benchmark.json").exists()
    assert benchmark.main(["accuracy", *options, "--accuracy_images=6"]) == 0
    rows, on_test = _tables(tmp_path)
    assert [row["scales"] for row in rows] == ["R-CNN-style crops"] * 3 + ["64 96", "64", "64 96", "64 96"]
    assert [row["stages"] for row in rows] == ["32", "16 32", "16 32", "16 32", "16 32", "32", "16 32"]
    assert [row["levels"] for row in rows] == ["3 2 1", "3 2 1", "6 3 2 1", "3 2 1", "3 2 1", "3 2 1", "2 1"]
    assert all(0 <= row[name] <= 1 for row in [*rows, *on_test] for name in ("mAP_without", "mAP"))
    assert all(row["maps_ms"] > 0 for row in rows)
    assert all("pooling_ms" in row for row in rows[3:])
    for base, name in enumerate(("32", "16 32", "16 32 / 6 3 2 1")):
        assert rows[base][f"against_R-CNN_{name}"] == ""
        gain = float(rows[3][f"against_R-CNN_{name}"].split()[0])
        assert gain == pytest.approx(rows[3]["mAP"] - rows[base]["mAP"], abs=6e-4)
    assert len(on_test) == 2
    # Made once: neither maps nor vectors nor detections again.
    monkeypatch.setattr(accuracy, "held_out", lambda *_: pytest.fail("learned again"))
    again = [*options, "--accuracy_images=6", "--timed_images=0", "--accuracy_test_images=0"]
    assert benchmark.main(["accuracy", *again]) == 0
    assert [row["mAP"] for row in _tables(tmp_path)[0]] == [row["mAP"] for row in rows]
    assert benchmark.main(["accuracy", *options, "--accuracy_images=6", "--C=[]"]) == 2


def test_joined_maps_equal_the_package_s(tools, shapes, tmp_path):
    _, accuracy, held_out = tools
    source = accuracy.DatasetSource("VOC2007", "trainval", str(shapes))
    sample = held_out.draw_sample(source, ("box", "disc"), 2, 5, tmp_path)
    maker = accuracy.Maker(tmp_path, (8, 16, 32), accuracy.CropSettings())
    for image in sample.images:
        boxes = sample.boxes[image.image_id]
        assert len(boxes) == len(image.boxes) + 5
        extractor = FeatureExtractor.from_settings(accuracy.BASE.settings)
        expected = extractor.pool(extractor.pyramid("x", accuracy.read_image(image.path)), boxes).values
        np.testing.assert_array_equal(maker.vectors(accuracy.BASE)(image, boxes), expected.astype(np.float16))
        np.testing.assert_array_equal(expected, expected.astype(np.float16))
        # A part of the stages and levels is a part of the values.
        few = replace(accuracy.BASE, stages=(32,), levels=(2, 1))
        places = accuracy.columns(extractor.backbone, accuracy.BASE.levels, few)
        np.testing.assert_array_equal(maker.vectors(few)(image, boxes), expected[:, places].astype(np.float16))


def test_held_out_photos_are_not_learned_from(tools, shapes, tmp_path):
    """A photo's detections stay the same, bit for bit, whatever its own objects are said to be."""
    _, accuracy, held_out = tools
    source = accuracy.DatasetSource("VOC2007", "trainval", str(shapes))
    sample = held_out.draw_sample(source, ("box", "disc"), 6, 40, tmp_path)
    rng = np.random.default_rng(0)
    pool = held_out.Pool.of(sample, lambda image, boxes: rng.standard_normal((len(boxes), 12)), "random")
    found = held_out.held_out(pool, [0.01], 2, 0)
    place = next(place for place, image in enumerate(sample.images) if len(image.labels))
    images = list(sample.images)
    images[place] = replace(images[place], labels=1 - images[place].labels)
    other = held_out.held_out(held_out.Pool(replace(sample, images=tuple(images)), pool.values), [0.01], 2, 0)
    fold_of = held_out.image_folds([one.image_id for one in images], 2, 0)
    own = fold_of[images[place].image_id]
    changed = []
    for image, one, two in zip(images, found.refined, other.refined, strict=True):
        same = np.array_equal(one.scores, two.scores) and np.array_equal(one.boxes, two.boxes)
        if fold_of[image.image_id] == own:
            assert same
        changed.append(not same)
    assert any(changed)
    held_out.write_found(tmp_path / "found.safetensors", found)
    again = held_out.read_found(tmp_path / "found.safetensors", sample)
    assert again.C == found.C
    for name in ("plain", "refined"):
        for one, two in zip(getattr(found, name), getattr(again, name), strict=True):
            assert all(
                np.array_equal(getattr(one, field), getattr(two, field)) for field in ("boxes", "scores", "labels")
            )
