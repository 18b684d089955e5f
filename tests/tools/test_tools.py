"""Each of tools/*.py is the command of its name."""

import runpy
import sys
from pathlib import Path

import pytest

from detection.commands.sppnet import COMMANDS

TOOLS = Path(__file__).resolve().parents[2] / "tools"
# Of the repository, not of its user.
OURS = {"benchmark", "check_gpu", "docs"}
NAMES = sorted({path.stem for path in TOOLS.glob("*.py")} - OURS)


def test_each_is_a_command():
    assert set(NAMES) <= {one.module for one in COMMANDS.values()}


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
    assert load_tool(name).__doc__.splitlines()[0] in " ".join(printed[0].split())


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_hands_its_commands_status_on(name, load_tool, monkeypatch):
    monkeypatch.setattr(load_tool(name), "main", lambda: 7)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
    assert end.value.code == 7
