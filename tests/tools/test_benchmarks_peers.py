"""The command that compares with detectors of torchvision."""

import dataclasses

import numpy as np
import pytest
import torch
import yaml

from detection.backbones import Backbone
from detection.evaluation import IntervalSettings
from detection.geometry import flip
from detection.storage import read_yaml

TINY = (
    "--minutes=0.001", "--faster_rcnn.side=48", "--faster_rcnn.regions=8", "--ssdlite.side=48", "--ssdlite.batch=2",
    "--photos=1", "--repeats=1", "--threads=1",
)  # fmt: skip


@pytest.fixture
def tool(benchmark, monkeypatch):
    from benchmarks import peers

    monkeypatch.setattr(peers, "IntervalSettings", lambda: IntervalSettings(resamples=20))
    return peers


@pytest.fixture
def training(tool, monkeypatch):
    from benchmarks import peer_networks, peer_training

    monkeypatch.setattr(peer_training, "_TIMED", 1)
    monkeypatch.setattr(peer_networks, "_PYRAMID_CHANNELS", 32)
    return peer_training


@pytest.fixture
def build(tool, training, finished, open_run):
    """``build(NAME, **settings)``: an untrained peer of small sides, its photos those of `finished`."""
    images = open_run(finished).train_images

    def build(name, **settings):
        recipe = {"faster_rcnn": tool.FASTER_RCNN, "ssdlite": tool.SSDLITE}[name]
        small = {"side": 48, "batch": 2, **({"regions": 8} if name == "faster_rcnn" else {})}
        recipe = dataclasses.replace(recipe, **{**small, **settings})
        return training.PeerTraining(recipe, "efficientnet_lite0", images, 2, 3)

    return build


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return {name: torch.equal(value, second[name]) for name, value in first.items()}


def test_a_run_and_its_peers(tool, training, measure, run, monkeypatch):
    rows, times = measure("peers", f"--run={run}", "--times=[2]", *TINY)
    assert [(row["detector"], row["times"]) for row in rows] == [(tool.OURS, 1), ("faster_rcnn", 2), ("ssdlite", 2)]
    assert [row["detector"] for row in times] == [tool.OURS, "faster_rcnn, 2 times", "ssdlite, 2 times"]
    assert all(row["cpu_ms"] > 0 for row in times)
    assert rows[0]["mAP_50"] == read_yaml(run / "run.yaml")["stages"]["evaluation"]["mAP"]
    assert all(3 < row["parameters_M"] < 7 for row in rows)
    for row in rows[1:]:
        assert row["steps"] >= 1
        assert row["epochs"] == row["steps"] / 3  # batches of 2 of the 7 photos that show something
        for name in tool.MEASURES:
            low, high = map(float, row[f"{name}_interval"].split(" to "))
            assert 0 <= low <= high <= 1
            assert 0 <= row[name] <= 1
    # All is kept: nothing is trained once more.
    monkeypatch.setattr(training.PeerTraining, "step", None)
    assert measure("peers", f"--run={run}", "--times=[2]", *TINY)[0] == rows


def test_a_share_of_the_training_photos(tool, run, open_run):
    experiment = open_run(run)
    trained_on, measured = tool.divided(experiment, 0.4)
    assert {one.image_id for one in [*trained_on, *measured]} == {one.image_id for one in experiment.train_images}
    assert len(measured) == 3
    detector, found = tool.ours(experiment, trained_on, measured)
    assert [one.image_id for one in found] == [one.image_id for one in measured]
    whole, of_test = tool.ours(experiment, experiment.train_images, None)
    assert [one.image_id for one in of_test] == [one.image_id for one in experiment.test_images]
    assert detector.svms.weights.tobytes() != whole.svms.weights.tobytes()
    again, _ = tool.ours(experiment, experiment.train_images, [])
    assert again.svms.weights.tobytes() == whole.svms.weights.tobytes()


def test_how_long_a_run_took(tool, run, open_run):
    stages = {"proposals": (26.0, 13), "features": (13.0, 13), "svms": (8.0, None), "regressors": (4.0, None)}
    record = yaml.safe_load((run / "run.yaml").read_text())
    for name, (seconds, made) in {**stages, "calibration": (1.0, None)}.items():
        record["stages"][name] |= {"seconds": seconds} | ({"made": made} if made else {})
    del record["content_fingerprint"]
    (run / "run.yaml").write_text(yaml.safe_dump(record))
    # 13 photos, 8 of them to train on.
    experiment = open_run(run)
    assert tool.training_seconds(experiment, 8) == pytest.approx(8 * 2 + 8 * 1 + 8 + 4 + 1)
    assert tool.training_seconds(experiment, 4) == pytest.approx((8 * 2 + 8 * 1 + 8 + 4 + 1) / 2)
    del record["stages"]["svms"]["seconds"]
    (run / "run.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(ValueError, match="svms: expected the seconds that it took, found none; --minutes"):
        tool.training_seconds(experiment, 8)


BOTH = pytest.mark.parametrize("name", ["faster_rcnn", "ssdlite"])


@BOTH
def test_an_interrupted_training_goes_on(training, build, tmp_path, monkeypatch, name):
    whole = build(name)
    whole.steps = 2
    whole.run(tmp_path / "whole.safetensors", "")
    # A checkpoint after each step.
    monkeypatch.setattr(training, "_CHECKPOINT_S", -1)
    cut, path = build(name), tmp_path / "cut.safetensors"
    assert not cut.resume(path)
    cut.steps, step = 2, cut.step
    cut.step = lambda steps: step(steps) if cut.done < 1 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        cut.run(path, "")
    resumed = build(name)
    assert resumed.resume(path)
    assert (resumed.done, resumed.steps, resumed.seconds) == (1, 2, cut.seconds)
    resumed.run(path, "")
    assert resumed.seconds > cut.seconds
    assert all(same(weights(whole.model), weights(resumed.model)).values())
    assert not all(same(weights(whole.model), weights(cut.model)).values())
    path.write_bytes(path.read_bytes()[:-1])
    assert not resumed.resume(path)


@BOTH
def test_what_is_frozen_and_what_learns(build, name):
    peer = build(name, warm_up=0.0)
    before = weights(peer.model)
    losses = [peer.step(8) for _ in range(8)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    kept = {name for name, is_same in same(before, weights(peer.model)).items() if is_same}
    if name == "ssdlite":
        # Four maps of one cell each at this side: not all that is there is asked.
        assert not [name for name in kept if "backbone.maps" in name]
        return
    frozen = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.", "blocks.2.")
    for key in before:
        part = key.partition("backbone.maps.body.")[2]
        if part:
            layer = part.split(".")[-2]
            assert (key in kept) == (part.startswith(frozen) or layer.startswith("bn")), key


def test_the_backbone_is_that_of_the_run(build):
    maps = build("faster_rcnn").model.eval().backbone.maps
    expected = Backbone.from_weights("efficientnet_lite0", (16, 32), "default", fused=False)
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for one, other in zip(maps(images).values(), expected(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    wide = build("ssdlite").model.eval().backbone(images)
    assert [one.shape[1] for one in wide.values()] == [672, 1280, 512, 256, 256, 128]


def test_learning_rates(tool):
    rcnn = tool.FASTER_RCNN
    # 250 steps an epoch, but a tenth of 520 steps comes before.
    rates = [rcnn.rate(step, 520, 250) / 0.0025 for step in (0, 26, 52, 319, 320, 439, 440, 519)]
    assert rates == pytest.approx([0.001, 0.5005, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rcnn.rate(999, 10**6, 10**5) < rcnn.rate(1000, 10**6, 10**5) == rcnn.rate(1001, 10**6, 10**5)
    ssd = dataclasses.replace(tool.SSDLITE, batch=192, warm_up=0.0)
    rates = [ssd.rate(step, 100, 10) for step in (0, 50, 99)]
    assert rates == pytest.approx([0.15, 0.075, 0.15 * (1 + np.cos(0.99 * np.pi)) / 2])


def test_what_is_learned_of_a_photo(build):
    peer, labels = build("faster_rcnn"), set()
    flips = []
    for image in peer.images * 2:
        pixels, target = peer._sample(image)
        assert (pixels.dtype, tuple(pixels.shape[1:])) == (torch.float32, image.size)
        assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
        assert (target["labels"] == torch.from_numpy(image.labels) + 1).all()
        labels |= set(target["labels"].tolist())
        flips.append(target["boxes"].numpy().tobytes() != image.boxes.tobytes())
        expected = flip(image.boxes, image.size[1]) if flips[-1] else image.boxes
        assert target["boxes"].numpy().tobytes() == expected.tobytes()
    assert labels == {1, 2}
    assert len(set(flips)) == 2
    # One photo shows nothing.
    assert len(peer.images) == 7


def test_crops_of_a_photo(build):
    peer, sizes = build("ssdlite"), set()
    for image in peer.images * 2:
        pixels, target = peer._sample(image)
        sizes.add(tuple(pixels.shape[1:]) == image.size)
        boxes = target["boxes"]
        assert len(boxes) == len(target["labels"]) > 0
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= pixels.shape[2]).all()
        assert (boxes[:, 3] <= pixels.shape[1]).all()
    assert sizes == {True, False}


def test_batches(build):
    peer = build("ssdlite", batch=3)
    epochs = [[[one.image_id for one in peer.batch(2 * epoch + place)] for place in range(2)] for epoch in range(3)]
    assert all(len({*first, *second}) == 6 for first, second in epochs)
    assert len({str(one) for one in epochs}) == 3
    # Of four portraits and three landscapes no more than one batch holds both.
    portraits = dict(
        zip((one.image_id for one in peer.images), [True, False, True, False, True, False, True], strict=True)
    )
    peer._portrait = np.array([*portraits.values()])
    for epoch in range(5):
        kinds = [{portraits[one.image_id] for one in peer.batch(2 * epoch + place)} for place in range(2)]
        assert sum(len(one) == 2 for one in kinds) <= 1
    assert {True} in kinds or {False} in kinds


def known_output(boxes, labels, scores):
    values = torch.tensor(boxes), torch.tensor(labels), torch.tensor(scores)
    return dict(zip(("boxes", "labels", "scores"), values, strict=True))


@BOTH
def test_boxes_are_px_of_the_photo(training, build, monkeypatch, name):
    peer = build(name, side=50)
    image = next(one for one in peer.images if one.size == (100, 160))
    # Faster R-CNN sees 50 x 80 px of it, SSDlite 50 x 50.
    right = 80.0 if name == "faster_rcnn" else 50.0
    boxes = [[5.0, 10.0, 20.0, 30.0], [0.0, 0.0, right, 50.0], [7.0, 8.0, 7.0, 20.0], [1.0, 2.0, 3.0, 4.0]]
    output = known_output(boxes, [2, 1, 1, 1], [0.5, 0.25, 0.2, 0.75])
    if name == "faster_rcnn":
        monkeypatch.setattr(peer.model.roi_heads, "forward", lambda *_: ([output], {}))
    else:
        monkeypatch.setattr(peer.model, "postprocess_detections", lambda *_: [output])
    found = training.find(peer.model, image)
    across = 160 / right
    expected = [[across, 4, 3 * across, 8], [5 * across, 20, 20 * across, 60], [0, 0, 160, 100]]
    np.testing.assert_array_equal(found.boxes, np.float32(expected))
    assert found.labels.tolist() == [0, 1, 0]
    assert found.scores.tolist() == [0.75, 0.5, 0.25]
    assert found.image_id == image.image_id


def test_what_is_left_out_and_what_is_refused(tool, benchmark, build, run, capsys):
    assert list(tool.benchmark(run=str(run))) == []
    assert "--times [1,10]" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"ssdlite\.batch: expected at most the 7 photos"):
        build("ssdlite", batch=8)
    peer = build("faster_rcnn")
    with torch.no_grad():
        peer.model.roi_heads.box_predictor.cls_score.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"step 1 of 9: expected a finite loss, got nan; a smaller --faster_rcnn\."):
        peer.step(9)
    for option, message in {
        "--ssdlite.batch=1": "ssdlite.batch: expected at least 2, got 1",
        "--faster_rcnn.regions=0": "faster_rcnn.regions: expected >= 1, got 0",
        "--share=1.5": "share of the images held out: expected a number between 0 and 1",
    }.items():
        assert benchmark.main(["peers", f"--run={run}", "--times=[1]", option, f"--out={run}"]) == 2
        assert message in capsys.readouterr().err
    record = yaml.safe_load((run / "run.yaml").read_text())
    del record["content_fingerprint"]
    for features, more, message in (
        ({"weights": "random"}, [], "expected one of efficientnet_lite0, "),
        ({"layer": "fc7", "head": "finetuned"}, ["--share=0.5"], "expected one without fine-tuned layers"),
    ):
        changed = {**record, "settings": {**record["settings"], "features": record["settings"]["features"] | features}}
        (run / "run.yaml").write_text(yaml.safe_dump(changed))
        assert benchmark.main(["peers", f"--run={run}", "--times=[1]", *more, f"--out={run}"]) == 2
        assert message in capsys.readouterr().err
