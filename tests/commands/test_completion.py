"""The tab key: what is offered, by the script in real shells too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from detection.commands import completion, sppnet

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ([], [*sppnet.COMMANDS, "--help", "--version"]),
        (["de"], ["demo", "detect"]),
        (["proposals", "ex"], ["export"]),
        (["train_svm", "--ren"], ["--rename"]),
        (["detect", "--mo"], ["--model"]),
        (["detect", "--svm"], []),
        (["run", "--svm.pas"], ["--svm.passes"]),
        (["run", "--strict", ""], ["false", "true"]),
        (["run", "--strict", "=", "t"], ["true"]),
        (["proposals", "check", "--order", "xyx"], ["xyxy"]),
        (["run", "--config", "cus"], ["custom"]),
        (["run", "--run", ""], []),
        (["run", "--run", "x", ""], []),
        (["check", "--fi"], ["--fix"]),
        (["nothing", ""], []),
    ],
)
def test_words(words, offered, capsys):
    assert completion.candidates(words) == sorted(offered)
    assert completion.main(["words", *words]) == 0
    assert capsys.readouterr().out.splitlines() == sorted(offered)


def test_settings_of_stages_are_offered_from_their_first_letter_on():
    short = completion.candidates(["run", "--"])
    assert "--workers" in short
    assert not any("." in one for one in short)
    assert "--svm.C" in completion.candidates(["run", "--s"])


def test_another_shell_is_refused(capsys):
    assert completion.main(["tcsh"]) == 2
    assert "error: expected one of bash, zsh, fish, got 'tcsh'" in capsys.readouterr().err


@pytest.fixture
def environment(tmp_path):
    """An environment whose ``sppnet`` is this package's."""
    command = tmp_path / "bin" / "sppnet"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m detection "$@"\n')
    command.chmod(0o755)
    paths = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}


# What a shell is asked: the words behind "sppnet", and what it is to offer.
ASKED = {"de": {"demo", "detect"}, "detect --mo": {"--model"}, "run --strict ": {"false", "true"}}
ASK = {
    "bash": (
        "source <(sppnet completion bash); complete -p sppnet >/dev/null || exit 1; "
        'COMP_WORDS=(sppnet @BEFORE "@LAST"); '
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sppnet; printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    "zsh": (
        "autoload -Uz compinit; compinit -u -D; source <(sppnet completion zsh); [[ ${_comps[sppnet]} == _sppnet ]] || "
        'exit 1; compadd() { shift; print -l -- "$@" }; words=(sppnet @BEFORE "@LAST"); CURRENT=$#words; _sppnet'
    ),
    "fish": 'sppnet completion fish | source; complete -C "sppnet @BEFORE @LAST"',
}


@pytest.mark.parametrize("shell", ASK)
@pytest.mark.parametrize("typed", ASKED)
def test_in_a_shell(shell, typed, environment):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    *words, last = typed.split(" ")
    script = ASK[shell].replace("@BEFORE", " ".join(words)).replace("@LAST", last)
    plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    ended = subprocess.run(
        [shell, *plain, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert set(ended.stdout.split()) == ASKED[typed], ended.stderr
