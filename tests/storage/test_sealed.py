import json

import pytest

from detection.storage import notices, read_sealed_json, read_sealed_yaml, write_sealed_json, write_sealed_yaml

CONTENT = {"a": 0.1, "b": [1, None, "NO", "1:30"], "c": {"d": 1e-7, "é": True, "f": "2026-11-28T10:00:00+0000"}}
KINDS = {"yaml": (write_sealed_yaml, read_sealed_yaml), "json": (write_sealed_json, read_sealed_json)}


@pytest.fixture(params=KINDS)
def file(request, tmp_path):
    """(path, what writes it, what reads it)."""
    return tmp_path / f"a.{request.param}", *KINDS[request.param]


def test_round_trip(file):
    path, write, read = file
    write(path, CONTENT)
    assert read(path, "leave it") == CONTENT
    first = path.read_bytes()
    write(path, CONTENT)
    assert path.read_bytes() == first
    write(path, {})
    assert read(path, "leave it") == {}


def test_what_was_read_is_the_readers_own(file):
    path, write, read = file
    write(path, CONTENT)
    changed = read(path, "leave it")
    changed["b"].append(2)
    assert read(path, "leave it") == CONTENT
    write(path, changed)
    assert read(path, "leave it") == changed


@pytest.mark.parametrize(("old", "new"), [("0.1", "0.2"), ("NO", "ON"), ("null", "1"), ("true", "false")])
def test_another_value_is_found(file, old, new):
    path, write, read = file
    write(path, CONTENT)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    told = rf"{path.name}: damaged, or changed by hand: .* got [0-9a-f]{{16}}; where .* its line .*, else leave"
    with pytest.raises(ValueError, match=told):
        read(path, "leave it")


def test_what_is_cut_is_found(file):
    path, write, read = file
    write(path, CONTENT)
    text = path.read_bytes()
    for length in range(len(text.splitlines(keepends=True)[0]) + 20, len(text) - 2):
        path.write_bytes(text[:length])
        with pytest.raises(ValueError, match=rf"(?s){path.name}: .*leave it"):
            read(path, "leave it")


def test_one_of_before_there_were_fingerprints(file, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_said", set())
    path, _, read = file
    path.write_text(json.dumps({"a": [1, "b"]}))
    assert read(path, "leave it") == read(path, "leave it") == {"a": [1, "b"]}
    assert [one.split(": of an")[0] for one in caplog.messages] == [str(path)]
    path.write_text("[1]")
    assert read(path, "leave it") == [1]


def test_a_fingerprint_as_long_as_a_file_is_not_repeated(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"content_fingerprint": "e" * 10_000, "a": 1}))
    with pytest.raises(ValueError, match=r"a\.json: damaged, .* fingerprint e+\.\.\., got") as error:
        read_sealed_json(path, "make it again")
    assert len(str(error.value)) < 400 + len(str(path))
