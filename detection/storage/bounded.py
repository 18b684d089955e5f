"""Text, YAML and JSON of anybody's files, under limits: none can hang its reader, or grow far beyond its size."""

import re
import stat
from collections import Counter
from json.decoder import JSONDecoder
from os import fstat
from pathlib import Path
from typing import Any

import yaml

from detection.storage.names import shortened

# YAML is read slowly: this takes some seconds, and holds some 200,000 names.
MAX_YAML_BYTES = 2**22
MAX_YAML_DEPTH = 32
# Of a JSON that is read as a tree, which takes some ten times as much memory; `data/json_items.py` reads larger ones.
MAX_JSON_BYTES = 2**28
MAX_JSON_DEPTH = 64
# Of a whole number: float64 ends at 309 digits.
MAX_DIGITS = 300
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# Of text that begins with an ASCII letter.
_ZERO_AT = {0: "utf-16-be", 1: "utf-16-le"}
_SHOWN = 200
# What PyYAML raises: a tag whose text is not of its kind gives any of these.
YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class TooLargeError(ValueError):
    """A file has more bytes than are read; the text names the file and the limit."""


def read_limited(path: Path | str, limit: int) -> bytes:
    """The bytes of a file of at most `limit`. Raises TooLargeError before more than that is read, and OSError."""
    with Path(path).open("rb") as file:
        state = fstat(file.fileno())
        # Devices and pipes tell no size.
        size = state.st_size if stat.S_ISREG(state.st_mode) else limit
        content = b"" if size > limit else file.read(size + 1)
    if max(size, len(content)) > limit:
        raise TooLargeError(f"{path}: expected at most {limit:,} bytes, got {'more' if size <= limit else f'{size:,}'}")
    return content


def text_encoding(content: bytes) -> str:
    """What a text is in: UTF-8, or UTF-16 by its byte order mark or by the zero that it has beside its first letter."""
    head = content[:2]
    return _BYTE_ORDER_MARKS.get(head) or _ZERO_AT.get(head.find(0) if any(head) else -1, "utf-8-sig")


def decode_text(content: bytes, path: Path | str) -> str:
    """The text of `text_encoding`. Raises ValueError naming the file, the byte that is not of it, and what to do."""
    try:
        return content.decode(text_encoding(content))
    except UnicodeDecodeError as error:
        at = error.start + len(content) - len(error.object)  # a byte order mark is cut off
        line = content.count(b"\n", 0, at) + 1
        got = f"the byte 0x{content[at]:02x} at position {at}, line {line} ({error.encoding}: {error.reason})"
        raise ValueError(f"{path}: expected UTF-8 text, got {got}; save the file as UTF-8") from error


# libyaml, where PyYAML was built with it: some ten times faster.
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Every value is text, as it is written.
_TextLoader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
# What YAML could take for a number. 1:30:00 is one too, to the base 60, which takes the square of its length in time.
_NUMBER = re.compile(r"[-+.:_\s0-9a-fA-Fxo]+")
# A character beyond 16 bits as JSON escapes it, which programs take YAML to read.
_PAIRS = re.compile(r"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def read_yaml(path: Path | str, as_text: bool = False) -> Any:
    """The content of a YAML file; nothing in it is run. The one reader of YAML, for files of ours and of others.

    as_text: every key and value is the text that is written: ``NO``, ``007`` and ``1:30`` are no booleans or numbers.
    Raises ValueError naming file and limit for more than MAX_YAML_BYTES, nesting deeper than MAX_YAML_DEPTH, aliases
    (a few lines of them stand for more than any memory), numbers of more than MAX_DIGITS, and what is not YAML.
    """
    return parse_yaml(decode_text(read_limited(path, MAX_YAML_BYTES), path), path, as_text)


def parse_yaml(text: str, path: Path | str, as_text: bool = False) -> Any:
    """`read_yaml` of a text; path: what a message names."""
    try:
        check_yaml(text)
        return yaml.load(text, Loader=_TextLoader if as_text else YamlLoader)
    except YAML_ERRORS as error:
        joined = _PAIRS.sub(lambda pair: JSONDecoder().decode(f'"{pair[0]}"'), text)
        if joined != text:
            return parse_yaml(joined, path, as_text)
        raise ValueError(f"{path}: expected YAML, got {_one_line(error)}") from error


def check_yaml(text: str) -> None:
    """Raise yaml.YAMLError for what `read_yaml` refuses in a text, and for what is not YAML; nothing of it is built."""
    if len(text) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"{len(text):,} letters, at most {MAX_YAML_BYTES:,} are read")
    depth = 0
    for event in yaml.parse(text, Loader=YamlLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = f"the alias *{event.anchor}; aliases are not read, write out what it stands for"
        elif depth > MAX_YAML_DEPTH:
            problem = f"nesting deeper than {MAX_YAML_DEPTH}, which is not read"
        elif isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
            problem = f"a number of {len(event.value)} digits, at most {MAX_DIGITS} are read"
        if problem is not None:
            raise yaml.YAMLError(f"{problem} (line {event.start_mark.line + 1})")


def _is_long_number(event: yaml.ScalarEvent) -> bool:
    is_text = event.tag is None and not event.implicit[0]
    return len(event.value) > MAX_DIGITS and not is_text and _NUMBER.fullmatch(event.value) is not None


def read_json(path: Path | str, finite: bool = True) -> Any:
    """The content of a JSON file as a whole; UTF-8 or UTF-16, with a byte order mark or without.

    finite: refuse NaN and infinity. Raises ValueError naming the file for more than MAX_JSON_BYTES, nesting deeper than
    MAX_JSON_DEPTH, an object with a key twice, and what is not JSON. A whole number of more than MAX_DIGITS is a float.
    """
    text = decode_text(read_limited(path, MAX_JSON_BYTES), path)
    try:
        value = json_decoder(finite, object_pairs_hook=_each_once).decode(text)
        check_depth(value, text.count("[") + text.count("{"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, got {json_problem(error)}") from error
    return value


def json_decoder(finite: bool, **hooks: Any) -> JSONDecoder:
    """A decoder with whole numbers of more than MAX_DIGITS as float; if `finite`, NaN and infinity raise ValueError."""
    return JSONDecoder(parse_int=_whole, **({"parse_constant": _refused} if finite else {}), **hooks)


def check_depth(value: Any, brackets: int) -> None:
    """Raise ValueError for decoded JSON that is nested deeper than MAX_JSON_DEPTH.

    brackets: at least the opening ones of its text: so many levels it can have, and need no look if they are few.
    """
    level, depth = [value] if brackets > MAX_JSON_DEPTH else [], 0
    while level := [one for one in level if type(one) in (list, dict)]:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise ValueError(_TOO_DEEP)
        level = [inner for one in level for inner in (one.values() if type(one) is dict else one)]


def json_problem(error: Exception) -> str:
    """What is wrong, in words, of an error that decoding JSON raised."""
    return _TOO_DEEP if isinstance(error, RecursionError) else _one_line(error)


_TOO_DEEP = f"nesting deeper than {MAX_JSON_DEPTH}, which is not read"


def _whole(text: str) -> int | float:
    # As 1e400 is: what a number is good for, its reader looks at, and names the place.
    return int(text) if len(text) <= MAX_DIGITS + text.startswith("-") else float(text)


def _refused(name: str) -> None:
    raise ValueError(f"{name} where a finite number is expected")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {next(key for key, count in counts.items() if count > 1)!r:.80} more than once")
    return found


def _one_line(error: Exception) -> str:
    return shortened(" ".join(str(error).split()) or type(error).__name__, _SHOWN)
