import pytest

from detection.data import DataError
from detection.data.json_items import KEPT, Item, edited_lists, read_entries, read_items
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


@pytest.mark.parametrize(
    ("text", "replaced", "added", "expected"),
    [
        ('{"a": [1, 2, 3]}', {2: []}, [], '{"a": [1, 3]}'),
        ('{"a": [1, 2, 3]}', {1: []}, [], '{"a": [2, 3]}'),
        ('{"a": [1, 2, 3]}', {1: [], 2: [], 3: []}, [], '{"a": []}'),
        ('{"a": [1, 2, 3]}', {1: [], 2: [], 3: []}, [4], '{"a": [4]}'),
        ('{"a":[\n 1.50,\n 2\n]}', {1: [0, KEPT, {"b": None}]}, [4], '{"a":[\n 0,\n 1.50,\n {"b": null},\n 2,\n 4\n]}'),
        ('{"a": [ ], "b":[2]}', {}, [4, 5], '{"a": [4,5 ], "b":[2]}'),
        ('{"b": [1e3, "\\u00e9"] }\n', {}, ["é"], '{"b": [1e3, "\\u00e9"] , "a": ["\\u00e9"]}\n'),
        ('{"b": "é"}', {}, ["é"], '{"b": "é", "a": ["é"]}'),
    ],
)
def test_items_of_lists_are_changed_and_all_else_is_as_written(tmp_path, text, replaced, added, expected):
    assert edited_lists(written(tmp_path, text), {"a": replaced}, {"a": added}) == expected


def test_two_lists_at_once(tmp_path):
    path = written(tmp_path, '{"b": [1, 2], "x": {"a": [7]}, "a": [3]}')
    text = edited_lists(path, {"a": {1: [KEPT, 9]}, "b": {1: []}}, {"b": [5], "c": [1]})
    assert text == '{"b": [2, 5], "x": {"a": [7]}, "a": [3,9], "c": [1]}'


TWICE = ['{"a": [1], "a": []}', '{"a": [1], "b": 1, "a": [2]}']


@pytest.mark.parametrize("text", [*TWICE, '{"a": 1}', "[1]", '{"a": [1,]}'])
def test_what_cannot_be_changed_for_sure_is_refused(tmp_path, text):
    with pytest.raises(DataError, match="malformed JSON"):
        edited_lists(written(tmp_path, text), {"a": {1: []}}, {})
