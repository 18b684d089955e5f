"""Options of the command proposals: each changes what it reads, writes or says."""

import pytest
from wires import Call

RUN = ("--run={run}", "--workers=1")
# Boxes that just fill an image: read otherwise they lie outside, which is said or refused.
FILE, OTHER, LISTS = "{sets}/windows.json", "{sets}/others.json", "{sets}/lists.pkl"


def call(name, change, *given, **more):
    return Call("proposals", (name, *RUN, *given), change, **more)


def reading(name, file, lists):
    """The wires of how a file is read. file, lists: arguments that name a file with image ids, and one without."""
    return {
        f"proposals {name} --format": call(name, ("--format=csv",), *file, ends=(2,)),
        f"proposals {name} --order": call(name, ("--order=yxyx",), *file, ends=(0, 1, 2)),
        f"proposals {name} --base": call(name, ("--base=1",), *file, ends=(0, 1, 2)),
        f"proposals {name} --end": call(name, ("--end=inclusive",), *file, ends=(0, 1, 2)),
        f"proposals {name} --by_position": call(name, ("--by_position",), *lists, begins=(2,)),
    }


CHECKED, EXPORTED = (f"--windows={FILE}", "--split=test"), ("--out={out}/boxes.json",)
REPORTED = ("--windows", FILE, "--split=test", "--out={out}/figures")
WIRES = {
    **reading("import", ("--windows", FILE), ("--test_proposals", LISTS)),
    "proposals import --windows": call("import", ("--windows", OTHER), "--windows", FILE),
    "proposals import --train_proposals": call("import", ("--train_proposals", OTHER), "--test_proposals", FILE),
    "proposals import --test_proposals": call("import", ("--test_proposals", OTHER), "--train_proposals", FILE),
    "proposals export --out": call("export", ("--out={out}/other.json",), *EXPORTED),
    "proposals export --format": call("export", ("--format=csv",), *EXPORTED),
    "proposals export --order": call("export", ("--order=yxyx",), *EXPORTED),
    "proposals export --base": call("export", ("--base=1",), *EXPORTED),
    "proposals export --end": call("export", ("--end=inclusive",), *EXPORTED),
    "proposals export --split": call("export", ("--split=test",), *EXPORTED),
    **reading("check", CHECKED, (f"--windows={LISTS}", "--split=test")),
    "proposals check --windows": call("check", (f"--windows={OTHER}",), *CHECKED),
    "proposals check --split": call("check", ("--split=train",), f"--windows={OTHER}", "--split=test"),
    "proposals check --fix": call("check", ("--fix",), f"--windows={OTHER}", "--out={out}/fixed.json"),
    "proposals check --out": call(
        "check", ("--out={out}/new.csv",), f"--windows={OTHER}", "--fix", "--out={out}/a.csv"
    ),
    **reading("report", REPORTED, ("--windows", LISTS, "--split=test", "--out={out}/figures")),
    "proposals report --windows": call("report", ("--windows", OTHER), *REPORTED),
    "proposals report --split": call("report", ("--split=train",), *REPORTED),
    "proposals report --out": call("report", ("--out={out}/elsewhere",), *REPORTED),
}


@pytest.mark.parametrize("name", WIRES)
def test_the_option_counts(name, check_call):
    check_call(WIRES[name])
