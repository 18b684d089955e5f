import io
from itertools import count

from rich.console import Console

from detection.pipeline.progress import progress


def silent(terminal=False):
    return Console(file=io.StringIO(), width=100, force_terminal=terminal)


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch):
    console, seconds = silent(), count()
    # An item a second.
    monkeypatch.setattr("detection.pipeline.progress.time.monotonic", lambda: next(seconds) * 4)
    with progress(console, "maps", 40) as advance:
        for _ in range(40):
            advance()
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "maps: 4/40, 4 s, 36 s left"
    assert lines[1] == "maps: 8/40, 8 s, 32 s left"
    assert lines[-1] == "maps: 40/40, 40 s, 0 s left"


def test_progress_on_a_terminal_is_a_bar():
    console = silent(terminal=True)
    with progress(console, "maps", 3) as advance:
        for _ in range(3):
            advance()
    assert "3/3" in console.file.getvalue()
    assert "\x1b[" in console.file.getvalue()
