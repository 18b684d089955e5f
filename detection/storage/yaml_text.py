"""Parts of a YAML file whose values are text as it is written: a class called NO, 007 or 1:30."""

import yaml

_TEXT = "tag:yaml.org,2002:str"


def keep_text(root: yaml.Node | None, key: str) -> None:
    """Let plain values under `key` of a mapping's node be text, in a list or as a mapping's values.

    root: what ``Loader.get_single_node`` gives, before anything is made of it. What is nested deeper stays as it is.
    """
    for name, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if getattr(name, "value", None) == key and isinstance(value, yaml.CollectionNode):
            for one in value.value if isinstance(value, yaml.SequenceNode) else [item for _, item in value.value]:
                if isinstance(one, yaml.ScalarNode):
                    one.tag = _TEXT
