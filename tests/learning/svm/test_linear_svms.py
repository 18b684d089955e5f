import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.learning import LinearSVMs
from detection.storage import read_arrays, write_arrays
from detection.types import RegionFeatures


def make_svms(classes=5, length=37, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(classes, length)).astype(np.float32)
    return LinearSVMs(weights, rng.normal(size=classes).astype(np.float32), np.ones(classes, bool), "pool5")


def make_regions(count=11, length=37, seed=1, layer="pool5"):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 50, (count, 4)).astype(np.float32)
    return RegionFeatures("img", boxes, rng.normal(size=(count, length)).astype(np.float32), layer)


def test_by_hand():
    svms = LinearSVMs(
        np.array([[1, 2], [0, -1], [5, 5]], np.float32), np.array([0.5, 0, 9], np.float32),
        np.array([True, True, False]), "fc7",
    )  # fmt: skip
    regions = RegionFeatures("img", np.zeros((1, 4), np.float32), np.array([[3, 4]], np.float32), "fc7")
    scores = svms.score(regions)
    assert scores.dtype == np.float32
    assert scores.tolist() == [[11.5, -4, -np.inf]]


@settings(max_examples=40)
@given(st.integers(0, 9), st.integers(1, 13), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_against_float64(rows, classes, length, seed):
    svms, regions = make_svms(classes, length, seed), make_regions(rows, length, seed)
    expected = regions.values.astype(np.float64) @ svms.weights.T.astype(np.float64) + svms.biases
    np.testing.assert_allclose(svms.score(regions), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [1, 7, 64, 1000, 6048])
def test_a_score_depends_on_its_proposal_and_class_alone(length):
    """Bit for bit: any choice, order and number of classes and proposals."""
    svms, regions = make_svms(7, length), make_regions(13, length)
    every = svms.score(regions)
    rng = np.random.default_rng(3)
    for classes in (1, 2, 3, 4, 5, 6, 7):
        for rows in (1, 2, 5, 12, 13):
            c, r = rng.permutation(7)[:classes], rng.permutation(13)[:rows]
            fewer = LinearSVMs(svms.weights[c], svms.biases[c], svms.trained[c], "pool5")
            part = RegionFeatures("img", regions.boxes[r], regions.values[r], "pool5")
            assert (fewer.score(part) == every[np.ix_(r, c)]).all()
    many = LinearSVMs(np.tile(svms.weights, (9, 1)), np.tile(svms.biases, 9), np.ones(63, bool), "pool5")
    assert (many.score(regions) == np.tile(every, 9)).all()


def test_proposals_that_share_a_vector_share_its_scores():
    svms, regions, rows = make_svms(), make_regions(4), np.array([2, 0, 3, 2, 2, 1])
    boxes = make_regions(6, seed=2).boxes
    record = svms.region_scores(RegionFeatures("img", boxes, regions.values, "pool5", rows))
    assert record.scores.tobytes() == svms.score(regions)[rows].tobytes()
    assert (record.boxes == boxes[:, None]).all()


def test_strided_features_score_like_contiguous_ones():
    svms, regions = make_svms(), make_regions()
    strided = RegionFeatures("img", regions.boxes, np.asfortranarray(regions.values), "pool5")
    assert (svms.score(strided) == svms.score(regions)).all()


def test_wrong_layer_or_length_names_both():
    with pytest.raises(ValueError, match=r"'img'.*'pool5' and length 37, got layer 'fc7' and length 37"):
        make_svms().score(make_regions(layer="fc7"))
    with pytest.raises(ValueError, match="length 37, got layer 'pool5' and length 36"):
        make_svms().score(make_regions(length=36))


def test_region_scores_repeat_the_proposals():
    svms, regions = make_svms(), make_regions()
    record = svms.region_scores(regions)
    assert record.boxes.shape == (11, 5, 4)
    assert (record.boxes == regions.boxes[:, None]).all()
    assert (record.scores == svms.score(regions)).all()


def test_no_proposals_and_no_classes():
    assert make_svms().region_scores(make_regions(0)).scores.shape == (0, 5)
    assert make_svms(0).region_scores(make_regions(3)).boxes.shape == (3, 0, 4)


def test_round_trip_on_disk(tmp_path):
    svms = make_svms()
    write_arrays(tmp_path / "svms.safetensors", *svms.to_arrays())
    again = LinearSVMs.from_arrays(*read_arrays(tmp_path / "svms.safetensors"))
    assert again.layer == "pool5"
    for name in ("weights", "biases", "trained"):
        assert (getattr(again, name) == getattr(svms, name)).all()


def test_another_kind_or_version_is_refused():
    arrays, metadata = make_svms().to_arrays()
    for change in ({"kind": "box_regressors"}, {"format_version": "2"}):
        with pytest.raises(ValueError, match="expected kind 'linear_svms' in format_version '1'"):
            LinearSVMs.from_arrays(arrays, metadata | change)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="SVM biases"):
        LinearSVMs(np.zeros((2, 3), np.float32), np.zeros(3, np.float32), np.ones(2, bool), "pool5")
