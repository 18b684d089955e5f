"""``sppnet``: which command has which words, and how little is loaded for its help."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest
import yaml

from detection.commands import init, sppnet
from detection.commands.sppnet import COMMANDS, GROUPS, OLD_NAMES, main, usage
from detection.pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_has_a_module_that_has_it():
    assert len(COMMANDS) == sum(map(len, GROUPS.values()))
    for name, one in COMMANDS.items():
        assert callable(import_module(f"detection.commands.{one.module}").main), name
        assert len(one.text.split()) > 3


@pytest.mark.parametrize(("old", "name"), OLD_NAMES.items())
def test_a_name_of_the_last_version_works_and_says_what_it_is_called_now(monkeypatch, capsys, old, name):
    assert old not in COMMANDS
    monkeypatch.setattr(import_module(f"detection.commands.{COMMANDS[name].module}"), "main", lambda words: words)
    assert main([old, "--out", "x"]) == ["--out", "x"]
    assert capsys.readouterr() == (
        "", f"sppnet {old} is called sppnet {name} now; the old name goes with the next version\n",
    )  # fmt: skip


# A word behind `sppnet` in a message, a help or a page.
NAMED = re.compile(r"(?<!\w)sppnet ([a-z_]+)(?: ([a-z]+))?")
# ... and what is none: authors, imports, a key of a page.
NO_COMMANDS = {"contributors", "detection", "filter", "import"}


@pytest.mark.parametrize("kind", ["detection/**/*.py", "detection/configs/*.yaml", "*.md", "docs/*.md", "data/*.md"])
def test_what_messages_and_pages_name_is_a_command(kind):
    named = [(path, *found) for path in ROOT.glob(kind) for found in NAMED.findall(path.read_text())]
    assert named
    for path, name, part in named:
        assert name in {*COMMANDS, *OLD_NAMES, *NO_COMMANDS}, path
        parts = COMMANDS[name].parts if name in COMMANDS else ()
        assert not parts or part in ("", *parts), path


def test_what_a_stage_names_is_a_command():
    for stage in STAGES:
        name, *more = stage.command.split()
        assert name in COMMANDS
        assert not COMMANDS[name].parts or more[0] in COMMANDS[name].parts


# What comes before is another project's.
OF_TOOLS = re.compile(r"(?<![\w/-])tools/\w+\.py")


@pytest.mark.parametrize("kind", ["detection/**/*.py", "detection/configs/*.yaml"])
def test_no_message_names_a_file_of_tools(kind):
    assert [path for path in ROOT.glob(kind) if OF_TOOLS.search(path.read_text())] == []


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_tells_all_of_them(capsys, arguments):
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert told == f"{usage()}\n"
    for name, one in COMMANDS.items():
        assert f"  {name:<10} " in told
        assert one.text in told
    assert max(map(len, told.splitlines())) <= 100


def test_another_word_is_refused(capsys):
    assert main(["chek", "x"]) == 2
    assert "error: expected a command, got 'chek'" in capsys.readouterr().err


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == metadata.version("sppnet")


@pytest.mark.parametrize(("name", "given"), [("report", ["--out", "x"]), ("check", ["check", "--out", "x"])])
def test_a_command_has_the_other_words_and_hands_its_status_on(monkeypatch, name, given):
    calls = []
    module = import_module(f"detection.commands.{COMMANDS[name].module}")
    monkeypatch.setattr(module, "main", lambda words: calls.append((sys.argv[0], words)) or 7)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sppnet", name, "--out", "x"])
    assert main() == 7
    assert calls == [("sppnet" if COMMANDS[name].first else f"sppnet {name}", given)]


def test_a_commands_help_calls_it_by_its_name(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    with pytest.raises(SystemExit):
        main(["init", "--help"])
    told = capsys.readouterr().out
    assert "usage: sppnet init " in told


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from detection.commands.sppnet import main; main(['--help']); "
        "heavy = {'torch', 'numpy', 'numba', 'jsonargparse', 'rich', 'yaml', 'PIL'} & set(sys.modules); "
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_package_installs_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"sppnet": f"{sppnet.__name__}:main"}


class TestInit:
    """The file of settings."""

    def test_it_is_the_template_with_the_root_as_text(self, tmp_path, capsys):
        out = tmp_path / "mine.yaml"
        assert init.main(["--out", str(out), "--root", "a: b # c", "--template", "finetuned"]) == 0
        found, template = (yaml.safe_load(one.read_text()) for one in (out, ROOT / "configs" / "finetuned.yaml"))
        assert found["dataset"]["root"] == "a: b # c"
        assert {**found, "dataset": template["dataset"]} == template
        assert f"sppnet run --config {out}" in capsys.readouterr().out

    def test_nothing_is_written_over(self, tmp_path, capsys):
        out = tmp_path / "mine.yaml"
        out.write_text("mine")
        assert init.main(["--out", str(out)]) == 2
        assert "nothing is written over" in capsys.readouterr().err
        assert out.read_text() == "mine"

    def test_an_unknown_template_is_refused(self, tmp_path, capsys):
        assert init.main(["--out", str(tmp_path / "x"), "--template", "x"]) == 2
        assert "--template: expected one of balanced, best, custom" in capsys.readouterr().err


def test_warmup_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert import_module("detection.commands.warmup").main([]) == 0
    assert list(tmp_path.glob("sppnet*")) == []
    told = capsys.readouterr()
    assert ": compiling what svms needs\n" in told.err
    assert told.err.endswith("compiled: the next command starts at once\n")
    assert told.out == ""
