"""Settings of an experiment: the dataclasses of all stages, composed, read from YAML and the command line.

An option given on the command line wins over every file, wherever it stands; of several ``--config`` files
the later wins. Without ``--config`` a run folder's own settings are used where it has some.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from detection.command_line import HelpFormatter, exit_status
from detection.data import Problems
from detection.pipeline.experiment import Experiment
from detection.pipeline.settings import StageSettings
from detection.pipeline.work import Work, default_workers, worker_processes
from detection.storage import write_text
from detection.storage.run import RunFolder

__all__ = [
    "HelpFormatter",
    "Settings",
    "SettingsError",
    "build_parser",
    "exit_status",
    "open_experiment",
    "parse",
    "report_problems",
    "resolved",
    "run_tool",
]

# Files named in full at the end of a run; all of them are in RUN/problems.txt.
_LISTED_PROBLEMS = 20


@dataclass(frozen=True)
class Settings(StageSettings):
    """An experiment.

    Args:
        preset: Published protocol that the settings follow, a file of configs/ that sets all of its numbers:
            voc2007_paper or voc2007_released. Values other than its own are printed and kept with the results.
        run: Folder of the run: settings, classes, proposals, maps, detector, detections, evaluation.
        limit: Use the first so many images of each split; null: all.
        workers: Processes over images; they do not change any result. 0: one a processor, at most 4.
        threads: Threads a process for convolutions and matrix products. They change the last bits of results.
        device: torch device of the convolutions, e.g. cpu or cuda.
        strict: Stop at the first image or annotation with a fault, instead of listing it at the end.
    """

    preset: str | None = None
    run: str = "runs/run"
    limit: int | None = None
    workers: int = 0
    threads: int = 1
    device: str = "cpu"
    strict: bool = False

    def __post_init__(self) -> None:
        for key, least in (("limit", 1), ("workers", 0), ("threads", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"{key}: expected a number >= {least}, got {value}")


# Of no influence on what a run holds: not kept as its settings.
_OF_THE_CALL = ("run", "workers", "device", "strict")
_PRESETS = Path(__file__).resolve().parents[1] / "configs"
# Of no protocol: where things lie, and what computes.
_PLACES = ("dataset.root", "features.weights", "features.engine", "finetune.initial", "proposals.imported")


class SettingsError(ValueError):
    """Settings that cannot be used; the text names the file or option and the key."""


def build_parser(description: str, add_options: Callable[[ArgumentParser], None] | None = None) -> ArgumentParser:
    """A parser of ``--config`` and every key of `Settings` in dotted form, and a tool's own options."""
    parser = ArgumentParser(
        description=description, exit_on_error=False, allow_abbrev=False, formatter_class=HelpFormatter
    )
    parser.add_argument("--config", action="config", help="YAML file of settings; several are merged, the last wins.")
    if add_options is not None:
        add_options(parser)
    parser.add_class_arguments(Settings)
    return parser


def _split_configs(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(values of --config, everything else)."""
    files, rest, waiting = [], [], iter(arguments)
    for argument in waiting:
        if argument == "--config":
            value = next(waiting, None)
            if value is None:
                raise SettingsError("--config: expected a file, got nothing")
            files.append(value)
        elif argument.startswith("--config="):
            files.append(argument.removeprefix("--config="))
        else:
            rest.append(argument)
    return files, rest


def _check_file(parser: ArgumentParser, path: str) -> None:
    if not Path(path).is_file():
        raise SettingsError(f"--config {path}: expected a file, found none")
    _parse_with_name(path, lambda: parser.parse_path(path))


def _parse_with_name(name: Path | str, parse_it: Callable[[], Any]) -> Any:
    try:
        return parse_it()
    except Exception as error:
        # jsonargparse raises several kinds; all mean that the text cannot be used, and none names its file.
        raise SettingsError(f"{name}: {error}") from error


def _settings_of_run(rest: Sequence[str], parser: ArgumentParser) -> dict[str, str]:
    """File -> text of the settings kept in the run folder that ``--run`` names, if it has some."""
    folder = Settings.run
    for position, argument in enumerate(rest):
        if argument == "--run" and position + 1 < len(rest):
            folder = rest[position + 1]
        elif argument.startswith("--run="):
            folder = argument.removeprefix("--run=")
    run = RunFolder(folder)
    kept = run.read()["settings"]
    if kept is None:
        return {}
    text = yaml.safe_dump(kept)
    _parse_with_name(run.record_file, lambda: parser.parse_string(text))
    return {str(run.record_file): text}


def _with_values(rest: Sequence[str]) -> list[str]:
    """``--strict`` alone means ``--strict=true``."""
    return [
        "--strict=true" if one == "--strict" and after.startswith("-") else one
        for one, after in pairwise([*rest, "--"])
    ]


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> tuple[Settings, Namespace]:
    """(settings, all parsed options). Raises SettingsError naming the file or the option and the key.

    ``--help`` prints and exits, as usual.
    """
    files, rest = _split_configs(arguments)
    rest = _with_values(rest)
    for path in files:
        _check_file(parser, path)
    sources = {path: path for path in files} or _settings_of_run(rest, parser)
    configs = [f"--config={content}" for content in sources.values()]
    options = _parse_with_name("command line", lambda: parser.parse_args([*configs, *rest]))
    # Values that do not go together may come from several places.
    values = _parse_with_name(" or ".join([*sources, "command line"]), lambda: parser.instantiate(options))
    names = [one.name for one in dataclasses.fields(Settings)]
    return Settings(**{name: values[name] for name in names}), options


def resolved(settings: Settings) -> dict[str, Any]:
    """All settings that decide a run's results, as plain data that ``--config`` reads back."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, (tuple, list)) else value

    values = plain(dataclasses.asdict(settings))
    return {key: value for key, value in values.items() if key not in _OF_THE_CALL}


def preset_overrides(settings: Settings) -> dict[str, Any]:
    """Dotted key -> value of every setting that is not the one of its preset; none without a preset.

    Where data, weights and results lie does not count. Raises SettingsError for an unknown preset.
    """
    if settings.preset is None:
        return {}
    path = _PRESETS / f"{settings.preset}.yaml"
    if not path.is_file():
        known = sorted(one.stem for one in _PRESETS.glob("*.yaml") if yaml.safe_load(one.read_text()).get("preset"))
        raise SettingsError(f"preset: expected one of {', '.join(known) or 'none'}, got {settings.preset!r}")
    published, _ = parse(build_parser(""), ["--config", str(path)])
    own, others = _flat(resolved(settings)), _flat(resolved(published))
    return {key: value for key, value in own.items() if value != others[key] and key not in _PLACES}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    found = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def open_experiment(settings: Settings, console: Console | None = None, executor: Executor | None = None) -> Experiment:
    """The experiment of these settings. executor: see ``stages.work.Work``."""
    work = Work(
        workers=settings.workers or default_workers(),
        executor=executor,
        threads=settings.threads,
        device=settings.device,
        problems=Problems(settings.strict),
        # Of several processes under torchrun the first speaks.
        console=console or Console(quiet=os.environ.get("RANK", "0") != "0"),
    )
    if settings.features.engine == "auto":
        settings = replace(settings, features=settings.features.for_device(settings.device))
        work.console.print(f"features.engine auto: {settings.features.engine}", highlight=False, markup=False)
    differs = preset_overrides(settings)
    if differs:
        text = ", ".join(f"{key} {value}" for key, value in differs.items())
        work.console.print(f"differs from preset {settings.preset}: {text}", highlight=False, markup=False)
    return Experiment(RunFolder(settings.run), settings, work, settings.limit, resolved(settings), differs)


def report_problems(experiment: Experiment) -> None:
    """Print what was left out or repaired, and write all of it to ``RUN/problems.txt``; no fault, no file."""
    problems, path = experiment.work.problems, experiment.run.path / "problems.txt"
    if not problems:
        path.unlink(missing_ok=True)
        return
    write_text(path, "".join(f"{one.action}: {one.kind}: {one.file}: {one.message}\n" for one in problems))
    left_out = [one for one in problems if one.action == "left out"][:_LISTED_PROBLEMS]
    lines = [
        f"{len(problems)} faults in the data:",
        *(f"  {line}" for line in problems.summary()),
        *(f"  {one.file}: {one.message}" for one in left_out),
        f"  all of them: {path}",
    ]
    experiment.work.console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def run_tool(
    description: str,
    body: Callable[[Experiment, Namespace], object],
    arguments: Sequence[str] | None = None,
    add_options: Callable[[ArgumentParser], None] | None = None,
) -> int:
    """What most tools do: parse, run `body` on the experiment, list the faults. Returns the `exit_status`."""

    def run() -> object:
        parser = build_parser(description, add_options)
        settings, options = parse(parser, sys.argv[1:] if arguments is None else list(arguments))
        with worker_processes(settings.workers or default_workers()) as executor:
            experiment = open_experiment(settings, executor=executor)
            try:
                return body(experiment, options)
            finally:
                report_problems(experiment)

    return exit_status(run)
