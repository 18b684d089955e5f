"""Every setting, and every option of the tools that are here, is in a table with what it changes, or with a reason."""

import pytest
import test_options
import test_options_of_classifiers
import test_options_of_downloads
import test_options_of_labelling
import test_options_of_proposals
import test_options_of_results
import test_settings_of_data
import test_settings_of_learning
import test_settings_of_results
from wires import option_names, setting_names

from detection.commands.sppnet import COMMANDS

SETTINGS = {**test_settings_of_data.WIRES, **test_settings_of_learning.WIRES, **test_settings_of_results.WIRES}
NOT_SHOWN = {
    "workers": "processes over images, which change no result",
    "threads": "changes the last bits of sums at most, and on some processors only",
    "device": "needs another processor than the CPU",
    "scheduler": "where images are worked on, which changes no result: tests/pipeline/executors",
    "mixed_processors": "needs workers with another processor",
    "regression.whitening_epsilon": "changes the result by rounding alone while four targets share one ridge",
    "proposals.imported": "found in the run, not to be set",
    "proposals.edge_boxes_model": "needs OpenCV's contributed modules and a model of them",
}
# One in so many at most is not shown.
SHARE = 20


def test_every_setting_is_shown_to_count_or_said_why_not():
    assert sorted([*SETTINGS, *NOT_SHOWN]) == sorted(setting_names())


OPTIONS = [
    *test_options.WIRES, *test_options_of_results.WIRES, *test_options_of_proposals.WIRES,
    *test_options_of_classifiers.WIRES, *test_options_of_downloads.WIRES, *test_options_of_labelling.WIRES,
]  # fmt: skip
OPTIONS_NOT_SHOWN = [*test_options.NOT_SHOWN, *test_options_of_results.NOT_SHOWN]
# They have no options of parsers, or are tried by tests of their own.
PLAIN = {"completion", "init", "reproduce"}


def test_every_tool_with_options_has_a_table():
    modules = {one.module for one in COMMANDS.values()} - PLAIN
    tools = {name for name in modules if list(option_names(name))}
    assert tools == {name.split()[0] for name in OPTIONS}


def test_few_are_not_shown():
    """An option that several commands of a tool have counts once."""
    shown, hidden = ({(one.split()[0], one.split()[-1]) for one in names} for names in (OPTIONS, OPTIONS_NOT_SHOWN))
    missing = len(NOT_SHOWN) + len(hidden)
    assert missing * SHARE <= len(SETTINGS) + len(shown) + missing


@pytest.mark.parametrize("command", sorted({name.split()[0] for name in OPTIONS}))
def test_every_option_of_the_command_is_shown_to_count_or_said_why_not(command):
    known = [*OPTIONS, *OPTIONS_NOT_SHOWN]
    assert sorted(set(option_names(command))) == sorted(one for one in known if one.split()[0] == command)
