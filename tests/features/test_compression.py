"""Thin layers in place of fc6 and fc7: what they are, and heads that have them."""

import dataclasses

import numpy as np
import pytest

from detection.features import FeatureSettings, Head
from detection.features.compression import compress_head, largest_useful_rank, truncated_svd
from detection.features.head import trained_columns
from detection.storage import write_arrays

D, H6, H7 = 70, 40, 24
SETTINGS = FeatureSettings(layer="fc7", head="finetuned")


@pytest.fixture(scope="module")
def state():
    rng = np.random.default_rng(0)
    shapes = {"fc6.weight": (H6, D), "fc6.bias": (H6,), "fc7.weight": (H7, H6), "fc7.bias": (H7,)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def pooled():
    return np.random.default_rng(1).standard_normal((300, D), np.float32)


@pytest.mark.parametrize("shape", [(40, 70), (70, 40), (5, 5)])
def test_the_product_is_the_best_approximation_of_its_rank(shape):
    weight = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    u, s, v = np.linalg.svd(weight.astype(np.float64))
    down, up, kept = truncated_svd(weight, 3)
    assert (down.shape, up.shape) == ((3, shape[1]), (shape[0], 3))
    assert np.allclose(up @ down, (u[:, :3] * s[:3]) @ v[:3], atol=1e-5)
    assert kept == pytest.approx((s[:3] ** 2).sum() / (s**2).sum())
    assert np.allclose(up.T @ up, np.eye(3), atol=1e-6)
    assert np.allclose(np.linalg.norm(down, axis=1), s[:3], rtol=1e-5)


def test_the_rank_of_an_energy_is_the_least_that_keeps_it():
    weight = np.diag([3.0, 2.0, 1.0]).astype(np.float32)
    for energy, rank in ((0.1, 1), (9.1 / 14, 2), (13.1 / 14, 3), (1.0, 3)):
        down, _, kept = truncated_svd(weight, energy=energy)
        assert len(down) == rank
        assert kept >= energy - 1e-12
    assert truncated_svd(np.zeros((3, 4), np.float32), energy=0.5)[2] == 1.0


def test_thin_layers_of_full_rank_give_the_same_vectors(state, pooled):
    ranked = dict(state)
    for name in ("fc6", "fc7"):
        down, up, _ = truncated_svd(ranked.pop(f"{name}.weight"), min(state[f"{name}.weight"].shape))
        ranked |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
    for layer in ("fc6", "fc7"):
        whole, thin = (Head(SETTINGS, D, one)(pooled, layer) for one in (state, ranked))
        assert np.allclose(thin, whole, rtol=1e-4, atol=1e-3)


def test_a_compressed_head_multiplies_by_thin_layers(state, pooled):
    compressed, layers = compress_head(state, {"fc6": 10, "fc7": 6})
    assert [(one.name, one.rank, one.weights_before, one.weights_after) for one in layers] == [
        ("fc6", 10, D * H6, 10 * (D + H6)),
        ("fc7", 6, H6 * H7, 6 * (H6 + H7)),
    ]
    head = Head(SETTINGS, D, compressed)
    hidden = np.maximum(
        (pooled @ compressed["fc6.down.weight"].T) @ compressed["fc6.up.weight"].T + state["fc6.bias"], 0
    )
    assert np.allclose(head(pooled, "fc6"), hidden, rtol=1e-4, atol=1e-4)
    weight = compressed["fc7.up.weight"] @ compressed["fc7.down.weight"]
    assert np.allclose(head(pooled, "fc7"), np.maximum(hidden @ weight.T + state["fc7.bias"], 0), rtol=1e-4, atol=1e-3)
    assert (head.length("fc6"), head.length("fc7")) == (H6, H7)
    again = head.state()
    assert set(again) == set(compressed)
    assert all(again[name].tobytes() == compressed[name].tobytes() for name in again)


def test_the_gradient_of_a_compressed_head(state, pooled):
    head = Head(SETTINGS, D, compress_head(state, {"fc6": 10, "fc7": 6})[0])
    weights, step = np.random.default_rng(3).standard_normal(H7), np.zeros(D, np.float32)
    step[4] = 1e-2
    moved, there = (head(one[None], "fc7")[0].astype(np.float64) @ weights for one in (pooled[0] + step, pooled[0]))
    assert (moved - there) / 1e-2 == pytest.approx(head.gradient(pooled[0], "fc7", weights)[4], rel=0.02)


@pytest.mark.parametrize("widths", [(40, 24), (9, 7), (1, 3)])
def test_a_rows_bits_do_not_depend_on_its_place(widths):
    """Regions that are the same to the maps go through a head once, wherever they then come to lie."""
    rng, length = np.random.default_rng(4), 37
    shapes = {
        "fc6.weight": (widths[0], length),
        "fc6.bias": widths[:1],
        "fc7.weight": widths[::-1],
        "fc7.bias": widths[1:],
    }
    head = Head(SETTINGS, length, {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()})
    rows = rng.standard_normal((300, length), np.float32)
    whole, order = head(rows, "fc7"), rng.permutation(300)
    assert head(rows[order], "fc7").tobytes() == whole[order].tobytes()
    assert head(rows[order[:5]], "fc7").tobytes() == whole[order[:5]].tobytes()
    assert {name: value.shape for name, value in head.state().items()} == shapes


def test_energy_and_ranks(state):
    compressed, (first, second) = compress_head(state, {"fc7": 0}, energy=0.5)
    assert first.energy >= 0.5 > truncated_svd(state["fc6.weight"], first.rank - 1)[2]
    assert (second.rank, second.energy) == (None, 1.0)
    assert compressed["fc7.weight"] is state["fc7.weight"]
    # Nothing is gained where nearly all is kept.
    assert [one.rank for one in compress_head(state, {}, energy=1.0)[1]] == [None, None]
    assert [one.rank for one in compress_head(state, {"fc6": 3})[1]] == [3, None]


def test_what_cannot_be_compressed(state):
    most = largest_useful_rank(H6, D)
    assert most * (H6 + D) < H6 * D <= (most + 1) * (H6 + D)
    for rank in (most + 1, -1):
        with pytest.raises(ValueError, match=f"fc6: expected a rank from 1 to {most}, .*; got {rank}"):
            compress_head(state, {"fc6": rank})
    with pytest.raises(ValueError, match=r"energy: expected more than 0 and at most 1, got 1\.5"):
        compress_head(state, {}, energy=1.5)
    with pytest.raises(ValueError, match="fc6: expected a layer that is not compressed, got one of rank 3"):
        compress_head(compress_head(state, {"fc6": 3})[0], {"fc6": 2})
    with pytest.raises(ValueError, match=r"head: expected weight, .* missing keys fc7\.weight, fc7\.bias; found fc6"):
        compress_head({name: value for name, value in state.items() if name.startswith("fc6")}, {"fc6": 3})


def test_incomplete_heads_are_refused(state, tmp_path):
    compressed, _ = compress_head(state, {"fc6": 10})
    cases = (
        ({k: v for k, v in compressed.items() if k != "fc6.up.weight"}, "missing keys fc6.up.weight; found"),
        ({**compressed, "fc6.weight": state["fc6.weight"]}, "got both of fc6"),
        ({**compressed, "fc6.up.weight": state["fc6.weight"]}, r"'fc6.up.weight': expected shape \(40, 10\)"),
    )
    for wrong, message in cases:
        write_arrays(tmp_path / "head.safetensors", wrong, {})
        with pytest.raises(ValueError, match=f"head.safetensors: .*{message}"):
            Head.from_file(SETTINGS, D, tmp_path / "head.safetensors")


def test_a_networks_own_head(tmp_path):
    """It reads one level of the pyramid; so does a file of as many inputs."""
    own = FeatureSettings(backbone="alexnet", stages=(16,), levels=(6, 1), weights="random", layer="fc6")
    length, rng = 256 * 37, np.random.default_rng(5)
    state = {
        "fc6.down.weight": rng.standard_normal((4, 256 * 36), np.float32),
        "fc6.up.weight": rng.standard_normal((4096, 4), np.float32),
        "fc6.bias": rng.standard_normal(4096, np.float32),
        "fc7.weight": np.zeros((4096, 4096), np.float32),
        "fc7.bias": np.zeros(4096, np.float32),
    }
    write_arrays(tmp_path / "head.safetensors", state, {})
    rows = rng.random((3, length), np.float32)
    from_state = Head(own, length, state)(rows, "fc6")
    by_path = dataclasses.replace(own, head=str(tmp_path / "head.safetensors"))
    assert Head.from_file(by_path, length, by_path.head)(rows, "fc6").tobytes() == from_state.tobytes()
    assert trained_columns(own, 256) == (0, 256 * 36)
    hidden = (rows[:, : 256 * 36] @ state["fc6.down.weight"].T) @ state["fc6.up.weight"].T + state["fc6.bias"]
    assert np.allclose(from_state, np.maximum(hidden, 0), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("outputs", "widths"), [("fc6", (5, 3)), ("fc7", (16, 17)), ("fc7", (5, 3))])
def test_what_widths_are_filled_up_with_adds_nothing(outputs, widths):
    """Layers of widths that are no multiple of the processor's: as NumPy multiplies them."""
    rng = np.random.default_rng(5)
    wide, thin = rng.standard_normal((widths[0], 7), np.float32), rng.standard_normal(widths[::-1], np.float32)
    biases = rng.standard_normal(widths[0], np.float32), rng.standard_normal(widths[1], np.float32)
    state = {"fc6.weight": wide, "fc6.bias": biases[0], "fc7.weight": thin, "fc7.bias": biases[1]}
    rows = rng.standard_normal((4, 7), np.float32)
    expected = {"fc6": np.maximum(rows @ wide.T + biases[0], 0)}
    expected["fc7"] = np.maximum(expected["fc6"] @ thin.T + biases[1], 0)
    head = Head(SETTINGS, 7, state)
    assert np.allclose(head(rows, outputs), expected[outputs], atol=1e-5)
    for values in head._tensors.values():
        assert np.count_nonzero(values.cpu().numpy()) in {wide.size, thin.size, *widths}
