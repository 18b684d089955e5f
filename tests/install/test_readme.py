"""What `tests.install` makes of README: each of its commands is run, or named with the reason why not."""

import pytest

from tests.install.readme import EXCLUDED, ROOT, STAND_INS, Command, commands, python_script

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_commands_of_a_text():
    text = "`make` and `sppnet show`\n```\nsppnet check FOLDER   # every fault\n\n```\n`sppnet show`, `run.yaml`\n"
    found = commands(text)
    assert found == [Command("sppnet check FOLDER", True), Command("make", False), Command("sppnet show", False)]
    assert [one.stands_for for one in found] == ["sppnet check my_photos", "make --help", "sppnet show --help"]
    assert found[1].excluded == "a program's name"
    assert found[0].excluded is None


def test_a_command_that_is_not_known_is_not_passed_over():
    with pytest.raises(ValueError, match="got 'curl x'"):
        commands("```\ncurl x\n```\n")


@pytest.mark.parametrize(
    ("printed", "run"),
    [
        ("sppnet detect --model m PHOTO.jpg OTHER_FOLDER", "sppnet detect --model m photo.jpg more_photos"),
        ("sppnet check MY_FOLDER/FOLDER", "sppnet check MY_FOLDER/FOLDER"),
    ],
)
def test_stand_ins_take_the_place_of_whole_words(printed, run):
    assert Command(printed, whole=True).stands_for == run


def test_readme_is_understood_and_no_entry_is_left_over():
    found = commands(README)
    assert sum(one.whole and one.excluded is None for one in found) >= 5
    used = {one.excluded for one in found}
    assert set(EXCLUDED.values()) <= used
    whole = " ".join(one.text for one in found if one.whole)
    assert [word for word in STAND_INS if word not in whole] == []


def test_readmes_python_compiles():
    compile(python_script(README), "README.md", "exec")
