"""Options that had another name: the last version's work for this one, with a notice."""

from collections.abc import Mapping, Sequence

from detection.option_parser import plain_name
from detection.storage import notice


def renamed_options(
    arguments: Sequence[str], renamed: Mapping[str, str], short: Mapping[str, str] | None = None
) -> list[str]:
    """The words of a command line with today's names. renamed: the last version's name -> today's. short: a name that
    is typed for a longer one.
    """
    known, words = {plain_name(one): one for one in renamed}, []
    for word in arguments:
        name, is_joined, value = word.partition("=")
        name = known.get(plain_name(name), name)
        if name in renamed:
            notice(f"{name} is {renamed[name]} now; the old name goes with the next version")
        words.append({**renamed, **(short or {})}.get(name, name) + is_joined + value)
    return words
