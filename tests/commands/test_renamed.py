import pytest

from detection.commands.renamed import renamed_options
from detection.storage import notices


@pytest.mark.parametrize("old", ["--min_score", "--min-score"])
@pytest.mark.parametrize(("joined", "expected"), [(True, ["--margin=-1"]), (False, ["--margin", "-1"])])
def test_both_ways_of_writing_an_old_name(old, joined, expected, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_said", set())
    words = [f"{old}=-1"] if joined else [old, "-1"]
    assert renamed_options(["a-b.jpg", *words], {"--min_score": "--margin"}) == ["a-b.jpg", *expected]
    assert "--min_score is --margin now" in caplog.text


def test_a_short_name_is_no_old_one(caplog):
    short = {"--precision": "--calibration.precision"}
    assert renamed_options(["--precision", "0.9"], {}, short) == ["--calibration.precision", "0.9"]
    assert caplog.text == ""
