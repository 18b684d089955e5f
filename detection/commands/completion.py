"""The script by which a shell completes commands, options and their values with the tab key.

usage: sppnet completion bash|zsh|fish

  echo 'source <(sppnet completion bash)' >> ~/.bashrc
  echo 'source <(sppnet completion zsh)' >> ~/.zshrc       after the line with compinit
  sppnet completion fish > ~/.config/fish/completions/sppnet.fish
"""

import json
import sys
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from detection.commands import sppnet

# They ask this command for words; where there is none, the shell completes names of files.
_SCRIPTS = {
    "bash": r"""_sppnet() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _sppnet sppnet
""",
    "zsh": r"""#compdef sppnet
_sppnet() {
    local -a found
    found=("${(@f)$("${words[1]}" completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -- $found; else _files; fi
}
compdef _sppnet sppnet
""",
    "fish": r"""function __sppnet_words
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l found ($words[1] completion words $words[2..-1] "$last" 2>/dev/null)
    if set -q found[1]
        string join \n -- $found
    else
        __fish_complete_path "$last"
    end
end
complete -c sppnet -f -a '(__sppnet_words)'
""",
}


def known_options() -> dict[str, Any]:
    """What ``make docs`` wrote of the options of all commands, so that none has to be loaded.

    commands: name, or name and part -> options and groups. groups: group -> options. Options: name -> values of which
    it takes one, none for any, null for a flag.
    """
    return json.loads(files("detection.commands").joinpath("options.json").read_text(encoding="utf-8"))


def candidates(words: Sequence[str]) -> list[str]:
    """What may stand in place of the last of the words behind ``sppnet``; nothing where a file may."""
    # A shell may hand over --name=value as three words.
    *before, last = [one for one in words if one != "="] or [""]
    return sorted(one for one in _possible(before, last) if one.startswith(last))


def _possible(before: Sequence[str], last: str) -> Sequence[str]:
    if before and before[-1] == "--config":
        return [one.name.removesuffix(".yaml") for one in files("detection").joinpath("configs").iterdir()]
    if not before:
        return [*sppnet.COMMANDS, "--help", "--version"]
    name = sppnet.OLD_NAMES.get(before[0], before[0])
    parts = sppnet.COMMANDS[name].parts if name in sppnet.COMMANDS else ()
    if parts and len(before) == 1:
        return [*parts, "--help"]
    known = known_options()
    command = known["commands"].get(" ".join([name, *before[1:2]]) if parts else name)
    if command is None:
        return []
    options = dict(command["options"])
    for group in command["groups"]:
        options |= known["groups"][group]
    if (values := options.get(before[-1])) is not None:
        return values
    if last.startswith("--") and len(last) > len("--"):
        return list(options)
    # Settings of stages are many: they are told once their first letter is there.
    return list(command["options"]) if last.startswith("-") else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    shell, *words = (sys.argv[1:] if arguments is None else arguments) or [""]
    if shell == "words":
        for one in candidates(words):
            print(one)
    elif shell in _SCRIPTS:
        print(_SCRIPTS[shell], end="")
    elif shell in ("-h", "--help", "--help-all"):
        print(__doc__)
    else:
        print(f"error: expected one of {', '.join(_SCRIPTS)}, got {shell!r}", file=sys.stderr)
        return 2
    return 0
