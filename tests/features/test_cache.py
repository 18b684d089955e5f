import numpy as np
import pytest

from detection.features import FeatureExtractor, FeatureSettings, MapCache, estimate_bytes, settings_key
from detection.features.cache import info, map_settings, prune, verify
from detection.types import FeaturePyramid

SETTINGS = FeatureSettings(
    backbone="timm/mobilenetv3_small_050", weights="random", short_sides=(96, 64), engine="torch"
)


def make_pyramid(image_id="a b/c", dtype=np.float16, seed=0):
    rng = np.random.default_rng(seed)
    # A transposed map: what is written must not be its memory as it lies.
    maps = tuple(
        (
            rng.standard_normal((3, side, 5)).astype(dtype),
            rng.standard_normal((2, 3, 4)).astype(dtype).transpose(1, 2, 0),
        )
        for side in (6, 4)
    )
    return FeaturePyramid(
        image_id, (375, 500), maps, np.array([1.5, 0.3]), np.array([16, 32]), np.array([[15.5, 15.5], [31.5, 30.5]])
    )


def assert_equal(first, second):
    assert (first.image_id, first.size) == (second.image_id, second.size)
    for name in ("scales", "strides", "offsets"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    for one, other in zip(first.maps, second.maps, strict=True):
        for left, right in zip(one, other, strict=True):
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)


def test_round_trip(tmp_path):
    cache = MapCache(tmp_path, "k", about={"backbone": "x"})
    assert cache.look_up("a b/c", "f") == (None, "absent")
    assert not cache.has("a b/c", "f")
    cache.write(make_pyramid(), "f")
    assert cache.has("a b/c", "f")
    assert_equal(cache.read("a b/c", "f"), make_pyramid())
    assert cache.path("a b/c").parent == tmp_path / "k"


def test_another_image_or_key_is_stale(tmp_path):
    cache = MapCache(tmp_path, "k")
    cache.write(make_pyramid(), "f")
    found, why = cache.look_up("a b/c", "g")
    assert found is None
    assert why.startswith("stale")
    assert "image_fingerprint" in why
    assert not cache.has("a b/c", "g")
    other = MapCache(tmp_path, "l")
    other.folder.mkdir()
    other.path("a b/c").write_bytes(cache.path("a b/c").read_bytes())
    assert "key" in other.look_up("a b/c", "f")[1]
    assert len(verify(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "foreign"])
def test_damaged_files_are_absent_and_listed(tmp_path, damage):
    cache = MapCache(tmp_path, "k")
    cache.write(make_pyramid("other"), "f")
    cache.write(make_pyramid(), "f")
    assert verify(tmp_path) == []
    path = cache.path("a b/c")
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[-1] ^= 1
    path.write_bytes({"cut": content[:-7], "empty": b"", "bit": content, "foreign": b"x" * 500}[damage])
    found, why = cache.look_up("a b/c", "f")
    assert found is None
    assert why.startswith("damaged")
    assert str(path) in why
    assert [str(path) in line for line in verify(tmp_path)] == [True]


def test_another_digit_of_the_size_is_found(tmp_path):
    cache = MapCache(tmp_path, "k")
    cache.write(make_pyramid(), "f")
    path = cache.path("a b/c")
    content = path.read_bytes()
    place = content.index(b'"size":"[') + len(b'"size":"[')
    path.write_bytes(content[:place] + (b"1" if content[place : place + 1] != b"1" else b"2") + content[place + 1 :])
    assert cache.look_up("a b/c", "f")[1].startswith(f"damaged: {path}: damaged: expected content of fingerprint")


def test_only_float16_is_written(tmp_path):
    with pytest.raises(ValueError, match="expected float16, got float32"):
        MapCache(tmp_path, "k").write(make_pyramid(dtype=np.float32), "f")


def test_info_and_prune(tmp_path):
    assert info(tmp_path / "none") == []
    for key in ("k", "l"):
        MapCache(tmp_path, key, about={"name": key}).write(make_pyramid(), "f")
    (tmp_path / "l" / ".tmp-1.safetensors").write_bytes(b"123")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("mine")
    entries = info(tmp_path)
    assert [(one.key, one.images, one.about) for one in entries] == [
        ("k", 1, {"name": "k"}), ("l", 1, {"name": "l"}), ("m", 0, {})
    ]  # fmt: skip
    freed = prune(tmp_path, {"k"})
    assert freed == entries[1].bytes + 3
    assert [one.key for one in info(tmp_path)] == ["k", "m"]
    assert (tmp_path / "m" / "notes.txt").is_file()


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "resnet18"},
        {"stages": (16,)},
        {"short_sides": (96,)},
        {"max_long_side": 500},
        {"engine": "openvino"},
    ],
)
def test_what_decides_maps_changes_the_key(change):
    changed = FeatureSettings(**{**map_settings(SETTINGS), **change})
    assert settings_key(changed, "w") != settings_key(SETTINGS, "w")


def test_what_decides_pooling_keeps_the_key():
    pooled = FeatureSettings(
        **map_settings(SETTINGS), target_area=1.0, levels=(1,), pool_floor=0.0, stage_weights=(1, 2)
    )
    assert settings_key(pooled, "w") == settings_key(SETTINGS, "w")
    assert settings_key(SETTINGS, "v") != settings_key(SETTINGS, "w")


def test_estimate_is_the_size_of_the_maps(tmp_path):
    rng = np.random.default_rng(0)
    extractor = FeatureExtractor.from_settings(SETTINGS)
    cache = MapCache(tmp_path, "k")
    sizes = [(75, 100), (101, 64), (33, 300)]
    for number, size in enumerate(sizes):
        cache.write(extractor.pyramid(str(number), rng.integers(0, 256, (*size, 3), dtype=np.uint8)), "f")
    estimate = estimate_bytes(sizes, SETTINGS)
    assert abs(info(tmp_path)[0].bytes - estimate) < 1024 * len(sizes)
    values = sum(m.size for n in range(3) for maps in cache.read(str(n), "f").maps for m in maps)
    assert estimate == 2 * values + 1024 * len(sizes)
    assert estimate_bytes([], SETTINGS) == 0
