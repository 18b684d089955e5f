"""Each of tools/*.py is the command of its name."""

import runpy
import sys
from pathlib import Path

import pytest

from detection.commands import COMMANDS

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NAMES = sorted({path.stem for path in TOOLS.glob("*.py")} - {"benchmark"})


def test_the_table_has_every_command():
    assert sorted(module for module, _ in COMMANDS.values()) == NAMES
    assert all(len(words.split()) > 3 for _, words in COMMANDS.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_is_its_command(name, load_tool, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    printed = []
    command = load_tool(name).main
    for run in (lambda: runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__"), lambda: sys.exit(command())):
        with pytest.raises(SystemExit) as end:
            run()
        assert end.value.code == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert load_tool(name).__doc__.splitlines()[0] in printed[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_hands_its_commands_status_on(name, load_tool, monkeypatch):
    monkeypatch.setattr(load_tool(name), "main", lambda: 7)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
    assert end.value.code == 7
