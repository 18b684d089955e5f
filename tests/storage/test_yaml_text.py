"""Values of a YAML file that stay text."""

import pytest
import yaml

from detection.storage.yaml_text import quoted_mapping, quoted_mappings

ODD = ["NO", "yes", "007", "1:30", "1_000", "null", "~", "1.0", "2024-01-01", "0x1F", "=", "<<"]


@pytest.mark.parametrize("text", ODD)
def test_mappings_under_the_key_are_quoted_for_any_reader(text):
    is_null = text in ("null", "~")
    found = yaml.safe_load(quoted_mappings(f"a: 1\nb:\n- map: {{{text}: {text}}}\n  c: NO", "map"))
    assert found == {"a": 1, "b": [{"map": {text: None if is_null else text}, "c": False}]}
    assert yaml.safe_load(quoted_mapping(f"{{{text}: {text}, '{text}': '{text}'}}")) == {text: text}
    assert yaml.safe_load(quoted_mapping(f"{{{text}: {text}}}")) == {text: None if is_null else text}


@pytest.mark.parametrize("text", ["", "a: [", "other: {NO: 1}", "a: b", "&a [*a]", "[" * 3000])
def test_what_has_no_such_mapping_stays_as_it_is(text):
    assert quoted_mappings(text, "map") == text
    assert yaml.safe_load(quoted_mappings("map: 7\nx: &a [*a]", "map"))["map"] == 7


@pytest.mark.parametrize("text", ["", "a: [", "[a, b]", "7", "{a: [1]}", "{a: {b: c}}"])
def test_what_is_no_mapping_of_texts_stays_as_it_is(text):
    assert quoted_mapping(text) == text
