"""Every setting, and every option of the tools that are here, is in a table with what it changes, or with a reason."""

import pytest
import test_options
import test_settings_of_data
import test_settings_of_learning
import test_settings_of_results
from wires import option_names, setting_names

SETTINGS = {**test_settings_of_data.WIRES, **test_settings_of_learning.WIRES, **test_settings_of_results.WIRES}
NOT_SHOWN = {
    "workers": "processes over images, which change no result",
    "threads": "changes the last bits of sums at most, and on some processors only",
    "device": "needs another processor than the CPU",
    "regression.whitening_epsilon": "changes the result by rounding alone while four targets share one ridge",
    "proposals.imported": "found in the run, not to be set",
    "proposals.edge_boxes_model": "needs OpenCV's contributed modules and a model of them",
}
# One in so many at most is not shown.
SHARE = 20


def test_every_setting_is_shown_to_count_or_said_why_not():
    assert sorted([*SETTINGS, *NOT_SHOWN]) == sorted(setting_names())
    assert len(NOT_SHOWN) * SHARE <= len(SETTINGS) + len(NOT_SHOWN)


@pytest.mark.parametrize("command", sorted({name.split()[0] for name in test_options.WIRES}))
def test_every_option_of_the_command_is_shown_to_count_or_said_why_not(command):
    known = [*test_options.WIRES, *test_options.NOT_SHOWN]
    assert sorted(set(option_names(command))) == sorted(one for one in known if one.split()[0] == command)
