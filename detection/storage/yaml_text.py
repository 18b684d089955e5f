"""Parts of a YAML text whose values are text as it is written: a class called NO, 007 or 1:30."""

import json
from collections.abc import Iterator

import yaml

from detection.storage.bounded import YamlLoader

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_TEXT, _NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"
# What PyYAML raises on a text that is no YAML, or is nested too deeply.
_ERRORS = (yaml.YAMLError, ValueError, RecursionError)


def quoted_mappings(text: str, key: str) -> str:
    """A YAML text in which keys and values of every mapping under `key` are quoted, but for null: any reader has text.

    A text without such a key, or that is no YAML, is given back as it is.
    """
    if key not in text:
        return text
    try:
        root = yaml.compose(text, Loader=YamlLoader)
        for mapping in _mappings(root, key):
            for name, value in mapping.value:
                for one in (name, value):
                    if isinstance(one, yaml.ScalarNode) and (one is name or one.tag != _NULL):
                        one.tag, one.style = _TEXT, '"'
        return yaml.serialize(root, Dumper=_Dumper, allow_unicode=True)
    except _ERRORS:
        return text


def _mappings(root: yaml.Node | None, key: str) -> Iterator[yaml.MappingNode]:
    """The mappings under `key` anywhere below a node, each once however many aliases it has."""
    todo, seen = [root], set()
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.CollectionNode) and id(node) not in seen:
            seen.add(id(node))
            pairs = node.value if isinstance(node, yaml.MappingNode) else [(None, one) for one in node.value]
            yield from (one for name, one in pairs if _is_mapping(name, one, key))
            todo += [one for _, one in pairs]


def _is_mapping(name: yaml.Node | None, value: yaml.Node, key: str) -> bool:
    return getattr(name, "value", None) == key and isinstance(value, yaml.MappingNode)


def quoted_mapping(text: str) -> str:
    """A mapping in YAML as one line of JSON whose keys and values are the text as written, null but for null.

    A text that is no such mapping is given back as it is.
    """
    try:
        root = yaml.compose(text, Loader=YamlLoader)
    except _ERRORS:
        return text
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    if not pairs or not all(isinstance(one, yaml.ScalarNode) for pair in pairs for one in pair):
        return text
    return json.dumps({name.value: None if value.tag == _NULL else value.value for name, value in pairs})
