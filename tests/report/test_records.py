from dataclasses import replace

import pytest

from detection.report import ReportSettings


def test_images_must_be_those_evaluated(make_run):
    run = make_run(["cat"])
    with pytest.raises(ValueError, match="report of run: expected the 12 evaluated images in order, got 11 images"):
        replace(run, images=run.images[1:])


@pytest.mark.parametrize(("key", "value"), [("pictures", -1), ("picture_side", 10), ("max_megabytes", 0), ("bins", 1)])
def test_settings_are_checked(key, value):
    with pytest.raises(ValueError, match=f"report {key}: expected a number >= "):
        ReportSettings(**{key: value})
