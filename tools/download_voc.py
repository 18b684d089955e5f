"""Fetch Pascal VOC 2007 trainval and test from the official archives."""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import auto_cli

from detection.config import HelpFormatter, exit_status
from detection.data.downloads import (
    VOC2007_ADDRESS,
    DownloadError,
    DownloadSettings,
    download_archives,
    progress_bars,
)


def download_voc(
    root: str = "data",
    address: str = VOC2007_ADDRESS,
    keep: bool = False,
    download: DownloadSettings = DownloadSettings(),  # noqa: B008 (frozen)
) -> None:
    """Fetch Pascal VOC 2007 trainval and test (about 900 MB) and unpack them.

    A run that was stopped goes on where it was, each archive's MD5 is checked, and what is there is not fetched
    again.

    Args:
        root: Folder to unpack in. ROOT/VOCdevkit is then the data set's root (dataset.root).
        address: Where VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar lie, http or https.
        keep: Leave the archives in ROOT/VOCdevkit after unpacking.
        download: How patiently to download.
    """
    with progress_bars() as report:
        download_archives(root, address, settings=download, keep=keep, report=report)
    print(f"Pascal VOC 2007 lies in {Path(root) / 'VOCdevkit' / 'VOC2007'}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""

    def run() -> None:
        auto_cli(download_voc, args=arguments, as_positional=False, formatter_class=HelpFormatter)

    return exit_status(run, (DownloadError, ValueError, OSError))


if __name__ == "__main__":
    sys.exit(main())
