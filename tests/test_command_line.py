import ctypes
import errno
import io
import os
import re
import signal
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Literal

import pytest
from jsonargparse import ArgumentError
from rich.console import Console

from detection.command_line import (
    Parser,
    command,
    exit_status,
    function_command,
    say,
    subcommands,
    terminal,
    text_table,
)
from detection.data import DataError
from detection.interrupts import TerminatedError

FAULT = "this is a fault of the program: run it again with --debug, which shows where it is"
GOES_ON = "nothing that was finished is lost, the same command goes on from there"
LESS = "--workers 1 and smaller --features.short_sides or --svm.memory_mib need less memory"


class TestExitStatus:
    """What a tool's end is told by."""

    @pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (1, 1), ("text", 0), (object(), 0)])
    def test_of_a_result(self, result, status):
        assert exit_status(lambda: result) == status

    @pytest.mark.parametrize(
        ("error", "status", "message"),
        [
            (ValueError("[a] key: expected 1"), 2, "error: [a] key: expected 1\n"),
            (DataError("odd", "a.jpg", "cut"), 2, "error: a.jpg: odd: cut\n"),
            (FileNotFoundError("a.txt"), 2, "error: a.txt\n"),
            (FileExistsError("a.txt"), 2, "error: a.txt\n"),
            (NotADirectoryError("a.txt"), 2, "error: a.txt\n"),
            (IsADirectoryError("a"), 2, "error: a\n"),
            (KeyError("a"), 1, f"error: KeyError: 'a'; {FAULT}\n"),
            (ZeroDivisionError(), 1, f"error: ZeroDivisionError: ZeroDivisionError; {FAULT}\n"),
            (RuntimeError("some\n words"), 1, f"error: RuntimeError: some words; {FAULT}\n"),
            (ImportError("pip install x"), 1, "error: pip install x\n"),
            (
                OSError(errno.ENOSPC, "No space left on device", "a"),
                1,
                f"error: [Errno 28] No space left on device: 'a'; {GOES_ON} once that is mended\n",
            ),
            (PermissionError("a"), 1, f"error: a; {GOES_ON} once that is mended\n"),
            (ConnectionError("a"), 1, f"error: a; {GOES_ON} once that is mended\n"),
            (MemoryError(), 1, f"error: no memory: MemoryError; {GOES_ON}; {LESS}\n"),
            (
                RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
                1,
                f"error: no memory: DefaultCPUAllocator: can't allocate memory: you tried to; {GOES_ON}; {LESS}\n",
            ),
            (
                RuntimeError("can't start new thread"),
                1,
                f"error: no memory: can't start new thread; {GOES_ON}; {LESS}\n",
            ),
            (RuntimeError("std::bad_alloc"), 1, f"error: no memory: std::bad_alloc; {GOES_ON}; {LESS}\n"),
            (
                BrokenProcessPool("A process was terminated"),
                1,
                "error: a worker process died, as they do where memory is short: A process was terminated; "
                f"{GOES_ON}; {LESS}\n",
            ),
            (KeyboardInterrupt(), 130, "interrupted: the same command goes on from here\n"),
            (TerminatedError(), 143, "terminated: the same command goes on from here\n"),
        ],
    )
    def test_of_an_error(self, capsys, error, status, message):
        def fail():
            raise error

        assert exit_status(fail) == status
        assert capsys.readouterr().err == message

    @pytest.mark.parametrize(("left", "status"), [(None, 0), (256 * 2**20, 0), (256 * 2**20 - 1, 1), (0, 1)])
    def test_a_limit_of_memory_that_no_library_can_work_with(self, monkeypatch, capsys, left, status):
        monkeypatch.setattr("detection.command_line.address_space_left", lambda: left)
        called = []
        assert exit_status(lambda: called.append(1)) == status
        assert len(called) == 1 - status
        told = (
            f"no memory: a limit (ulimit -v) leaves {(left or 0) // 2**20} MiB of address space, expected at least 256"
        )
        assert capsys.readouterr().err == (f"error: {told}; {GOES_ON}; {LESS}\n" if status else "")

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be sent")
    def test_sigterm(self, capsys):
        before = signal.getsignal(signal.SIGTERM)
        put_in_order = []

        def wait():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(20)
            finally:
                put_in_order.append(True)

        assert exit_status(wait) == 143
        assert put_in_order == [True]
        assert signal.getsignal(signal.SIGTERM) == before
        assert capsys.readouterr().err == "terminated: the same command goes on from here\n"

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be sent")
    @pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
    def test_a_signal_while_a_library_calls_back(self, monkeypatch, capsys, number, word):
        """C ignores the exceptions of a callback; others are told as ever."""
        told = []
        monkeypatch.setattr(sys, "unraisablehook", told.append)

        @ctypes.CFUNCTYPE(None)
        def called_back():
            signal.raise_signal(number)
            raise AssertionError("not interrupted")

        @ctypes.CFUNCTYPE(None)
        def failing():
            raise ZeroDivisionError

        def body():
            failing()
            called_back()
            time.sleep(20)

        started = time.monotonic()
        assert exit_status(body) == 128 + number
        assert time.monotonic() - started < 10
        assert capsys.readouterr().err == f"{word}: the same command goes on from here\n"
        assert [one.exc_type for one in told] == [ZeroDivisionError]
        assert sys.unraisablehook == told.append

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be sent")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_while_a_library_calls_back_at_the_end(self, number):
        """It ends the command, and nothing comes after it."""

        @ctypes.CFUNCTYPE(None)
        def called_back():
            signal.raise_signal(number)

        assert exit_status(called_back) == 128 + number
        time.sleep(0.2)

    def test_sigterm_stays_what_a_program_made_of_it(self):
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            assert exit_status(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 0
        finally:
            signal.signal(signal.SIGTERM, before)


class TestDebug:
    """A traceback is printed where it is asked for."""

    @pytest.fixture
    def main(self):
        def fail(arguments):
            if arguments == ["fail"]:
                raise ValueError("wrong")
            assert not arguments

        return subcommands("Two.", {"one": command(fail), "two": command(fail)})

    def test_it_is_asked_for_once(self, main, capsys):
        assert main(["one", "--debug", "fail"]) == main(["--debug", "one", "fail"]) == 2
        said = capsys.readouterr().err
        assert said.count("Traceback (most recent call last)") == 2
        assert said.endswith("error: wrong\n")
        assert main(["one", "fail"]) == 2
        assert main(["one", "--debug"]) == 0
        assert capsys.readouterr().err == "error: wrong\n"

    @pytest.mark.parametrize(("value", "shown"), [("1", 1), ("", 0)])
    def test_of_all_tools(self, main, capsys, monkeypatch, value, shown):
        monkeypatch.setenv("SPPNET_DEBUG", value)
        assert main(["one", "fail"]) == 2
        assert capsys.readouterr().err.count("Traceback") == shown

    def test_it_is_an_option_in_the_help(self, capsys):
        with pytest.raises(SystemExit):
            function_command("Adds.", lambda: None)(["--help"])
        assert "--debug" in capsys.readouterr().out


def test_a_function_as_a_command(capsys):
    def add(first: int, second: int = 2) -> None:
        """Add.

        Args:
            first: A number.
            second: Another.
        """
        if second < 0:
            raise RuntimeError("expected >= 0")
        print(first + second)

    main = function_command("Adds.", add, {"first": {"type": int}}, (RuntimeError,))
    assert main(["3"]) == 0
    assert main(["3", "--second", "4"]) == 0
    assert capsys.readouterr().out == "5\n7\n"
    assert main(["3", "--second=-1"]) == 1
    assert capsys.readouterr().err == "error: expected >= 0\n"
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2


@dataclass
class Pair:
    a: int
    b: int = 0


class TestLists:
    """Lists on a command line."""

    @pytest.mark.parametrize(
        ("words", "names", "sizes"),
        [
            (["--names", "train,valid,test", "--sizes", "480"], ("train", "valid", "test"), [480]),
            (["--names=NO, 007,1:30", "--sizes=480,600"], ("NO", "007", "1:30"), [480, 600]),
            (["--names", "[a, b]", "--sizes", "[1, 2]"], ("a", "b"), [1, 2]),
            (["--names=", "--sizes=null"], (), None),
            (["--sizes=[]"], (), []),
        ],
    )
    def test_of_words_and_numbers(self, words, names, sizes):
        parser = Parser(exit_on_error=False)
        parser.add_argument("--names", type=tuple[str, ...], default=())
        parser.add_argument("--sizes", type=list[int] | None, default=None)
        found = parser.parse_args(words)
        assert (found.names, found.sizes) == (names, sizes)

    @pytest.mark.parametrize("value", ["rgI,no", "[rgI, 'no']", " rgI , no "])
    def test_of_some_words(self, value):
        parser = Parser(exit_on_error=False)
        parser.add_argument("--spaces", type=tuple[Literal["rgI", "no"], ...] | None)
        assert parser.parse_args(["--spaces", value]).spaces == ("rgI", "no")

    @pytest.mark.parametrize("record", [dict[str, int], Pair])
    def test_of_records_stay_as_they_are(self, record):
        parser = Parser(exit_on_error=False)
        parser.add_argument("--pairs", type=list[record])
        parser.add_argument("--name", type=str)
        found = parser.parse_args(["--pairs", "[{a: 1}, {a: 2}]", "--name", "x,y"])
        assert ([one["a"] for one in found.pairs], found.name) == ([1, 2], "x,y")
        with pytest.raises(ArgumentError, match="pairs"):
            parser.parse_args(["--pairs", "{a: 1}"])

    def test_a_wrong_item_is_named(self):
        parser = Parser(exit_on_error=False)
        parser.add_argument("--sizes", type=tuple[int, ...])
        with pytest.raises(ArgumentError, match="wide"):
            parser.parse_args(["--sizes", "3,wide"])

    def test_an_option_without_its_value_is_told(self):
        parser = Parser(exit_on_error=False)
        parser.add_argument("--sizes", type=tuple[int, ...])
        parser.add_argument("--other")
        for words in (["--sizes"], ["--sizes", "--other", "x"]):
            with pytest.raises(ArgumentError, match="expected"):
                parser.parse_args(words)


def test_subcommands(capsys):
    calls = []
    mains = {name: lambda arguments, name=name: calls.append((name, arguments)) or 3 for name in ("one", "two")}
    main = subcommands("What they do.", mains)
    assert main(["two", "-x", "y"]) == 3
    assert main(["one", "--help"]) == 3
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"usage: .+ one\|two \[options\]\n\nWhat they do.\n\n.+ one --help tells .*\n", said)
    assert calls == [("two", ["-x", "y"]), ("one", ["--help"])]
    for wrong in ([], ["three"]):
        assert main(wrong) == 2
        said = capsys.readouterr().err
        assert "error: expected one of one, two, got" in said
        assert "What they do." in said


def test_texts_are_printed_as_they_are():
    console = Console(file=io.StringIO(), width=20)
    say(console, "[red]a line that is longer than that", "b")
    assert console.file.getvalue() == "[red]a line that is longer than that\nb\n"
    console = Console(file=io.StringIO(), width=60)
    console.print(text_table("[bold]", ("name", "[x]"), [("[red]", "1"), ("b", "1234")]))
    assert [line.split() for line in console.file.getvalue().splitlines()] == [
        ["[bold]"], ["name", "[x]"], ["[red]", "1"], ["b", "1234"],
    ]  # fmt: skip


def test_a_terminal_shows_control_characters_as_codes():
    console = terminal(file=io.StringIO(), width=60, force_terminal=False)
    console.print(text_table("\x1b[2J", ("a\x9b",), [("b\x01",)]), "c\x1b")
    say(console, "d\x1b[31m", "e\n\ud800")
    said = console.file.getvalue()
    assert said.split() == [r"\x1b[2J", r"a\x9b", r"b\x01", r"c\x1b", r"d\x1b[31m", "e", r"\ud800"]
    coloured = terminal(file=io.StringIO(), force_terminal=True)
    coloured.print("a\x1b", style="yellow")
    assert coloured.file.getvalue() == "\x1b[33ma\\x1b\x1b[0m\n"


@pytest.mark.parametrize(("kind", "status"), [(KeyboardInterrupt, 130), (TerminatedError, 143)])
def test_what_fails_while_a_signal_is_obeyed_does_not_hide_it(capsys, kind, status):
    def body():
        try:
            raise kind
        finally:
            raise RuntimeError("cannot release un-acquired lock")

    assert exit_status(body) == status
    assert capsys.readouterr().err.endswith("the same command goes on from here\n")
