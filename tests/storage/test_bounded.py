import json
import math

import pytest

from detection.storage import bounded, read_json, read_yaml
from detection.storage.bounded import (
    MAX_DIGITS,
    MAX_JSON_DEPTH,
    MAX_YAML_DEPTH,
    TooLargeError,
    decode_text,
    read_limited,
)


def written(tmp_path, text, name="a.yaml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def nested(depth):
    return "[" * depth + "]" * depth


def test_bytes_up_to_the_limit(tmp_path):
    path = written(tmp_path, b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(TooLargeError, match=r"a\.yaml: expected at most 4 bytes, got 5"):
        read_limited(path, 4)
    with pytest.raises(FileNotFoundError):
        read_limited(tmp_path / "absent", 4)


def test_a_device_is_read_no_further_than_the_limit():
    with pytest.raises(TooLargeError, match="zero: expected at most 1,000 bytes, got more"):
        read_limited("/dev/zero", 1000)


@pytest.mark.parametrize(("read", "name"), [(read_yaml, "MAX_YAML_BYTES"), (read_json, "MAX_JSON_BYTES")])
def test_files_up_to_the_limit(tmp_path, monkeypatch, read, name):
    monkeypatch.setattr(bounded, name, 8)
    assert read(written(tmp_path, '"123456"')) == "123456"
    with pytest.raises(TooLargeError, match=r"a\.yaml: expected at most 8 bytes, got 9"):
        read(written(tmp_path, '"1234567"'))


def test_yaml_up_to_its_depth(tmp_path):
    assert read_yaml(written(tmp_path, nested(MAX_YAML_DEPTH)))
    with pytest.raises(ValueError, match=rf"a\.yaml: .* nesting deeper than {MAX_YAML_DEPTH}.* \(line 1\)"):
        read_yaml(written(tmp_path, nested(MAX_YAML_DEPTH + 1)))
    for text in (nested(100_000), "- " * 100_000, "? " * 100_000):
        with pytest.raises(ValueError, match=r"a\.yaml: expected YAML, got .*nesting"):
            read_yaml(written(tmp_path, text))


def test_json_up_to_its_depth(tmp_path):
    assert read_json(written(tmp_path, nested(MAX_JSON_DEPTH)))
    assert len(read_json(written(tmp_path, f"[{','.join(['[[]]'] * 1000)}]"))) == 1000
    objects = '{"a":' * MAX_JSON_DEPTH + "1" + "}" * MAX_JSON_DEPTH
    assert read_json(written(tmp_path, objects))
    for text in (nested(MAX_JSON_DEPTH + 1), f'{{"a": {objects}}}', nested(1_000_000), "[" * 1_000_000):
        with pytest.raises(ValueError, match=rf"a\.yaml: expected JSON, got nesting deeper than {MAX_JSON_DEPTH}"):
            read_json(written(tmp_path, text))


def test_aliases_are_refused_where_they_stand(tmp_path):
    bomb = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in ("ab", "bc", "cd"))
    with pytest.raises(ValueError, match=r"a\.yaml: expected YAML, got the alias \*a; .* \(line 2\)"):
        read_yaml(written(tmp_path, bomb))


@pytest.mark.parametrize("text", ["1{}", "-{}", "0x{}", "1:{}", ".{}", "!!int 1{}", '!!float "1{}"'])
def test_yaml_numbers_up_to_the_limit(tmp_path, text):
    digits = "1" * (MAX_DIGITS - 1 - (text[0] == "0"))
    read_yaml(written(tmp_path, text.format(digits[1:])))
    with pytest.raises(ValueError, match=rf"got a number of \d+ digits, at most {MAX_DIGITS} are read \(line 1\)"):
        read_yaml(written(tmp_path, text.format(digits + "11")))


def test_long_text_is_no_number(tmp_path):
    assert read_yaml(written(tmp_path, f"'{'1' * 400}'")) == "1" * 400
    assert read_yaml(written(tmp_path, "word " * 100)) == " ".join(["word"] * 100)


@pytest.mark.parametrize(
    "text", ['!!int ""', '!!float ""', "!!timestamp x", "2001-99-99", "!!bool x", "!!binary x", "? [a]\n: b", "a: *b"]
)
def test_yaml_that_cannot_be_what_it_says(tmp_path, text):
    with pytest.raises(ValueError, match=r"a\.yaml: expected YAML, got"):
        read_yaml(written(tmp_path, text))


def test_yaml_as_text(tmp_path):
    names = ["NO", "yes", "007", "1:30", "1_000", "~", "null", "2026-01-01", "1e3", "x"]
    path = written(tmp_path, f"names: [{', '.join(names)}]\n0: a\n")
    assert read_yaml(path, as_text=True) == {"names": names, "0": "a"}
    assert read_yaml(path)["names"][0] is False


def test_yaml_with_the_escapes_of_json(tmp_path):
    path = written(tmp_path, '{"names": ["\\ud83d\\udc08", "\\uD83D\\uDC08s", "é"]}')
    assert read_yaml(path) == read_yaml(path, as_text=True) == {"names": ["🐈", "🐈s", "é"]}
    # Half of a pair is no character, and where a backslash is escaped there is none to be read.
    for text in (r'["\ud83d"]', r'["\\ud83d\udc08"]'):
        with pytest.raises(ValueError, match="expected YAML"):
            read_yaml(written(tmp_path, text))
    assert read_yaml(written(tmp_path, r"['\ud83d\udc08']")) == [r"\ud83d\udc08"]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_codings(tmp_path, coding):
    assert read_json(written(tmp_path, '["é"]'.encode(coding))) == ["é"]
    assert read_yaml(written(tmp_path, "[é]".encode(coding))) == ["é"]


def test_whole_numbers_of_json(tmp_path):
    most, more, much = "9" * MAX_DIGITS, "-" + "9" * (MAX_DIGITS + 1), "9" * 5000
    assert read_json(written(tmp_path, f"[{most}, -{most}, {more}, {much}]")) == [
        int(most), -int(most), float(more), math.inf,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_read_when_asked(tmp_path, text):
    path = written(tmp_path, f"[{text}]")
    assert not math.isfinite(read_json(path, finite=False)[0])
    with pytest.raises(ValueError, match=f"expected JSON, got {text} where a finite number is expected"):
        read_json(path)


def test_a_key_twice(tmp_path):
    many = json.dumps({str(place): 0 for place in range(50_000)})[:-1]
    with pytest.raises(ValueError, match="the key '49999' more than once"):
        read_json(written(tmp_path, many + ', "49999": 1}'))


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_told_by_its_first_letter(coding):
    assert decode_text("a\né".encode(coding), "a.txt") == "a\né"


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf"])
def test_what_is_not_utf_8_is_told_with_its_place_and_what_to_do(head):
    content = head + "cat\nchâton".encode("cp1252")
    place = len(head) + 6
    words = f"a.txt: expected UTF-8 text, got the byte 0xe2 at position {place}, line 2 .*; save the file as UTF-8"
    assert content[place] == 0xE2
    with pytest.raises(ValueError, match=words):
        decode_text(content, "a.txt")
