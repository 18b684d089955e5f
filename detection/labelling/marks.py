"""What labels cannot hold, kept in the run: whether all objects of a photo are drawn, and what is none."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detection.data.labels import Box, ImageObjects
from detection.storage import read_sealed_json, write_sealed_json

FORMAT_VERSION = 1
_REMEDY = "move it away: photos with labels then count as complete"


@dataclass(frozen=True)
class Rejected:
    """A suggested box that is no object of the class. box: half-open x1, y1, x2, y2 in px of the photo."""

    name: str
    box: Box


@dataclass(frozen=True)
class Marks:
    """Of a photo. complete: every object in it is drawn, so that all else is none. rejected: suggestions that were."""

    complete: bool
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """A photo as its labeller left it: its objects, in the frame of its size, and what is known of all else."""

    image: ImageObjects
    marks: Marks = Marks(False)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all."""
        return not (self.image.objects or self.marks.complete or self.marks.rejected)


class MarksFile:
    """``RUN/labelling/photos.json``: the marks of photos by id; written anew, in one move, whenever one changes.

    Raises ValueError for a file that is damaged or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._marks: dict[str, Marks] = dict(_read(path)) if path.is_file() else {}

    def of(self, image_id: str, is_labelled: bool) -> Marks:
        """The marks of a photo; one that never was labelled here is complete if it has labels, as in any training."""
        return self._marks.get(image_id, Marks(is_labelled))

    def keep(self, image_id: str, marks: Marks) -> None:
        """Note the marks of a photo."""
        if self._marks.get(image_id) != marks:
            self._marks[image_id] = marks
            photos = {name: asdict(one) for name, one in self._marks.items()}
            write_sealed_json(self.path, {"format_version": FORMAT_VERSION, "photos": photos})


def _read(path: Path) -> Iterable[tuple[str, Marks]]:
    content = read_sealed_json(path, _REMEDY)
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION or not isinstance(content.get("photos"), dict):
        raise ValueError(f"{path}: expected photos in format_version {FORMAT_VERSION}, got {version!r}; {_REMEDY}")
    return ((name, _marks(one, f"{path}: photos: {name}")) for name, one in content["photos"].items())


def _marks(values: Any, where: str) -> Marks:
    try:
        rejected = [Rejected(str(one["name"]), _box(*one["box"])) for one in values["rejected"]]
        return Marks({True: True, False: False}[values["complete"]], tuple(rejected))
    except (TypeError, LookupError, ValueError) as error:
        got = f"expected complete and rejected boxes, got {values!r:.80}"
        raise ValueError(f"{where}: {got}; {_REMEDY}") from error


def _box(x1: float, y1: float, x2: float, y2: float) -> Box:
    return float(x1), float(y1), float(x2), float(y2)
