from dataclasses import replace

import numpy as np
import pytest
import torch

from detection.engines import limit_threads
from detection.features import FeatureExtractor, FeatureSettings, MapCache
from detection.features.extractor import on_host
from detection.features.head import Head
from detection.geometry import project_to_cells
from detection.pooling import spatial_pyramid_pool
from detection.pooling.cells import scales_of
from detection.types import RegionFeatures

SMALL = "timm/mobilenetv3_small_050"
SETTINGS = FeatureSettings(
    backbone=SMALL, weights="random", short_sides=(96, 200), levels=(2, 1), max_long_side=300, target_area=60.0**2
)


@pytest.fixture(scope="module")
def extractor():
    return FeatureExtractor.from_settings(SETTINGS)


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (75, 101, 3), dtype=np.uint8)


def random_boxes(count, size, seed=0):
    rng = np.random.default_rng(seed)
    height, width = size
    sides = 5 + rng.random((count, 2)) * (np.array([width, height]) - 5)
    corner = rng.random((count, 2)) * (np.array([width, height]) - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


def test_maps_of_an_odd_image(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    assert pyramid.size == (75, 101)
    assert pyramid.scales.tolist() == [96 / 75, 200 / 75]
    # 96 x 129.28 px is padded to 96 x 160, 200 x 269.3 px to 224 x 288
    assert [[one.shape for one in maps] for maps in pyramid.maps] == [
        [(24, 6, 10), (288, 3, 5)],
        [(24, 14, 18), (288, 7, 9)],
    ]
    assert all(one.dtype == np.float16 and one.flags.c_contiguous for maps in pyramid.maps for one in maps)


def test_maps_of_both_sides_of_an_image(extractor, rgb):
    with limit_threads(1):
        both, plain = extractor.pyramid("a", rgb, mirrored=True), extractor.pyramid("a", rgb)
        other = extractor.pyramid("a", np.ascontiguousarray(rgb[:, ::-1]))
    assert plain.mirrored is both.mirrored.mirrored is None
    for one, expected in ((both, plain), (both.mirrored, other)):
        assert [[each.tobytes() for each in maps] for maps in one.maps] == [
            [each.tobytes() for each in maps] for maps in expected.maps
        ]


@pytest.mark.parametrize("change", [{}, {"pooling": "mean", "pool_floor": None}, {"stage_weights": (2.0, 0.5)}])
def test_maps_that_are_tensors_give_the_same_vectors(rgb, change):
    """As they are on another device, where nothing of them comes back but vectors."""
    extractor = FeatureExtractor.from_settings(replace(SETTINGS, **change))
    with limit_threads(1):
        pyramid = extractor.pyramid("a", rgb, stay=True)
    tensors = replace(pyramid, maps=tuple(tuple(map(torch.from_numpy, maps)) for maps in pyramid.maps))
    boxes = random_boxes(50, pyramid.size)
    expected, got = (extractor.pool(one, boxes, distinct=True) for one in (pyramid, tensors))
    assert isinstance(got.values, torch.Tensor)
    assert on_host(expected) is expected
    assert on_host(got).values.tobytes() == expected.values.tobytes()
    assert got.rows.tolist() == expected.rows.tolist()


def test_fc_layers_of_tensors_are_those_of_arrays(alexnet, rgb):
    pool5 = alexnet.pool(alexnet.pyramid("a", rgb), random_boxes(9, rgb.shape[:2]))
    got = alexnet.head(replace(pool5, values=torch.from_numpy(pool5.values)))
    assert isinstance(got.values, np.ndarray)
    np.testing.assert_allclose(got.values, alexnet.head(pool5).values, rtol=1e-4, atol=1e-5)


def test_the_long_side_is_capped(extractor):
    pyramid = extractor.pyramid("wide", np.zeros((20, 200, 3), np.uint8))
    assert pyramid.scales.tolist() == [1.5, 1.5]


def test_a_tiny_image(extractor):
    pyramid = extractor.pyramid("tiny", np.zeros((1, 1000, 3), np.uint8))
    regions = extractor.pool(pyramid, np.array([[0, 0, 1000, 1]], np.float32))
    assert np.isfinite(regions.values).all()


def test_each_region_is_pooled_from_its_scale_stage_by_stage(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    boxes = random_boxes(30, pyramid.size)
    regions = extractor.pool(pyramid, boxes)
    assert regions.layer == "pool5"
    assert regions.values.shape == (30, extractor.length()) == (30, (24 + 288) * 5)
    chosen = set()
    for box, got in zip(boxes.astype(np.float64), regions.values, strict=True):
        areas = [(box[2] - box[0]) * (box[3] - box[1]) * scale**2 for scale in pyramid.scales]
        scale = int(np.argmin([abs(area - 60.0**2) for area in areas]))
        chosen.add(scale)
        parts = []
        for stage, one in enumerate(pyramid.maps[scale]):
            cells = project_to_cells(
                box[None], pyramid.scales[scale], pyramid.strides[stage], pyramid.offsets[stage], (75, 101),
                one.shape[1:],
            )  # fmt: skip
            parts.append(spatial_pyramid_pool(one.astype(np.float32), cells, (2, 1))[0])
        assert np.array_equal(got, np.concatenate(parts))
    assert chosen == {0, 1}


def test_cells_that_see_only_padding_are_never_pooled(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    boxes = np.concatenate([random_boxes(20, pyramid.size), [[0, 0, 101, 75], [90, 60, 101, 75]]]).astype(np.float32)
    before = extractor.pool(pyramid, boxes).values.copy()
    spoilt = 0
    for scale, maps in zip(pyramid.scales, pyramid.maps, strict=True):
        for stride, (y, x), one in zip(pyramid.strides, pyramid.offsets, maps, strict=True):
            one[:, y + stride * np.arange(one.shape[1]) >= 75 * scale] = 60000
            one[:, :, x + stride * np.arange(one.shape[2]) >= 101 * scale] = 60000
            spoilt += int((one == 60000).any())
    assert spoilt == 2
    assert np.array_equal(extractor.pool(pyramid, boxes).values, before)


def test_cached_and_fresh_are_equal(extractor, rgb, tmp_path):
    cache = MapCache(tmp_path, "k")
    fresh = extractor.pyramid("a", rgb)
    cache.write(fresh, "f")
    boxes = random_boxes(50, fresh.size)
    again = FeatureExtractor.from_settings(SETTINGS).pyramid("a", rgb)
    expected = extractor.pool(fresh, boxes).values.tobytes()
    assert extractor.pool(cache.read("a", "f"), boxes).values.tobytes() == expected
    assert extractor.pool(again, boxes).values.tobytes() == expected


def test_no_region(extractor, rgb):
    regions = extractor.regions(extractor.pyramid("a", rgb), np.zeros((0, 4), np.float32))
    assert regions.values.shape == (0, extractor.length())


def test_regions_do_not_depend_on_each_other(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    boxes = random_boxes(40, pyramid.size)
    whole = extractor.pool(pyramid, boxes).values
    order = np.random.default_rng(1).permutation(40)[:17]
    assert np.array_equal(extractor.pool(pyramid, boxes[order]).values, whole[order])


def test_writing_to_memory_at_hand(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    boxes = random_boxes(10, pyramid.size)
    out = np.empty((12, extractor.length()), np.float32)
    regions = extractor.pool(pyramid, boxes, out=out)
    assert np.shares_memory(regions.values, out)
    assert np.array_equal(regions.values, extractor.pool(pyramid, boxes).values)


def crowded_boxes(size):
    """Regions of which many share their cells: each of 40 comes again moved by a fraction of a pixel."""
    boxes = random_boxes(40, size)
    moved = np.clip(boxes + 0.3, 0, np.array([*size[::-1]] * 2, np.float32))
    return np.concatenate([boxes, moved, boxes[::-1]])


def test_regions_on_the_same_cells_share_a_vector(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    boxes = crowded_boxes(pyramid.size)
    plain, shared = extractor.pool(pyramid, boxes), extractor.pool(pyramid, boxes, distinct=True)
    assert plain.rows is None
    assert np.array_equal(shared.boxes, boxes)
    assert np.array_equal(shared.values[shared.rows], plain.values)
    # Row by row in the order of the regions that came first.
    assert list(dict.fromkeys(shared.rows.tolist())) == list(range(len(shared.values)))
    assert len(shared.values) <= 60
    scale_of = np.repeat([0, 1], [60, 60])
    forced = extractor.pool(pyramid, boxes, scales=scale_of)
    again = extractor.pool(pyramid, boxes, scales=scale_of, distinct=True)
    assert np.array_equal(again.values[again.rows], forced.values)
    assert not set(again.rows[:60].tolist()) & set(again.rows[60:].tolist())


def test_regions_apart_in_one_stage_alone_are_apart(extractor, rgb):
    """Cells of stride 16 differ while those of stride 32 are equal: two vectors."""
    pyramid = extractor.pyramid("a", rgb)
    boxes = random_boxes(200, pyramid.size, seed=2)
    shared = extractor.pool(pyramid, boxes, distinct=True)
    keys = []
    for region, box in enumerate(boxes):
        scale = int(scales_of(boxes, pyramid, extractor.settings)[region])
        cells = [
            project_to_cells(box[None], pyramid.scales[scale], stride, offset, pyramid.size, one.shape[1:]).tolist()
            for stride, offset, one in zip(pyramid.strides, pyramid.offsets, pyramid.maps[scale], strict=True)
        ]
        keys.append(str((scale, cells)))
    assert len(shared.values) == len(set(keys)) < 200
    assert [keys.index(key) for key in keys] == [shared.rows.tolist().index(row) for row in shared.rows]


def test_no_region_has_no_vector(extractor, rgb):
    regions = extractor.pool(extractor.pyramid("a", rgb), np.zeros((0, 4), np.float32), distinct=True)
    assert (regions.values.shape, regions.rows.shape) == ((0, extractor.length()), (0,))


def test_floor_and_stage_weights(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    boxes = random_boxes(10, pyramid.size)
    plain = extractor.pool(pyramid, boxes).values
    assert (plain < 0).any()
    changed = FeatureSettings(
        backbone=SMALL, weights="random", short_sides=(96, 200), levels=(2, 1), max_long_side=300,
        target_area=60.0**2, pool_floor=0.0, stage_weights=(2.0, 0.5),
    )  # fmt: skip
    got = FeatureExtractor(changed, extractor.backbone).pool(pyramid, boxes).values
    expected = np.maximum(plain, 0)
    expected[:, : 24 * 5] *= 2
    expected[:, 24 * 5 :] *= 0.5
    assert np.array_equal(got, expected)


def test_state_round_trip(extractor, rgb):
    again = FeatureExtractor.from_state(SETTINGS, extractor.state())
    for one, other in zip(extractor.pyramid("a", rgb).maps, again.pyramid("a", rgb).maps, strict=True):
        assert all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


def test_what_does_not_belong_together_is_refused(extractor, rgb):
    with pytest.raises(ValueError, match=r"stages: settings say \(16,\)"):
        FeatureExtractor(FeatureSettings(backbone=SMALL, stages=(16,)), extractor.backbone)
    with pytest.raises(ValueError, match=r"image 'a': expected \(H, W, 3\) uint8"):
        extractor.pyramid("a", rgb[:, :, 0])
    shallow = FeatureExtractor.from_settings(FeatureSettings(SMALL, "random", stages=(16,), engine="torch"))
    with pytest.raises(ValueError, match=r"maps of image 'a': expected strides \(16,\)"):
        shallow.pool(extractor.pyramid("a", rgb), random_boxes(1, (75, 101)))
    with pytest.raises(ValueError, match="fc7 is not on offer"):
        extractor.regions(extractor.pyramid("a", rgb), random_boxes(1, (75, 101)), "fc7")


def test_values_beyond_float16_are_an_error(extractor, rgb):
    state = extractor.backbone.state()
    loud = {name: value * 3 if name.endswith("conv_pwl.weight") else value for name, value in state.items()}
    loud = {name: value * 1e6 if name == "conv_stem.weight" else value for name, value in loud.items()}
    backbone = type(extractor.backbone)(SMALL, (16, 32), loud, offsets=extractor.backbone.offsets)
    with pytest.raises(ValueError, match="image 'a': expected finite float16"):
        FeatureExtractor(SETTINGS, backbone).pyramid("a", rgb)


def test_limit_threads():
    before = torch.get_num_threads()
    with limit_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="threads"), limit_threads(0):
        pass


ALEXNET = FeatureSettings("alexnet", "random", stages=(16,), levels=(3, 6, 1), layer="fc7", engine="torch")


@pytest.fixture(scope="module")
def alexnet():
    return FeatureExtractor.from_settings(replace(ALEXNET, short_sides=(227,)))


def test_fc6_and_fc7_are_those_of_the_network(alexnet):
    rng = np.random.default_rng(0)
    pooled = RegionFeatures("a", random_boxes(3, (50, 50)), rng.random((3, 256 * 46), dtype=np.float32), "pool5")
    state = alexnet.pooled_head.state()
    level = torch.from_numpy(pooled.values[:, 256 * 9 : 256 * 45])
    hidden = torch.relu(
        torch.nn.functional.linear(level, *(torch.from_numpy(state[f"fc6.{n}"]) for n in ("weight", "bias")))
    )
    assert np.allclose(alexnet.head(pooled, "fc6").values, hidden, rtol=1e-4, atol=1e-5)
    hidden = torch.relu(
        torch.nn.functional.linear(hidden, *(torch.from_numpy(state[f"fc7.{n}"]) for n in ("weight", "bias")))
    )
    got = alexnet.head(pooled)
    assert got.layer == "fc7"
    assert np.allclose(got.values, hidden, rtol=1e-4, atol=1e-5)
    assert alexnet.length("fc6") == alexnet.length("fc7") == alexnet.length() == 4096
    assert alexnet.length("pool5") == 256 * 46
    with pytest.raises(ValueError, match="expected pool5 vectors, got fc7"):
        alexnet.head(got)


def test_rows_of_a_head_do_not_depend_on_how_many_there_are(alexnet):
    pooled = np.random.default_rng(1).standard_normal((300, 256 * 46)).astype(np.float32)
    whole = alexnet.pooled_head(pooled, "fc7")
    assert alexnet.pooled_head(pooled[256:], "fc7").tobytes() == whole[256:].tobytes()
    assert alexnet.pooled_head(pooled[:1], "fc7").tobytes() == whole[:1].tobytes()
    assert alexnet.pooled_head(pooled[:0], "fc7").shape == (0, 4096)
    order = np.random.default_rng(2).permutation(300)
    assert alexnet.pooled_head(pooled[order], "fc7").tobytes() == whole[order].tobytes()


def test_shared_vectors_pass_the_head_once(alexnet, rgb):
    pyramid = alexnet.pyramid("a", rgb)
    boxes = crowded_boxes(pyramid.size)
    plain = alexnet.head(alexnet.pool(pyramid, boxes))
    shared = alexnet.head(alexnet.pool(pyramid, boxes, distinct=True))
    assert len(shared.values) < len(boxes)
    assert np.array_equal(shared.values[shared.rows], plain.values)
    regions = alexnet.regions(pyramid, boxes)
    assert regions.rows is None
    assert np.array_equal(regions.values, plain.values)


@pytest.mark.parametrize("layer", ["fc6", "fc7"])
def test_the_gradient_of_a_head_takes_a_score_apart(alexnet, layer):
    head = alexnet.pooled_head
    pooled = np.random.default_rng(4).random((1, alexnet.length("pool5")), np.float32)
    weights = np.random.default_rng(5).standard_normal(4096)
    gradient = head.gradient(pooled[0], layer, weights)
    score = head(pooled, layer)[0] @ weights
    step = 1e-3 * np.random.default_rng(6).standard_normal(pooled.shape).astype(np.float32)
    moved = head(pooled + step, layer)[0] @ weights
    assert moved - score == pytest.approx(float(gradient @ step[0].astype(np.float64)), rel=0.05)
    # Values that fc6 does not read add nothing.
    assert (gradient != 0).sum() <= 256 * 36


def test_head_of_a_whole_region_is_the_network_itself(alexnet):
    """Fully connected layers on a map that is pooled to 6 x 6 as torchvision pools it."""
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.alexnet(weights=None).eval()
    settings = replace(ALEXNET, levels=(6,), layer="fc6")
    head = Head.from_network(settings, 256 * 36, {k: v.numpy() for k, v in network.state_dict().items()})
    maps = torch.rand(1, 256, 6, 6)
    with torch.inference_mode():
        expected = network.classifier[:3](network.avgpool(maps).flatten(1))
    got = head(spatial_pyramid_pool(maps[0].numpy(), np.array([[0, 0, 6, 6]]), (6,)), "fc6")
    # Sums of 9,216 products of the order of 0.01: outputs near 0 differ by the rounding of the sum.
    assert np.allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_head_state_round_trip(alexnet):
    again = FeatureExtractor.from_state(alexnet.settings, alexnet.state())
    rgb = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    boxes = random_boxes(5, (60, 80))
    first, second = (one.regions(one.pyramid("a", rgb), boxes) for one in (alexnet, again))
    assert first.layer == "fc7"
    assert first.values.tobytes() == second.values.tobytes()


def test_a_head_without_its_level_or_stage_is_refused():
    with pytest.raises(ValueError, match="levels: fc7 of alexnet was trained on 6 x 6 bins"):
        FeatureExtractor.from_settings(replace(ALEXNET, levels=(3, 1)))
    with pytest.raises(ValueError, match=r"stages: fc7 of vgg16 reads stride 16 alone, got \(8, 16\)"):
        FeatureExtractor.from_settings(replace(ALEXNET, backbone="vgg16", levels=(7,), stages=(8, 16)))
