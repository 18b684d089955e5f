import pytest

from detection.data import DataError
from detection.data.json_items import Item, read_entries, read_items
from detection.storage.bounded import MAX_JSON_DEPTH


def written(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    return tmp_path / "a.json"


def entries(path, **options):
    is_list, found = read_entries(path, **options)
    return is_list, list(found)


def test_a_list(tmp_path):
    path = written(tmp_path, ' [1,\n\n {"a": 2}]\n')
    assert entries(path) == (True, [Item("", 1, 1, 1), Item("", 2, 3, {"a": 2})])
    assert entries(written(tmp_path, "[]")) == (True, [])


def test_an_object(tmp_path):
    path = written(tmp_path, '{"a": [1],\n "b": []}')
    assert entries(path) == (False, [Item("a", 1, 1, [1]), Item("b", 2, 2, [])])
    assert entries(written(tmp_path, " {} ")) == (False, [])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"a": 1,\n"a": 2}', r"a\.json:2: malformed JSON: the key 'a' more than once"),
        ("[1,\n2] 3", r"a\.json:2: malformed JSON: expected the end of the file"),
        ("[1,\n]", r"a\.json:2: malformed JSON: expected a value"),
        ("[1,\nNaN]", r"a\.json:2: malformed JSON: NaN where"),
        ("3", r"a\.json:1: malformed JSON: expected an object at the top level"),
        ("", r"a\.json:1: malformed JSON: expected an object at the top level"),
    ],
)
def test_faults_have_their_line(tmp_path, text, match):
    with pytest.raises(DataError, match=match):
        entries(written(tmp_path, text))


def test_depth(tmp_path):
    def text(depth):
        return "[1,\n" + "[" * depth + "]" * depth + "]"

    assert len(entries(written(tmp_path, text(MAX_JSON_DEPTH)))[1]) == 2
    for depth in (MAX_JSON_DEPTH + 1, 500_000):
        with pytest.raises(DataError, match=r"a\.json:2: malformed JSON: nesting deeper than 64"):
            entries(written(tmp_path, text(depth)))
        with pytest.raises(DataError, match="nesting deeper than 64"):
            list(read_items(written(tmp_path, f'{{"a": {text(depth)}}}'), ["a"]))
