"""Values of a YAML file that stay text."""

import pytest
import yaml

from detection.storage.yaml_text import keep_text


def load(text, key):
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    keep_text(root, key)
    return None if root is None else loader.construct_document(root)


@pytest.mark.parametrize(
    "text", ["NO", "yes", "007", "1:30", "1_000", "null", "~", "1.0", "2024-01-01", "0x1F", "=", "<<"]
)
def test_values_below_the_key_are_the_text_as_written(text):
    assert load(f"names: [{text}]", "names") == {"names": [text]}
    assert load(f"names: {{0: {text}}}", "names") == {"names": {0: text}}


def test_all_else_is_yaml():
    assert load("names: [[NO], {a: yes}]\nnc: 007", "names") == {"names": [[False], {"a": True}], "nc": 7}
    assert load("[NO]", "names") == [False]
    assert load("", "names") is None
    assert load("names: NO", "names") == {"names": False}
