"""Every command explains itself on two screens, and every option that it has with --help-all."""

import dataclasses
import re
from typing import Literal

import pytest
from jsonargparse import ArgumentParser

from detection.commands import sppnet
from detection.commands.sppnet import COMMANDS
from detection.config import Settings, build_parser
from detection.help_text import options

CALLS = [[name, part] for name, one in COMMANDS.items() for part in (one.parts if name != "completion" else ()) or [""]]
OWN = {
    "calibrate": ("--bins",),
    "report": ("--compare", "--out"),
    "train": ("--add", "--photos", "--photos_year", "--photos_split", "--drop", "--rename"),
    "tune": ("--C", "--positive_weight", "--folds"),
    "extract": ("--dry-run", "--export", "--of", "--boxes"),
    "inspect": ("--images", "--filter", "--window", "--samples", "--effective", "--top"),
    "classify": ("--folder", "--maps", "--views", "--pyramids"),
    "evaluate": ("--detections", "--annotations", "--split", "--metric", "--iou", "--json", "--compare", "--diagnose"),
    "download": ("--root", "--address", "--keep"),
    "compress": ("--model", "--head", "--out", "--fc6_rank", "--fc7_rank", "--energy"),
    "detect": ("--model", "--out", "--threshold", "--margin", "--labels", "--max_pixels"),
}
OWN_OF_STAGES = {"classify": ("--classifier.sizes", "--classifier.frozen"), "download": ("--download.retries",)}
# What nobody has to read.
FORBIDDEN = re.compile(
    r"\(type: |\[ITEM|<lambda|<function|Literal\[|Optional\[|\btuple\[|\bdict\[|\bNone\b|==SUPPRESS=="
)
# Groups of settings that have no effect there.
WITHOUT = {"detect": ("finetune", "svm", "regression", "calibration", "evaluation", "intervals", "diagnosis", "report")}
# They speak for themselves.
PLAIN = ("completion",)


@pytest.fixture
def told(capsys, monkeypatch):
    """``told(words)``: what ``sppnet WORDS`` prints, which is a help."""
    monkeypatch.setenv("COLUMNS", "100")

    def tell(*words):
        try:
            assert sppnet.main([one for one in words if one]) == 0
        except SystemExit as end:
            assert end.code == 0  # noqa: PT017 -- argparse ends the process itself
        return capsys.readouterr().out

    return tell


def explained(text):
    """Option -> the words that follow it in a help text."""
    found = {}
    for entry in re.split(r"\n  (?=--)", text)[1:]:
        name, _, words = " ".join(entry.split("\n\n")[0].split()).partition(" ")
        found[name] = words
    return found


@pytest.mark.parametrize(("name", "part"), CALLS)
def test_help_is_two_screens_of_words(told, name, part):
    text = told(name, part, "--help")
    assert len(text.splitlines()) <= 100
    assert max(map(len, text.splitlines())) <= 100
    assert not FORBIDDEN.search(text)
    assert not re.search(r"\bCONFIG\b|tools/|python |\w\.py\b", text)
    called = f"sppnet {name} {part}".strip()
    assert f"usage: {called}" in text
    entries = explained(text)
    for option in OWN.get(name, ()):
        assert len(entries[option].split()) > 3, option
    assert not any("." in one for one in entries if one != "--dataset.root")
    if name not in PLAIN:
        assert {"--help", "--help-all", "--quiet", "--log-file", "--debug"} <= set(entries)
    if name in OWN:
        assert next(iter(entries)) in OWN[name]


@pytest.mark.parametrize(("name", "part"), CALLS)
def test_help_all_explains_every_option(told, name, part):
    text = told(name, part, "--help-all")
    if name in PLAIN:
        return
    assert max(map(len, text.splitlines())) <= 100
    assert not FORBIDDEN.search(text)
    entries = explained(text)
    assert all(len(words.split()) > 2 for words in entries.values())
    if "--run" in entries:
        wanted = {one.name for one in options(build_parser(""))}
        wanted = {one for one in wanted if one[2:].split(".")[0] not in WITHOUT.get(name, ())}
        assert wanted <= set(entries)
        assert {f"--{one.name}" for one in dataclasses.fields(Settings) if "." not in one.name} & set(entries)
    for option in OWN_OF_STAGES.get(name, ()):
        assert option in entries


def test_values_are_told_as_they_are_typed(told):
    entries = explained(told("run", "--help-all"))
    assert entries["--features.levels"].startswith("A,B,C ")
    assert entries["--features.levels"].endswith("(default: 3,2,1)")
    assert entries["--features.layer"].startswith("pool5|fc6|fc7 ")
    assert entries["--features.stage_weights"].startswith("A,B,C ")
    assert entries["--dataset.train"].startswith("[{...},...] ")
    assert entries["--strict"].startswith("true|false ")
    assert entries["--config"].startswith("FILE ")
    assert entries["--help-all"].startswith("The same ")
    assert explained(told("classify", "--help"))["--sizes"].startswith("N ... ")
    assert explained(told("train", "--help"))["--rename"].startswith("OLD NEW ")


def test_choices_of_more_than_forty_letters_are_told_in_the_text_alone():
    parser = ArgumentParser()
    parser.add_argument("--short", type=Literal["a" * 19, "b" * 20], help="One of two.")
    parser.add_argument("--long", type=Literal["a" * 20, "b" * 20], help="One of two.")
    values = {one.name: one.value for one in options(parser)}
    assert (values["--short"], values["--long"]) == (f"{'a' * 19}|{'b' * 20}", "LONG")


def test_what_has_to_be_given_is_marked(told):
    entries = explained(told("convert", "--help"))
    assert {name for name, words in entries.items() if "(needed)" in words} == {"--to", "--out"}
    assert entries["--out"].endswith(" (needed)")


def test_help_of_commands_of_several(told):
    for name, one in COMMANDS.items():
        if one.parts:
            text = told(name, "--help")
            assert f"usage: sppnet {name} {'|'.join(one.parts)}" in text
            if name not in PLAIN:
                assert all(re.search(rf"^{part} {{2,}}\w", text, re.MULTILINE) for part in one.parts)


def test_help_of_detection_has_none_of_training(told):
    text = told("detect", "--help-all")
    assert "svm" not in text
    assert {"--postprocess.nms_iou", "--workers", "--strict", "--run"} <= set(explained(text))


def test_help_of_detection_with_a_model(told):
    entries = explained(told("detect", "--model", "x", "--help"))
    for option in ("--model", "--out", "--workers", "--threads", "--device", "--strict"):
        assert len(entries[option].split()) > 4, option


@pytest.mark.parametrize("name", ["proposals", "maps"])
@pytest.mark.parametrize("arguments", [[], ["make"], ["--run", "x"]])
def test_no_command(capsys, name, arguments):
    assert sppnet.main([name, *arguments]) == 2
    assert "error: expected one of" in capsys.readouterr().err


def test_options_are_taken_with_either_line(told, capsys):
    assert sppnet.main(["check", "/no/such", "--class-map={}"]) == 2
    assert "/no/such" in capsys.readouterr().err
