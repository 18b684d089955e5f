"""Fetch Pascal VOC 2007 trainval and test (about 900 MB) from the official archives and unpack them.

A call that was stopped goes on where it was, each archive's MD5 is checked, and what is there is not fetched again.

  sppnet download --root data
"""

from pathlib import Path

from detection.command_line import function_command
from detection.data.downloads import VOC2007_ADDRESS, DownloadSettings, download_archives
from detection.talking import reporting


def download_voc(
    root: str = "data",
    address: str = VOC2007_ADDRESS,
    keep: bool = False,
    download: DownloadSettings = DownloadSettings(),  # noqa: B008 (frozen)
) -> None:
    """Fetch and unpack.

    Args:
        root: Folder to unpack in. ROOT/VOCdevkit is then the data set's root (dataset.root).
        address: Where VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar lie, http or https.
        keep: Leave the archives in ROOT/VOCdevkit after unpacking.
        download: How patiently to download.
    """
    with reporting() as report:
        download_archives(root, address, settings=download, keep=keep, report=report)
    print(f"Pascal VOC 2007 lies in {Path(root) / 'VOCdevkit' / 'VOC2007'}")


main = function_command(__doc__, download_voc)
