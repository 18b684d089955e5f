import io
import logging
import os
from inspect import signature

import pytest
import yaml
from rich.console import Console

from detection.command_line import FLAG
from detection.commands.session import images_of, open_experiment, report_problems, run_command
from detection.config import preset_overrides, read_settings
from detection.engines import resolve_engine
from detection.storage.run import RunFolder
from detection.talking import Notices


def heard(width=200):
    """(a console, a log that prints on it)."""
    console, log = Console(file=io.StringIO(), width=width), logging.Logger("heard", logging.INFO)
    log.addHandler(Notices(console))
    return console, log


def settings_of(*arguments):
    return read_settings(*map(str, arguments))


def test_what_differs_from_a_preset_is_printed_and_kept(tmp_path):
    options = ("--svm.C=0.5", "--features.short_sides=[688]", f"--run={tmp_path / 'run'}")
    settings = settings_of("--config", "voc2007_paper", *options)
    assert preset_overrides(settings) == {"svm.C": 0.5, "features.short_sides": [688]}
    console, log = heard()
    experiment = open_experiment(settings, console, log=log)
    expected = "differs from preset voc2007_paper: features.short_sides [688], svm.C 0.5"
    assert console.file.getvalue().strip().splitlines()[-1] == expected
    experiment.run.write_settings(experiment.record, experiment.preset_overrides)
    kept = yaml.safe_load((tmp_path / "run/run.yaml").read_text())
    assert kept["differs_from_preset"] == {"svm.C": 0.5, "features.short_sides": [688]}
    assert kept["settings"]["preset"] == "voc2007_paper"


def test_an_experiment_writes_nothing_by_itself(tmp_path):
    settings = settings_of(f"--run={tmp_path / 'run'}", "--workers=3", "--limit=2", "--strict")
    experiment = open_experiment(settings, Console(file=io.StringIO()))
    assert (experiment.work.workers, experiment.work.problems.strict, experiment.limit) == (3, True, 2)
    assert experiment.settings.svm is settings.svm
    assert not (tmp_path / "run").exists()


def test_problems_are_printed_as_they_are(tmp_path):
    console, log = heard(width=40)
    experiment = open_experiment(settings_of(f"--run={tmp_path}"), console, log=log)
    for number in range(30):
        experiment.work.problems.skip("unreadable image", f"[red]{number}.jpg", "cut " * 30)
    experiment.work.problems.repair("box", "a.xml", "clipped")
    report_problems(experiment)
    printed = experiment.work.console.file.getvalue()
    assert "31 faults in the data:" in printed
    assert f"[red]0.jpg: {'cut ' * 30}" in printed
    assert "[red]25.jpg" not in printed
    lines = (tmp_path / "problems.txt").read_text().splitlines()
    assert len(lines) == 31
    assert lines[-1] == "repaired: box: a.xml: clipped"


def test_images_of_a_split(open_run, tmp_path):
    experiment = open_run(tmp_path / "run")
    ids = {split: [one.image_id for one in images_of(experiment, split)] for split in ("train", "test", "all")}
    assert (len(ids["train"]), len(ids["test"])) == (8, 5)
    assert ids["all"] == ids["train"] + ids["test"]


class TestRunCommand:
    """The options of a command are the parameters of its function."""

    @pytest.fixture
    def call(self, shape_options, tmp_path):
        def call_it(function, *arguments):
            takes_all = "dry_run" in signature(function).parameters
            own = {"--dry-run": FLAG, "--names": {"type": str, "nargs": 2}} if takes_all else {}
            return run_command("A command.", function, own)([*shape_options, f"--run={tmp_path / 'run'}", *arguments])

        return call_it

    @staticmethod
    def example(experiment, dry_run: bool = False, names: list[str] | None = None, share: float = 0.5):
        """Do nothing.

        Args:
            experiment: The run.
            dry_run: Do
                less.
            names: Two names.
            share: A share.
        """

    def test_values(self, call):
        seen = []

        def command(experiment, dry_run: bool = False, names: list[str] | None = None, share: float = 0.5):
            seen.append((experiment.limit, dry_run, names, share))
            return 3 if dry_run else None

        command.__doc__ = self.example.__doc__
        assert call(command) == 0
        assert call(command, "--dry-run", "--names", "a", "b", "--share=0.25", "--limit=2") == 3
        assert seen == [(None, False, None, 0.5), (2, True, ["a", "b"], 0.25)]
        assert call(command, "--share=much") == 2

    def test_help(self, call, capsys):
        with pytest.raises(SystemExit):
            call(self.example, "--help")
        text = " ".join(capsys.readouterr().out.split())
        for words in ("A command.", "--dry-run Do less.", "Two names.", "A share. (default: 0.5)"):
            assert words in text
        assert "--experiment" not in text

    def test_faults_are_listed_whatever_happens(self, call, capsys, tmp_path):
        def command(experiment):
            experiment.work.problems.skip("odd", "a.jpg", "cut")
            raise ValueError("svm.C: expected 1")

        assert call(command) == 2
        said = capsys.readouterr()
        assert "1 faults in the data:" in said.err
        assert said.err.endswith("\nerror: svm.C: expected 1\n")
        assert said.out == ""
        assert (tmp_path / "run" / "problems.txt").is_file()


class TestOneWriter:
    """Of the commands on one run at a time."""

    @pytest.fixture
    def call(self, shape_options, run, load_tool):
        return lambda name, *arguments: load_tool(name).main([*arguments, *shape_options, f"--run={run}"])

    def test_a_command_that_writes_is_refused_while_another_one_does(self, call, run, capsys):
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        with RunFolder(run).written():
            for name, *arguments in (
                ("train_svm", "--svm.C=0.5"), ("run_pipeline", "--svm.C=0.5"), ("proposals", "check", "--fix"),
                ("features", "prune"), ("calibrate",), ("train_svm", "--drop=box"),
            ):  # fmt: skip
                assert call(name, *arguments) == 2
                assert f"error: {run}: process {os.getpid()} on" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

    def test_commands_that_look_need_no_lock(self, call, run, tmp_path):
        with RunFolder(run).written():
            assert call("evaluate") == call("report") == call("features", "info") == 0
            assert call("extract_features", "--dry-run") == call("proposals", "report") == 0
            assert call("proposals", "export", f"--out={tmp_path / 'out.npz'}") == 0

    def test_the_first_of_several_processes_has_it_for_all(self, call, run, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        with RunFolder(run).written():
            assert call("train_bbox") == 0
        monkeypatch.setenv("RANK", "0")
        with RunFolder(run).written():
            assert call("train_bbox") == 2


class TestWhatIsNoRun:
    """Commands that are nothing without a run say that there is none, and leave nothing behind."""

    @pytest.mark.parametrize(
        "call",
        [
            "evaluate", "evaluate --detections=x", "evaluate --annotations=x", "calibrate", "train_bbox", "detect",
            "report", "train_svm --add=cat --photos=x", "train_svm --drop=cat", "train_svm --rename cat dog",
            "visualize_features", "visualize_features --images x", "visualize_features --samples cat --config=custom",
            "visualize_features --window=1,2,3,4 --config=custom", "proposals export --out=x", "proposals check",
            "proposals report", "features info", "features verify", "features prune",
        ],
    )  # fmt: skip
    def test_it_is_said(self, call, load_tool, tmp_path, capsys):
        name, *arguments = call.split()
        assert load_tool(name).main([*arguments, f"--run={tmp_path / 'typo'}"]) == 2
        said = capsys.readouterr()
        expected = f"{tmp_path / 'typo'}: expected the folder of a run, found none; sppnet run"
        assert (said.out, said.err) == ("", f"error: {expected} --run {tmp_path / 'typo'} makes one\n")
        assert not list(tmp_path.iterdir())

    def test_of_two_runs(self, load_tool, run, tmp_path, capsys):
        (tmp_path / "photos").mkdir()
        assert load_tool("combine").main([str(run), str(tmp_path / "photos"), f"--out={tmp_path / 'out'}"]) == 2
        expected = f"error: {tmp_path / 'photos'}: expected the folder of a run, found no settings in it; sppnet run"
        assert capsys.readouterr().err.startswith(expected)

    def test_what_needs_none(self, load_tool, tmp_path, shape_options, finished, capsys):
        """Files can be looked at, with a config that tells the data."""
        (tmp_path / "mine.yaml").write_text("".join(f"{one[2:].replace('=', ': ')}\n" for one in shape_options))
        options = [f"--config={tmp_path / 'mine.yaml'}", f"--run={tmp_path / 'new'}"]
        detections = f"--detections={finished / 'detections/test.json'}"
        assert load_tool("evaluate").main([*options, detections]) == 0
        assert load_tool("proposals").main(["report", *options, f"--windows={finished}"]) == 0
        out = f"--out={tmp_path / 'looks'}"
        assert load_tool("visualize_features").main([*options, "--images", "test1", "--filter", "3", out]) == 0
        assert "error" not in capsys.readouterr().err
        assert "expected the folder of a run" not in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_the_engine_that_computes_is_named_in_what_is_kept(tmp_path, engine):
    console, log = heard()
    settings = settings_of(f"--run={tmp_path / 'run'}", f"--features.engine={engine}")
    experiment = open_experiment(settings, console, log=log)
    chosen = experiment.settings.features.engine
    assert chosen == resolve_engine(engine, "cpu") != "auto"
    assert experiment.record["features"]["engine"] == chosen
    assert console.file.getvalue() == (f"features.engine auto: {chosen}\n" if engine == "auto" else "")
