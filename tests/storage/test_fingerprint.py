import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from detection.storage import added_field, file_fingerprint, fingerprint


@dataclass(frozen=True)
class Inner:
    k: tuple[int, ...] = (50, 100)
    sigma: float = 0.8


@dataclass(frozen=True)
class Outer:
    name: str = "x"
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True)
class Other:
    name: str = "x"
    inner: Inner = field(default_factory=Inner)


DIFFERENT = [
    (),
    (None,),
    (0,),
    (1,),
    (1.5,),
    ("1",),
    (True,),
    ("",),
    ([],),
    ([1, 2],),
    ([2, 1],),
    (1, 2),
    ([[1], 2],),
    ({},),
    ({"a": 1},),
    ({"a": 2},),
    ({"b": 1},),
    (Outer(),),
    (Other(),),
    (Outer(name="y"),),
    (Outer(inner=Inner(sigma=0.9)),),
    (Outer(inner=Inner(k=(100, 50))),),
    (np.arange(6, dtype=np.float32),),
    (np.arange(6, dtype=np.float64),),
    (np.arange(6, dtype=np.float32).reshape(2, 3),),
    (np.arange(6, dtype=np.float32).reshape(3, 2),),
    (np.arange(6, dtype=np.float32)[::-1],),
    (np.zeros((0, 4), np.float32),),
    (np.zeros((0, 3), np.float32),),
    (0.1 + 0.2,),
    (0.3,),
    ("é",),
    ("e\u0301",),
]


def test_different_things_have_different_fingerprints():
    marks = [fingerprint(*values) for values in DIFFERENT]
    assert len(set(marks)) == len(DIFFERENT)
    assert all(len(mark) == 16 and set(mark) <= set("0123456789abcdef") for mark in marks)


def test_equal_things_have_equal_fingerprints():
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert fingerprint(base) == fingerprint(np.asfortranarray(base)) == fingerprint(base.copy().T.T)
    assert fingerprint(base[:, ::2]) == fingerprint(base[:, ::2].copy())
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({3, 1, 2}) == fingerprint(frozenset([1, 2, 3]))
    assert fingerprint(Outer()) == fingerprint(Outer(inner=Inner()))
    assert fingerprint(np.float64(0.5), np.int64(3), np.bool_(True)) == fingerprint(0.5, 3, True)
    assert fingerprint(Path("a/b")) == fingerprint(Path("a") / "b")


def test_it_never_changes():
    """Caches on disk are keyed by these values."""
    assert fingerprint("a", 1, 0.8, None, [True], {"k": (50, 100)}) == "530f7e5a8d7b7717"
    assert fingerprint(np.arange(6, dtype=np.float32).reshape(2, 3)) == "772c644af1551fcd"


def test_it_is_the_same_in_another_process():
    code = "from detection.storage import fingerprint; print(fingerprint({'b', 'a', 'c'}, {'x': 1.5, 'a': 'é'}))"
    marks = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("0", "1", "2")
    }
    assert marks == {fingerprint({"b", "a", "c"}, {"x": 1.5, "a": "é"})}


def test_an_added_field_counts_where_it_is_not_the_default():
    @dataclass
    class Before:
        one: int = 1

    @dataclass
    class After:
        one: int = 1
        other: str = added_field("as ever")

    After.__name__ = Before.__name__
    assert After().other == "as ever"
    assert fingerprint([Before(2)]) == fingerprint([After(2)])
    assert fingerprint(After(2)) != fingerprint(After(2, "new"))


@pytest.mark.parametrize("bad", [object(), b"bytes", fingerprint, Outer, 1j])
def test_what_has_no_stable_content_is_refused(bad):
    with pytest.raises(TypeError, match="fingerprint: expected plain data"):
        fingerprint(bad)


def test_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "c").write_bytes(b"x")
    # The first 16 digits of SHA-256 of nothing.
    assert file_fingerprint(tmp_path / "a") == file_fingerprint(str(tmp_path / "b")) == "e3b0c44298fc1c14"
    assert file_fingerprint(tmp_path / "c") != file_fingerprint(tmp_path / "a")
