"""Settings of an experiment: the dataclasses of all stages, composed, read from YAML and the command line.

An option given on the command line wins over every file, wherever it stands; of several ``--config`` files
the later wins. Without ``--config`` a run folder's own settings are used where it has some. A preset that a file names
comes before all files, one that the command line names after them.
"""

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from detection.command_line import Parser
from detection.pipeline.settings import ClassesChanged, StageSettings
from detection.report.figures import flat
from detection.storage import read_yaml, shortened
from detection.storage.run import RunFolder


@dataclass(frozen=True)
class Settings(StageSettings):
    """An experiment.

    Args:
        preset: Settings to begin with: fast, balanced or best for photos of your own, or a published protocol,
            voc2007_paper or voc2007_released. It is a file of configs/; values other than its own are printed and kept
            with the results.
        run: Folder of the run, in which all results lie. They are settings, classes, proposals, maps, detector,
            detections, evaluation and report.
        limit: Use the first so many images of each split. null: all.
        workers: Processes over images; results do not change. 0: one a processor, at most 4.
        threads: Threads a process, for convolutions. They change the last bits of results.
        device: torch device of the convolutions, e.g. cpu or cuda.
        scheduler: Address of a Dask scheduler, e.g. tcp://HOST:8786, whose workers work on the images in place of
            processes of this machine; results do not change. null: what DASK_SCHEDULER_ADDRESS in the environment says.
        mixed_processors: Take workers of the scheduler with other processors than this machine's, which change the last
            bits of results.
        keep_maps: Keep the maps of the photos on disk. If not, each pass over the photos computes them anew, with the
            same results: for data sets whose maps the disk cannot hold.
        classes_changed: Where the data have other classes than the run. refuse: stop; keep: go on with the run's,
            objects of others are left out; retrain: train anew, in place of what was trained.
        strict: Stop at the first faulty image or annotation. Else each is left out or repaired, and listed at the end.
    """

    preset: str | None = None
    run: str = "runs/run"
    limit: int | None = None
    workers: int = 0
    threads: int = 1
    device: str = "cpu"
    scheduler: str | None = None
    mixed_processors: bool = False
    keep_maps: bool = True
    classes_changed: ClassesChanged = "refuse"
    strict: bool = False

    def __post_init__(self) -> None:
        for key, least in (("limit", 1), ("workers", 0), ("threads", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"{key}: expected a number >= {least}, got {value}")


# Of no influence on what a run holds: not kept as its settings.
_OF_THE_CALL = (
    "run", "workers", "device", "scheduler", "mixed_processors", "keep_maps", "classes_changed", "strict",
)  # fmt: skip
# What every command of a run takes, and the one setting of a stage that most users give.
_SHARED = ("dataset.root", *Settings.__annotations__)
# Of no protocol: where things lie, and what computes.
_PLACES = ("dataset.root", "features.weights", "features.engine", "finetune.initial", "proposals.imported")
# Letters of an error: jsonargparse repeats the value, which may be a whole file.
_LONGEST_MESSAGE = 1000


class SettingsError(ValueError):
    """Settings that cannot be used; the text names the file or option and the key."""


def build_parser(description: str = "", add_options: Callable[[ArgumentParser], None] | None = None) -> ArgumentParser:
    """A parser of ``--config`` and every key of `Settings` in dotted form, and a command's own options."""
    parser = Parser(description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--config",
        action="config",
        help=f"File of settings, or a name: {', '.join(packaged_configs())}. Several are merged, the last wins.",
    )
    if add_options is not None:
        add_options(parser)
    parser.shared = _SHARED
    parser.add_class_arguments(Settings)
    return parser


# Made once a process: it takes as long as reading settings with it.
_parser = functools.cache(build_parser)


def packaged_configs() -> dict[str, Path]:
    """Name -> file of the settings that come with this package, which ``--config`` takes by name."""
    return {one.stem: one for one in sorted(Path(str(files("detection") / "configs")).glob("*.yaml"))}


def _config_file(name: str) -> str:
    packaged = packaged_configs()
    if not Path(name).is_file() and name not in packaged:
        raise SettingsError(f"--config {name}: expected a file or one of {', '.join(packaged)}, found no such file")
    return name if Path(name).is_file() else str(packaged[name])


def _preset_of(path: str) -> str | None:
    """The preset that a file of settings names; anything else there is told by whoever reads all of it."""
    try:
        values = read_yaml(path)
    except (OSError, ValueError) as error:  # both name the file
        raise SettingsError(str(error)) from error
    name = values.get("preset") if isinstance(values, dict) else None
    return name if isinstance(name, str) else None


def _named(name: Path | str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        # jsonargparse raises several kinds; all mean that the text cannot be used, and none names its file.
        raise SettingsError(f"{name}: {shortened(str(error), _LONGEST_MESSAGE)}") from error


def _read_first(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """(--config, --run and --preset, which decide how others are read; all but --config). --strict alone means true."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--run")
    parser.add_argument("--preset")
    first, rest = _named("command line", parser.parse_known_args, arguments)
    following = pairwise([*rest, "--"])
    rest = ["--strict=true" if one == "--strict" and after[:1] == "-" else one for one, after in following]
    given = {"run": first.run, "preset": first.preset}
    return first, [*rest, *(f"--{name}={value}" for name, value in given.items() if value is not None)]


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> tuple[Settings, Namespace]:
    """(settings, all options). Raises SettingsError naming the file or the option and the key.

    ``--help`` prints and exits, as usual.
    """
    first, rest = _read_first(arguments)
    # Name -> what --config takes: a path, or the settings kept in the run folder where no file is given.
    sources = {path: path for path in map(_config_file, first.config)}
    presets_of = {path: _preset_of(path) for path in sources}
    named = [(path, name) for path, name in presets_of.items() if name not in (None, Path(path).stem)]
    if named and first.preset is None:
        path, name = named[-1]
        sources = {**_named(path, _preset_source, name), **sources}
    if not sources:
        run = RunFolder(first.run or Settings.run)
        kept = run.read()["settings"]
        if kept is not None:
            sources[str(run.record_file)] = yaml.safe_dump(kept)
    if first.preset is not None:
        sources |= _named("command line", _preset_source, first.preset)
    words = [*(f"--config={one}" for one in sources.values()), *rest]
    try:
        options = parser.parse_args(words)
    except Exception:
        # Whose fault it is, jsonargparse does not tell: each source is read alone.
        for name, one in sources.items():
            _named(name, parser.parse_path if name == one else parser.parse_string, one)
        options = _named("command line", parser.parse_args, words)
    # Values that do not go together may come from several places.
    where = " or ".join([*sources, "command line"])
    values = _named(where, parser.instantiate, options)
    return _named(
        where, lambda: Settings(**{one.name: values[one.name] for one in dataclasses.fields(Settings)})
    ), values


def read_settings(*arguments: str) -> Settings:
    """The settings of a command line without options of a command; raises as `parse`."""
    return parse(_parser(), arguments)[0]


def presets() -> dict[str, Path]:
    """Name -> file of what `Settings.preset` may be: of the packaged settings those that call themselves so."""
    return {name: path for name, path in packaged_configs().items() if read_yaml(path).get("preset") == name}


def _read_preset(name: str) -> dict[str, Any]:
    known = presets()
    if name not in known:
        raise SettingsError(f"preset: expected one of {', '.join(known)}, got {name!r}")
    return read_yaml(known[name])


def _preset_source(name: str) -> dict[str, str]:
    """The settings of a preset as a source; where data and results lie is no part of it."""
    values = {key: value for key, value in _read_preset(name).items() if key not in ("run", "dataset")}
    return {f"preset {name}": yaml.safe_dump(values)}


def resolved(settings: Settings) -> dict[str, Any]:
    """All settings that decide a run's results, as plain data that ``--config`` reads back."""
    # By way of JSON tuples become lists.
    values = json.loads(json.dumps(dataclasses.asdict(settings)))
    return {key: value for key, value in values.items() if key not in _OF_THE_CALL}


def preset_overrides(settings: Settings) -> dict[str, Any]:
    """Dotted key -> value of every setting that is not the one of its preset; none without a preset.

    Where data, weights and results lie does not count, nor do data of which the preset says nothing. Raises
    SettingsError for an unknown preset.
    """
    if settings.preset is None:
        return {}
    is_of_data = "dataset" in _read_preset(settings.preset)
    own, others = (dict(flat(resolved(one))) for one in (settings, read_settings("--config", settings.preset)))
    return {
        key: value
        for key, value in own.items()
        if value != others.get(key) and key not in _PLACES and (is_of_data or not key.startswith("dataset."))
    }
