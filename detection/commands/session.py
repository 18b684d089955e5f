"""What the commands of a run share: its experiment, their options, the faults listed at the end."""

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from detection.command_line import Main, add_function_options, command, options_of, terminal
from detection.config import Settings, build_parser, parse, preset_overrides, read_settings, resolved
from detection.data import Problems
from detection.detector_files import settle_detector
from detection.parallel import OrderedMap, in_place
from detection.pipeline.executors import opened_executor
from detection.pipeline.experiment import Experiment
from detection.pipeline.work import Work, default_workers
from detection.storage import write_text
from detection.storage.run import RunFolder
from detection.talking import LOG
from detection.types import AnnotatedImage

# Files named in full at the end of a run; all of them are in RUN/problems.txt.
_LISTED_PROBLEMS = 20
# Of a command's options.
Condition = Callable[[Namespace], bool]
# Of settings and a command's options.
Adjusted = Callable[[Settings, Namespace], Settings]


def always(_: Namespace) -> bool:
    """Whatever the options are."""
    return True


def never(_: Namespace) -> bool:
    """Under no options: `writes` of a command whose files are whole and those that any process would write."""
    return False


def as_given(settings: Settings, _: Namespace) -> Settings:
    """The settings as they are."""
    return settings


def open_experiment(
    settings: Settings, console: Console | None = None, executor: OrderedMap = in_place, log: logging.Logger = LOG
) -> Experiment:
    """The experiment of these settings. console: where results are printed; None: the standard output.

    executor, log: see ``pipeline.work.Work``.
    """
    work = Work(
        workers=settings.workers or default_workers(),
        executor=executor,
        threads=settings.threads,
        device=settings.device,
        keep_maps=settings.keep_maps,
        problems=Problems(settings.strict),
        # Of several processes under torchrun the first speaks.
        console=console or terminal(quiet=os.environ.get("RANK", "0") != "0"),
        log=log,
    )
    if settings.features.engine == "auto":
        settings = dataclasses.replace(settings, features=settings.features.for_device(settings.device))
        log.info(f"features.engine auto: {settings.features.engine}")
    differs = preset_overrides(settings)
    if differs:
        text = ", ".join(f"{key} {value}" for key, value in differs.items())
        log.info(f"differs from preset {settings.preset}: {text}")
    return Experiment(
        RunFolder(settings.run), settings, work, settings.limit, resolved(settings), differs, settings.classes_changed
    )


def open_kept(
    path: Path | str, console: Console | None = None, executor: OrderedMap = in_place, **of_the_call: object
) -> Experiment:
    """The experiment of a run that is there, under the settings that it keeps. Raises ValueError as `require_run`.

    of_the_call: settings that no run keeps, workers and device. console, executor: see `open_experiment`.
    """
    require_run(path)
    settings = read_settings(f"--run={path}", *(f"--{name}={value}" for name, value in of_the_call.items()))
    return open_experiment(settings, console, executor)


def images_of(experiment: Experiment, split: str) -> list[AnnotatedImage]:
    """The images of a split: train, test or all."""
    return getattr(experiment, {"train": "train_images", "test": "test_images", "all": "images"}[split])


def report_problems(experiment: Experiment) -> None:
    """Print what was left out or repaired, and write all of it to ``RUN/problems.txt``; no fault, no file."""
    problems, path = experiment.work.problems, experiment.run.path / "problems.txt"
    if not problems:
        if path.is_file():
            path.unlink()
        return
    write_text(path, "".join(f"{one.action}: {one.kind}: {one.file}: {one.message}\n" for one in problems))
    left_out = [one for one in problems if one.action == "left out"][:_LISTED_PROBLEMS]
    told = (*problems.summary(), *(f"{one.file}: {one.message}" for one in left_out), f"all of them: {path}")
    experiment.work.log.info("\n  ".join([f"{len(problems)} faults in the data:", *told]))


def experiment_command(
    description: str | None,
    body: Callable[[Experiment, Namespace], object],
    add_options: Callable[[ArgumentParser], None] | None = None,
    writes: Condition = always,
    needs_run: Condition = never,
    adjusted: Adjusted = as_given,
) -> Main:
    """The command line of a run's settings and own options, which does `body` and lists the faults.

    writes: whether it changes, under these options, what the run holds; then it is the only such process in the run.
    needs_run: whether it is nothing, under these options, without a run that is there; then one that is not is refused.
    adjusted: what becomes of the settings under these options.
    """

    def run(arguments: list[str]) -> object:
        settings, options = parse(build_parser(description or "", add_options), arguments)
        settings = adjusted(settings, options)
        if needs_run(options):
            require_run(settings.run)
        with _held(RunFolder(settings.run), writes(options)), _workers(settings) as executor:
            experiment = open_experiment(settings, executor=executor)
            try:
                return body(experiment, options)
            finally:
                report_problems(experiment)

    return command(run)


def require_run(path: Path | str) -> None:
    """Raise ValueError where a path is no run."""
    if RunFolder(path).read()["settings"] is None:
        found = "no settings in it" if Path(path).is_dir() else "none"
        raise ValueError(f"{path}: expected the folder of a run, found {found}; sppnet run --run {path} makes one")


def _workers(settings: Settings) -> AbstractContextManager[OrderedMap]:
    workers = settings.workers or default_workers()
    return opened_executor(workers, Path(settings.run), settings.scheduler, settings.mixed_processors)


def _held(run: RunFolder, writes: bool) -> AbstractContextManager[None]:
    """The run's lock for a process that writes. Of several under torchrun the first has it for all."""
    is_first = os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"
    return _written(run) if writes and is_first else nullcontext()


@contextmanager
def _written(run: RunFolder) -> Iterator[None]:
    with run.written():
        settle_detector(run.detector)
        yield


def run_command(
    description: str | None,
    function: Callable[..., object],
    own: Mapping[str, Mapping[str, Any]] | None = None,
    writes: Condition = always,
    needs_run: Condition = never,
    adjusted: Adjusted = as_given,
) -> Main:
    """`experiment_command` of a function of an experiment, whose other parameters are the command's options.

    own: see `add_function_options`. writes, needs_run, adjusted: see `experiment_command`.
    """
    return experiment_command(
        description,
        lambda experiment, options: function(experiment, **options_of(function, options)),
        lambda parser: add_function_options(parser, function, own),
        writes,
        needs_run,
        adjusted,
    )
