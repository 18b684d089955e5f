import io

import pytest
from jsonargparse import ArgumentError
from rich.console import Console

from detection.command_line import Parser, exit_status, function_command, say, subcommands, terminal, text_table
from detection.data import DataError


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
            (KeyboardInterrupt(), 130, "interrupted: the same command goes on from here\n"),
        ],
    )
    def test_of_an_error(self, capsys, error, status, message):
        def fail():
            raise error

        assert exit_status(fail) == status
        assert capsys.readouterr().err == message

    def test_a_fault_of_the_program_is_not_hidden(self):
        with pytest.raises(ZeroDivisionError):
            exit_status(lambda: 1 // 0)


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
    assert main(["3", "--second=-1"]) == 2
    assert capsys.readouterr().err == "error: expected >= 0\n"
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2


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

    def test_of_records_stay_as_they_are(self):
        parser = Parser(exit_on_error=False)
        parser.add_argument("--pairs", type=list[dict[str, int]])
        parser.add_argument("--name", type=str)
        found = parser.parse_args(["--pairs", "[{a: 1}, {b: 2}]", "--name", "x,y"])
        assert (found.pairs, found.name) == ([{"a": 1}, {"b": 2}], "x,y")

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
    assert capsys.readouterr().out == "What they do.\n"
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
