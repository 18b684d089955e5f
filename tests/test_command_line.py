import io

import pytest
from rich.console import Console

from detection.command_line import exit_status, function_command, say, subcommands, text_table
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


def test_subcommands(capsys):
    calls = []
    mains = {name: lambda arguments, name=name: calls.append((name, arguments)) or 3 for name in ("one", "two")}
    main = subcommands("What they do.", mains)
    assert main(["two", "-x", "y"]) == 3
    assert main(["--help"]) == 3
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
