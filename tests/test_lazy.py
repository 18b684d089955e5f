import sys
import types

import pytest

from detection._lazy import lazy_names


@pytest.fixture
def package(monkeypatch):
    """A package `toy` with the modules `toy.first` and `toy.second`, whose names are loaded when first used."""
    modules = {name: types.ModuleType(name) for name in ("toy", "toy.first", "toy.second")}
    modules["toy.first"].size, modules["toy.second"].area = 1, 2
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    toy = modules["toy"]
    toy.__getattr__, toy.__dir__, toy.__all__ = lazy_names(
        "toy", {"second": ("area",), "first": ("size",)}, renamed={"extent": "area"}
    )
    return toy


def test_names_come_from_their_modules(package):
    assert (package.size, package.area) == (1, 2)
    assert package.__all__ == ["area", "size"]
    assert {"area", "size", "__all__"} <= set(dir(package))


def test_an_unknown_name(package):
    with pytest.raises(AttributeError, match="module 'toy' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_a_renamed_name(package):
    with pytest.warns(DeprecationWarning, match="toy.extent is called area now"):
        assert package.extent == 2
    assert "extent" not in dir(package)
