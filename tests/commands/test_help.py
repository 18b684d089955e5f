"""Every command explains itself and every option that it has."""

import re

import pytest

from detection.commands import COMMANDS
from detection.config import build_parser

# Commands of commands, each with a page of its own.
OF_SEVERAL = {
    "dataset": ("check", "stats", "convert", "split", "show"),
    "proposals": ("generate", "import", "export", "check", "report"),
    "features": ("info", "verify", "prune"),
}
TOOLS = tuple(sorted({module for module, _ in COMMANDS.values()} - set(OF_SEVERAL)))
OWN = {
    "calibrate": ("--bins", "--calibration.folds", "--calibration.precision"),
    "report": ("--compare", "--out"),
    "train_svm": ("--add", "--photos", "--photos_year", "--photos_split", "--drop", "--rename"),
    "tune": ("--C", "--positive_weight", "--folds"),
    "extract_features": ("--dry-run", "--export", "--of", "--boxes"),
    "visualize_features": ("--images", "--filter", "--window", "--samples", "--effective", "--top"),
    "train_classifier": ("--folder", "--maps", "--views", "--pyramids", "--classifier.sizes", "--classifier.frozen"),
    "evaluate": (
        "--detections",
        "--annotations",
        "--split",
        "--metric",
        "--iou",
        "--json",
        "--classes",
        "--compare",
        "--diagnose",
        "--intervals.resamples",
        "--intervals.seed",
        "--diagnosis.similar",
    ),
    "download_voc": ("--root", "--address", "--keep", "--download.retries"),
    "compress": ("--model", "--head", "--out", "--fc6_rank", "--fc7_rank", "--energy"),
}
# Groups of settings that have no effect there.
WITHOUT = {"detect": ("finetune", "svm", "regression", "calibration", "evaluation", "intervals", "diagnosis", "report")}
# They take none of a run's settings.
ALONE = ("combine", "download_voc", "compress")


def explained(text):
    """option -> the words that follow it in a help text."""
    body = text[text.index("\noptions:") :]
    entries = re.split(r"\n  (?=-)", body)[1:]
    found = {}
    for entry in entries:
        names, _, words = " ".join(entry.split()).partition(" ")
        found[names.rstrip(",")] = words
    return found


@pytest.mark.parametrize("name", TOOLS)
def test_help(load_tool, capsys, name):
    try:
        assert load_tool(name).main(["--help"]) == 0
    except SystemExit as end:
        assert end.code == 0  # noqa: PT017 -- argparse ends the process itself
    text = capsys.readouterr().out
    entries = explained(text)
    for option in OWN.get(name, ()):
        assert len(entries[option].split()) > 5, option
    if name not in ALONE:
        wanted = {option for action in build_parser("")._actions for option in action.option_strings}
        wanted = {one for one in wanted if one[2:].split(".")[0] not in WITHOUT.get(name, ())}
        assert wanted - set(entries) <= {"--help", "-h", "--print_config"}
    assert load_tool(name).__doc__.splitlines()[0] in text


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_help_of_commands(load_tool, capsys, name):
    assert load_tool(name).main(["--help"]) == 0
    told = capsys.readouterr().out
    for command in OF_SEVERAL[name]:
        assert re.search(rf"^{command} {{2,}}\w", told, re.MULTILINE), command
        with pytest.raises(SystemExit) as end:
            load_tool(name).main([command, "--help"])
        assert end.value.code == 0
        assert {"--config", "--format"} & set(explained(capsys.readouterr().out))


def test_help_of_detection_has_its_own_options_first_and_none_of_training(load_tool, capsys):
    assert load_tool("detect").main(["--help"]) == 0
    text = capsys.readouterr().out
    entries = explained(text)
    of_all = ("-h", "--config", "--print_config", "--debug")
    assert [one for one in entries if one not in of_all][:5] == [
        "--model",
        "--out",
        "--threshold",
        "--margin",
        "--labels",
    ]
    assert not any(one.startswith(("--svm", "--finetune", "--report")) for one in entries)
    assert "svm" not in text
    assert {"--postprocess.nms_iou", "--workers", "--strict", "--run"} <= set(entries)


def test_help_of_detection_with_a_model(load_tool, capsys):
    with pytest.raises(SystemExit) as end:
        load_tool("detect").main(["--model", "x", "--help"])
    assert end.value.code == 0
    entries = explained(capsys.readouterr().out)
    for option in (
        "--model",
        "--out",
        "--threshold",
        "--margin",
        "--labels",
        "--workers",
        "--threads",
        "--device",
        "--strict",
    ):
        assert len(entries[option].split()) > 4, option


@pytest.mark.parametrize("name", ["proposals", "features"])
@pytest.mark.parametrize("arguments", [[], ["make"], ["--run", "x"]])
def test_no_command(load_tool, capsys, name, arguments):
    assert load_tool(name).main(arguments) == 2
    assert "error: expected one of" in capsys.readouterr().err
