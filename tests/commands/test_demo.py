import sys

import pytest

from detection.commands.demo import program


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The `sppnet` of an environment that is not activated, in the folder that this is."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "sppnet").touch(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    return programs / "sppnet"


def test_the_path_from_here_where_the_environment_is_not_activated(own):
    assert program() == ".venv/bin/sppnet"


def test_the_whole_path_from_elsewhere(own, tmp_path, monkeypatch):
    (tmp_path / "else where").mkdir()
    monkeypatch.chdir(tmp_path / "else where")
    assert program() == str(own)


def test_the_name_where_path_leads_to_it(own, monkeypatch):
    monkeypatch.setenv("PATH", str(own.parent))
    assert program() == "sppnet"


def test_another_environments_is_not_taken_for_this_one(own, tmp_path, monkeypatch):
    (tmp_path / "sppnet").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == ".venv/bin/sppnet"


def test_without_the_command(own):
    own.unlink()
    assert program() == f"{own.with_name('python')} -m detection"
