import importlib

import pytest

from detection._lazy import lazy_names


def test_names_are_those_of_their_modules():
    get, names, public = lazy_names("detection.storage", {"bounded": ("read_json",), "names": ("file_stem",)})
    assert get("read_json") is importlib.import_module("detection.storage.bounded").read_json
    assert public == ["file_stem", "read_json"]
    assert set(public) <= set(names())
    with pytest.raises(AttributeError, match=r"module 'detection\.storage' has no attribute 'read_toml'"):
        get("read_toml")


@pytest.mark.parametrize(
    ("package", "old", "now"),
    [
        ("detection.learning", "WindowFate", "detection.learning.NMSOutcome"),
        ("detection.proposals", "window_quality", "detection.proposals.quality.proposal_quality"),
        ("detection.data", "read_windows", "detection.proposals.foreign.read_proposals"),
        ("detection.data", "mend_windows", "detection.proposals.foreign.repair_proposals"),
        ("detection.features", "pool_map", "detection.pooling.pool_map"),
        ("detection.features", "side_by_side", "detection.engines.parallel_executor"),
    ],
)
def test_a_name_of_the_last_version_is_there_still_and_says_what_it_is_called_now(package, old, now):
    module, _, name = now.rpartition(".")
    with pytest.warns(DeprecationWarning, match=f"{package}.{old} is called .*{name} now"):
        found = getattr(importlib.import_module(package), old)
    assert found is getattr(importlib.import_module(module), name)


def test_the_module_of_the_last_version_that_docs_named():
    with pytest.warns(DeprecationWarning, match=r"pooling\.torch_pooling"):
        old = importlib.import_module("detection.features.spp_torch")
    assert old.SpatialPyramidPooling is importlib.import_module("detection.pooling.torch_pooling").SpatialPyramidPooling
