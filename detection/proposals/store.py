"""Proposals on disk: one small file an image, checked against what made it on reading."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detection.proposals.edge_boxes import model_fingerprint
from detection.proposals.settings import ProposalSettings
from detection.storage import file_stem, fingerprint, notice_damaged, read_arrays, read_metadata, write_arrays
from detection.types import Proposals

FORMAT_VERSION = "2"
# To be raised with every change of the algorithm that changes proposals: files of the old one are then made again.
ALGORITHM_VERSION = 1


def proposals_identity(settings: ProposalSettings) -> dict[str, Any]:
    """All that decides what proposals settings give, as plain data; a model file by its content.

    Raises FileNotFoundError for a model file that is not there.
    """
    identity = settings.identity()
    if "edge_boxes_model" in identity:
        identity["edge_boxes_model"] = model_fingerprint(identity["edge_boxes_model"])
    return identity


class ProposalStore:
    """The proposals of a run: ``FOLDER/<image id, percent-encoded>.safetensors``.

    A file made with other settings, by another version of the algorithm, from another image content, or damaged
    (which is said), counts as absent.
    """

    def __init__(self, folder: Path | str, settings: ProposalSettings) -> None:
        self.folder, self._are_made = Path(folder), settings.method != "imported"
        self.key = fingerprint(ALGORITHM_VERSION, proposals_identity(settings))

    def path(self, image_id: str) -> Path:
        """Where the proposals of an image lie."""
        return self.folder / f"{file_stem(image_id)}.safetensors"

    def read(self, image_id: str, image_fingerprint: str) -> Proposals | None:
        """The proposals of an image, or None where they must be made (again).

        Raises ValueError for imported ones that are damaged.
        """
        path = self.path(image_id)
        try:
            arrays, metadata = read_arrays(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            return self._damaged(error)
        if not self._is_current(metadata, image_id, image_fingerprint):
            return None
        # Files of before there was a fingerprint of all that is in one.
        if metadata.get("content", _content(arrays.get("boxes"), metadata)) != _content(arrays.get("boxes"), metadata):
            return self._damaged(f"{path}: damaged")
        size = (int(metadata["height"]), int(metadata["width"]))
        return Proposals(image_id, size, arrays["boxes"], metadata["source"])

    def _damaged(self, error: ValueError | str) -> None:
        """Say that a file counts as absent. Raises ValueError for imported proposals, which nobody here can make."""
        if not self._are_made:
            raise ValueError(f"{error}; delete the file, and run sppnet proposals import once more")
        notice_damaged(error)

    def has(self, image_id: str, image_fingerprint: str) -> bool:
        """Whether there is a file of this image, by its metadata: the proposals are not read."""
        try:
            metadata = read_metadata(self.path(image_id))
        except FileNotFoundError:
            return False
        except ValueError as error:
            return bool(self._damaged(error))
        return self._is_current(metadata, image_id, image_fingerprint)

    def write(self, proposals: Proposals, image_fingerprint: str) -> None:
        """Write the proposals of an image, atomically."""
        height, width = proposals.size
        metadata = {
            "format_version": FORMAT_VERSION,
            "image_id": proposals.image_id,
            "image": image_fingerprint,
            "key": self.key,
            "height": str(height),
            "width": str(width),
            "source": proposals.source,
        }
        write_arrays(self.path(proposals.image_id), {"boxes": proposals.boxes}, metadata)

    def _is_current(self, metadata: dict[str, str], image_id: str, image_fingerprint: str) -> bool:
        expected = {"format_version": FORMAT_VERSION, "image_id": image_id, "image": image_fingerprint, "key": self.key}
        return all(metadata.get(name) == value for name, value in expected.items())


def _content(boxes: np.ndarray | None, metadata: Mapping[str, str]) -> str:
    """What tells a file with a changed byte from the one that was written."""
    return fingerprint(boxes, [metadata.get(name) for name in ("height", "width", "source")])
