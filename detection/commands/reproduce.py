"""The paper's experiment: Pascal VOC 2007 and weights fetched, then a published protocol from proposals to mAP.

Says first what it will fetch and how long it will take, and at the end lays the published figures beside its own.
Takes the options of `sppnet run` too. Goes on where it stopped, downloads included.

  sppnet reproduce --root data --backbone alexnet --dry-run
"""

import argparse
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Literal, NamedTuple

from detection.backbones import torchvision_networks
from detection.command_line import FLAG, Main, command, say
from detection.commands.published import comparison
from detection.commands.reproduce_cost import Cost, trial
from detection.commands.run_cost import free_bytes
from detection.commands.session import run_command
from detection.data import DownloadSettings
from detection.data.downloads import (
    VOC2007_ADDRESS,
    VOC2007_ARCHIVES,
    download_archives,
    fetch,
    missing_archives,
)
from detection.pipeline.experiment import Experiment
from detection.pipeline.runner import run_all
from detection.talking import reporting

Backbone = Literal["alexnet", "vgg16", "zf5", "efficientnet_lite0"]
Protocol = Literal["paper", "released"]
_ROOT, _BACKBONE = "data", "alexnet"
_OWN_FILE = "zf5"  # nobody publishes its weights
_FETCHED = ("alexnet", "vgg16")
_HASH = re.compile(r"-([0-9a-f]{8,})\.")  # PyTorch's file names hold the start of their SHA-256
# What a network needs beside each preset, which is for ZF-5.
_NETWORK_SETTINGS = {
    # Their own fc6 reads a level of 6 x 6 bins, which the presets have, and of 7 x 7.
    ("vgg16", "paper"): ("--features.levels=7,3,2,1",),
    ("vgg16", "released"): ("--features.levels=1,2,3,7",),
    # No fc6 and fc7 to start from: its vectors have to be standardised (docs/protocol.md). Half of its maps' values are
    # negative.
    ("efficientnet_lite0", "paper"): ("--finetune.standardise=true",),
    ("efficientnet_lite0", "released"): ("--finetune.standardise=true", "--features.pool_floor=null"),
}


def reproduce(
    experiment: Experiment,
    root: str = _ROOT,
    backbone: Backbone = _BACKBONE,
    protocol: Protocol = "paper",
    weights: str | None = None,
    address: str = VOC2007_ADDRESS,
    download: DownloadSettings = DownloadSettings(),  # noqa: B008 (frozen)
    dry_run: bool = False,
) -> None:
    """Fetch, run, compare.

    Args:
        experiment: The run.
        root: Folder for everything: VOCdevkit, weights and the run in runs/PRESET-BACKBONE.
        backbone: Network: alexnet, vgg16, efficientnet_lite0, or the paper's zf5 with a file of weights of your own
            (--weights).
        protocol: The SPP-net paper's numbers (configs/voc2007_paper.yaml), or its released code's
            (configs/voc2007_released.yaml).
        weights: File of weights (.safetensors or .pth) in place of the published ones.
        address: Where VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar lie, http or https.
        download: How patiently to download.
        dry_run: Say what it would fetch and how long it would take, and do nothing.
    """
    archives = missing_archives(root, VOC2007_ARCHIVES)
    to_fetch = {one.name: one.size for one in archives}
    published = _published(root, backbone, weights)
    if published and not published.file.is_file():
        to_fetch[published.file.name] = published.size
    if dry_run or not experiment.run.record_file.is_file():
        _tell_cost(experiment, root, to_fetch)
    if dry_run:
        return
    with reporting() if to_fetch else nullcontext(lambda *_: None) as report:
        download_archives(root, address, archives, download, report=report)
        if published:
            digits = _HASH.search(published.file.name)[1]
            fetch(published.address, published.file, digits, download, report, "sha256")
    result = run_all(experiment)
    table, notes = comparison({one.name: one.ap for one in result.per_class}, result.mean_ap, backbone)
    experiment.work.console.print(table)
    say(experiment.work.console, *notes)
    differs = ", ".join(f"{key} {value}" for key, value in experiment.preset_overrides.items())
    experiment.say(f"this run: {experiment.run.path}; other than {experiment.settings.preset}: {differs or 'nothing'}")


class _Weights(NamedTuple):
    """Weights to fetch: address, bytes, and where they go."""

    address: str
    size: int
    file: Path


def _published(root: str, backbone: str, weights: str | None) -> _Weights | None:
    """None where the weights are a file of the user's, or come with a package."""
    if weights is not None or backbone not in _FETCHED:
        return None
    address, size = torchvision_networks.published_file(backbone)
    return _Weights(address, size, Path(root) / "weights" / address.rpartition("/")[2])


def _tell_cost(experiment: Experiment, root: str, to_fetch: dict[str, int]) -> None:
    """Bytes and hours."""
    free = free_bytes(Path(root))
    fetched = ", ".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in to_fetch.items())
    console = experiment.work.console
    say(console, f"to fetch: {sum(to_fetch.values()):,} bytes: {fetched}" if to_fetch else "to fetch: nothing")
    cost: Cost = trial(experiment.settings, experiment.work.workers)
    say(console, *cost.lines(sum(to_fetch.values()), free))


def _settings_of(arguments: list[str]) -> list[str]:
    """The settings that --root, --backbone, --protocol and --weights stand for; those typed come behind and win."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, value in (("root", _ROOT), ("backbone", _BACKBONE), ("protocol", "paper"), ("weights", None)):
        parser.add_argument(f"--{name}", default=value)
    given, _ = parser.parse_known_args(arguments)
    preset, backbone, weights = f"voc2007_{given.protocol}", given.backbone, given.weights
    settings = [f"--config={preset}", f"--dataset.root={Path(given.root) / 'VOCdevkit'}"]
    settings.append(f"--run={Path(given.root) / 'runs' / f'{preset}-{backbone}'}")
    if backbone == _OWN_FILE:
        if weights is None:
            raise ValueError(
                "--backbone zf5: nobody publishes its weights; expected --weights FILE of your own, whose names and "
                "shapes detection/backbones/zf5.py lists, got none"
            )
        settings.append(f"--finetune.initial={weights}")
    else:
        settings.append(f"--features.backbone={backbone}")
    published = _published(given.root, backbone, weights)
    if weights or published:
        settings.append(f"--features.weights={weights or published.file}")
    return [*settings, *_NETWORK_SETTINGS.get((backbone, given.protocol), ())]


def _run(arguments: list[str]) -> int:
    return _command([*_settings_of(arguments), *arguments])


_command: Main = run_command(__doc__, reproduce, {"--dry-run": FLAG}, lambda options: not options.dry_run)
main = command(_run)
