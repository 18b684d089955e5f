"""Options of the commands for labelling: each changes what is chosen, drafted, or where the page is."""

import contextlib
import shutil
from types import SimpleNamespace

import pytest
from wires import Call

from detection.labelling.teacher import Teacher

FAST = (
    "--proposals.preset=single", "--proposals.max_windows=60", "--features.short_sides=[96]", "--workers=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def places(shape_photos, tmp_path_factory):
    """{photos}: labelled in part; {bare}: not at all; {labelled}, {other}: runs of each."""
    root = tmp_path_factory.mktemp("labelled")
    (root / "bare").mkdir()
    for photo in shape_photos.glob("*.jpg"):
        shutil.copy(photo, root / "bare")
    paths = {"photos": shape_photos, "bare": root / "bare", "labelled": root / "run", "other": root / "other"}
    return {name: str(path) for name, path in paths.items()}


def call(name, change, *given, replaced=()):
    words = (name, "{photos}", "--run={labelled}", *FAST, *given)
    return Call("labelling", words, change, replaced=dict(replaced))


OTHER = {"{photos}": "{bare}", "--run={labelled}": "--run={other}"}.items()
SUGGEST = ("--to=cvat", "--out={out}/drafts", "--threshold=0.5")
LISTENS = ("--host=127.0.0.1", "--port=5000", "--browser=false")
WIRES = {
    "labelling next folder": call("next", (), replaced=OTHER),
    "labelling next --count": call("next", ("--count=2",)),
    "labelling next --rule": call("next", ("--rule=random",)),
    "labelling next --pool": call("next", ("--pool=2",)),
    "labelling next --seed": call("next", ("--seed=1",), "--rule=random"),
    "labelling suggest folder": Call(
        "labelling", ("suggest", "{photos}", "--run={labelled}", *FAST, *SUGGEST), replaced=dict(OTHER), ends=(2,)
    ),
    "labelling suggest --to": call("suggest", ("--to=labelstudio",), *SUGGEST),
    "labelling suggest --out": call("suggest", ("--out={out}/elsewhere",), *SUGGEST),
    "labelling suggest --threshold": call("suggest", ("--threshold=0.02",), *SUGGEST),
    "labelling suggest --margin": call("suggest", ("--margin=-3",), "--to=cvat", "--out={out}/drafts"),
    "labelling label folder": call("label", (), *LISTENS, replaced=OTHER),
    "labelling label --host": call("label", ("--host=::1",), *LISTENS),
    "labelling label --port": call("label", ("--port=5001",), *LISTENS),
    "labelling label --browser": call("label", ("--browser=true",), *LISTENS),
}


@pytest.mark.parametrize("name", WIRES)
def test_the_option_counts(name, places, check_call, monkeypatch):
    def listen(place, family):
        return contextlib.nullcontext(SimpleNamespace(getsockname=lambda: place))

    monkeypatch.setattr("detection.commands.labelling.socket.create_server", listen)
    monkeypatch.setattr("detection.commands.labelling.secrets.token_urlsafe", lambda: "token")
    monkeypatch.setattr("webbrowser.open", lambda _: print("opens a browser"))
    monkeypatch.setattr("detection.labelling.server.serve", lambda *_: None)
    monkeypatch.setattr(Teacher, "start", lambda _: None)
    check_call(WIRES[name].at(places))
