import io
import logging
import subprocess
import sys
from itertools import count

import pytest
from rich.console import Console

from detection.command_line import command, subcommands, terminal
from detection.pipeline.executors import worker_processes
from detection.pipeline.work import Work, map_images
from detection.talking import LOG, Notices, manner, overheard, percent, progress, reporting


def log_to(terminal=False):
    """(log, the console it is printed on)"""
    console, log = Console(file=io.StringIO(), width=100, force_terminal=terminal), logging.Logger("x", logging.INFO)
    log.addHandler(Notices(console))
    return log, console


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0%"),
        (1e-9, "<1%"),
        (0.004, "<1%"),
        (0.006, "1%"),
        (0.5, "50%"),
        (0.994, "99%"),
        (0.996, ">99%"),
        (1, "100%"),
    ],
)
def test_nothing_but_all_is_100_percent_and_nothing_but_none_0(share, said):
    assert percent(share) == said


@pytest.mark.parametrize(("share", "said"), [(0.0004, "<0.1%"), (0.002, "0.2%"), (0.9996, ">99.9%"), (1.0, "100.0%")])
def test_percent_with_digits(share, said):
    assert percent(share, 1) == said


class TestProgress:
    """How far a piece of work is."""

    def test_without_a_terminal_it_is_a_line_now_and_then(self, monkeypatch):
        (log, console), seconds = log_to(), count()
        # An item a second: the time is asked for at the beginning and for each line, one for four items.
        monkeypatch.setattr("detection.talking.time.monotonic", lambda: next(seconds) * 4)
        with progress("maps", 40, log=log) as advance:
            for _ in range(40):
                advance()
        lines = console.file.getvalue().splitlines()
        assert len(lines) == 10
        assert lines[0] == "maps: 4/40, 4 s, 36 s left"
        assert lines[1] == "maps: 8/40, 8 s, 32 s left"
        assert lines[-1] == "maps: 40/40, 40 s, 0 s left"

    def test_time_left_is_of_what_was_done_in_this_call(self, monkeypatch):
        log, console = log_to()
        times = iter([0, 10])
        monkeypatch.setattr("detection.talking.time.monotonic", lambda: next(times))
        with progress("maps", 20, 17, log=log) as advance:
            advance()
        assert console.file.getvalue() == "maps: 18/20, 10 s, 20 s left\n"

    def test_more_than_was_expected_is_the_new_total(self):
        """Passes until one adds nothing, rows that prove damaged: nobody is told of 9/3 and a time below 0."""
        told = []
        with progress("SVMs", 2, on_progress=lambda *step: told.append(step)) as advance:
            for _ in range(4):
                advance()
        assert told == [("SVMs", 0, 2), ("SVMs", 1, 2), ("SVMs", 2, 2), ("SVMs", 3, 3), ("SVMs", 4, 4)]

    def test_what_is_more_than_was_expected_is_told_on(self):
        log, console = log_to()
        with progress("SVMs", 20, log=log) as advance:
            for _ in range(60):
                advance()
        counts = [line.split(",")[0] for line in console.file.getvalue().splitlines()]
        assert counts == [f"SVMs: {done}/{max(done, 20)}" for done in range(2, 61, 2)]

    def test_on_a_terminal_it_is_a_bar_alone(self):
        log, console = log_to(terminal=True)
        with progress("maps", 3, log=log) as advance:
            for _ in range(3):
                advance()
        said = console.file.getvalue()
        assert "3/3" in said
        assert "\x1b[" in said
        assert "s left" not in said

    def test_a_callers_function_is_told_instead(self):
        told, (log, console) = [], log_to()
        work = Work(log=log, on_progress=lambda *one: told.append(one))
        assert len(list(map_images(abs, [-1, -2], work, "numbers"))) == 2
        assert told == [("numbers", 0, 2), ("numbers", 1, 2), ("numbers", 2, 2)]
        assert console.file.getvalue() == ""

    @pytest.mark.parametrize("is_terminal", [False, True])
    def test_of_unknown_size(self, is_terminal):
        log, console = log_to(is_terminal)
        with reporting(log) as report:
            for done in (0, 5, 9):
                report("bytes", done, None)
        assert ("9" in console.file.getvalue()) == is_terminal


def speak(results=True):
    """A command's body, of all kinds of words."""
    if results:
        print("result")
        terminal().print("table")
    LOG.info("notice")
    LOG.warning("doubt \x1b")
    with progress("maps", 1) as advance:
        advance()


SAID = "notice\nwarning: doubt \\x1b\nmaps: 1/1, 0 s, 0 s left\n"


class TestTalking:
    """What a command line prints where."""

    def test_results_on_the_output_and_all_else_on_the_error(self, capsys):
        assert command(lambda _: speak())([]) == 0
        assert capsys.readouterr() == ("result\ntable\n", SAID)
        assert LOG.handlers == []
        assert manner() is None

    @pytest.mark.parametrize("words", [["one", "--quiet"], ["--quiet", "one"]])
    def test_quiet_leaves_results(self, capsys, words):
        assert subcommands("", {"one": command(lambda _: speak())})(words) == 0
        assert capsys.readouterr() == ("result\ntable\n", "")

    def test_quiet_leaves_errors(self, capsys):
        def fail(_):
            raise ValueError("wrong")

        assert command(fail)(["--quiet"]) == 2
        assert capsys.readouterr() == ("", "error: wrong\n")

    @pytest.mark.parametrize("option", ["--log-file FILE", "--log_file=FILE"])
    def test_the_file_has_all_with_times_and_where_an_error_is_from(self, capsys, tmp_path, option):
        def fail(words):
            assert words == ["x"]
            speak()
            raise ValueError("wrong")

        file = tmp_path / "log.txt"
        words = option.replace("FILE", str(file)).split()
        assert command(fail)(["--quiet", *words, "x"]) == 2
        assert capsys.readouterr().out == "result\ntable\n"
        lines = file.read_text().splitlines()
        told = [line.split(" ", 2) for line in lines if line[:2] == "20"]
        assert [text for _, _, text in told] == [
            "INFO result", "INFO table", "INFO notice", "WARNING doubt \x1b", "INFO maps: 1/1, 0 s, 0 s left",
            "ERROR wrong",
        ]  # fmt: skip
        assert all(len(date) == 10 and time.count(":") == 2 for date, time, _ in told)
        assert "Traceback (most recent call last):" in lines
        assert command(lambda _: None)([*words, "x"]) == 0
        assert file.read_text().splitlines() == lines

    def test_a_file_that_cannot_be_written_is_refused(self, capsys, tmp_path):
        assert command(lambda _: speak())([f"--log-file={tmp_path / 'no' / 'log.txt'}"]) == 2
        assert "No such file or directory" in capsys.readouterr().err

    def test_of_other_processes_under_torchrun_errors_alone(self, capsys, monkeypatch):
        monkeypatch.setenv("RANK", "1")
        assert command(lambda _: speak(results=False))([]) == 0
        assert capsys.readouterr() == ("", "")

    def test_worker_processes_talk_as_their_owner(self, tmp_path, capfd):
        file = tmp_path / "log.txt"

        def body(_):
            with worker_processes(2) as executor:
                list(executor(LOG.warning, ["from a worker"]))

        assert command(body)(["--quiet", "--log-file", str(file)]) == 0
        assert "WARNING from a worker" in file.read_text()
        assert capfd.readouterr().err == ""


def test_what_is_overheard_is_not_said(capfd):
    level = LOG.level
    with overheard(logging.INFO) as heard:
        LOG.info("a %s", "notice")
        LOG.debug("nothing")
        LOG.warning("odd")
    LOG.info("later")
    assert heard == [(logging.INFO, "a notice"), (logging.WARNING, "odd")]
    assert LOG.level == level
    assert capfd.readouterr() == ("", "")


def test_the_library_prints_nothing():
    code = (
        "from detection.pipeline.work import Work, map_images; from detection.talking import LOG; LOG.info('notice'); "
        "work = Work(); work.log.info('x'); work.console.print('y'); list(map_images(abs, [1] * 20, work, 'numbers'))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")
