"""What is written of detections in a user's own photos and videos, and which of them are shown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection import data
from detection.data.draft_labels import PROBABILITY, write_drafts
from detection.data.images import IMAGE_EXTENSIONS, files_with
from detection.data.labels import ImageObjects, LabelledObject
from detection.data.shown_tables import write_shown_tables
from detection.detector import Detector
from detection.storage import encodable, readable_paths, write_text
from detection.types import Detections


@dataclass(frozen=True)
class Least:
    """From where on detections are shown: a probability in [0, 1], or an SVM margin, for all classes; both None: from
    each class's own threshold in the detector.
    """

    probability: float | None = None
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError(
                f"--threshold: expected a probability in 0 .. 1, got {self.probability}; a margin: --margin"
            )
        if None not in (self.probability, self.margin):
            raise ValueError("--threshold, --margin: expected one of them, got both")

    def reached(self, detector: Detector, found: Detections) -> np.ndarray:
        """(K,) bool: which of an image's detections are shown. found: with their probabilities."""
        if self.margin is not None:
            return found.scores >= self.margin
        if self.probability is not None:
            return found.probabilities >= self.probability
        return detector.sigmoids.shown(found)

    def __str__(self) -> str:
        if self.margin is not None:
            return f"of a margin of at least {self.margin:g}"
        if self.probability is not None:
            return f"of at least {100 * self.probability:g}%"
        return "that reach their class's threshold"


CHOSEN = Least()


def drawn_copies(paths: Sequence[Path | str], out: Path) -> dict[Path, Path]:
    """Each photo and video and where its drawn copy goes: those of folders by name, with all of their subfolders.

    A copy has its photo's name, in the subfolders that lie between the photo and the folder that was given; of several
    folders theirs too. Where two would have one place, it has the extension too, or its whole path. What lies in `out`
    is passed over. Raises DataError for a path that is not there or a folder without images, ValueError where a copy
    would take the place of a file that is read.
    """
    folders = [one for one in map(Path, paths) if one.is_dir()]
    places: dict[Path, Path] = {}
    for given in map(Path, paths):
        below = files_with(given.rglob("*"), IMAGE_EXTENSIONS) if given in folders else []
        found = [one for one in below if not one.resolve().is_relative_to(out.resolve())]
        root = (given.resolve().name if len(folders) > 1 else "") if given in folders else given
        for path in found or data.list_images([given]):
            places.setdefault(path, root / path.relative_to(given) if given in folders else Path(path.name))
    targets = _named(places, out)
    sources = {path.resolve() for path in places}
    if taken := [str(target) for target in targets.values() if target.resolve() in sources]:
        raise ValueError(f"{out}: expected another folder than the images', a drawn copy would replace {taken[0]}")
    return targets


def _named(places: Mapping[Path, Path], out: Path) -> dict[Path, Path]:
    """File -> its drawn copy below `out`. places: file -> the like-named place that it should have."""

    def drawn(path: Path, name: Path) -> Path:
        return name.parent / f"{name.name}{'.mp4' if data.is_video(path) else '.jpg'}"

    names = {path: place.with_suffix("") for path, place in places.items()}
    for longer in (places, {path: place.parent / path.as_posix().replace("/", "_") for path, place in places.items()}):
        counts = Counter(drawn(path, name) for path, name in names.items())
        names = {path: name if counts[drawn(path, name)] == 1 else longer[path] for path, name in names.items()}
    readable = readable_paths(name.as_posix() for name in names.values())
    return {path: out / drawn(path, readable[name.as_posix()]) for path, name in names.items()}


def write_found(out: Path, found: Sequence[Detections], shown: Sequence[Detections], detector: Detector) -> None:
    """Write what was found, and what of it is `shown`: a record a photo or frame each, with probabilities.

    The tables of `write_shown_tables`, and ``detections.json``: all detections (COCO results format; image_id is the
    photo; category_id the line of ``classes.txt`` from 1; score the SVM margin; probability, and calibrated: false
    where it is not).
    """
    classes, calibrated = detector.classes, detector.sigmoids.trained
    write_shown_tables(out, shown, classes, calibrated)
    data.write_coco_results(out / "detections.json", found, calibrated)
    write_text(out / "classes.txt", "".join(f"{name}\n" for name in classes))


def labels_folder(out: Path, format: str) -> Path:
    """Where `write_labels` writes."""
    return out / f"labels-{format}"


def write_labels(
    out: Path, format: str, found: Sequence[Detections], classes: Sequence[str], targets: Mapping[Path, Path]
) -> None:
    """Write shown detections in photos as draft labels, see ``data.draft_labels.write_drafts``.

    targets: see `drawn_copies`; the photos' ids have their subfolders and names. Frames of videos are left out.
    """
    of_photo = {one.image_id: one for one in found}
    images = [
        _drafted(of_photo[image_id], path, target.relative_to(out).with_suffix("").as_posix(), classes)
        for path, target in targets.items()
        if (image_id := photo_id(path)) in of_photo
    ]
    write_drafts(labels_folder(out, format), format, images, classes)


def photo_id(path: Path) -> str:
    """What a photo is called in all that is written of it."""
    return encodable(path.as_posix())


def _drafted(found: Detections, path: Path, image_id: str, classes: Sequence[str]) -> ImageObjects:
    columns = found.boxes.tolist(), found.labels.tolist(), found.probabilities.tolist()
    objects = tuple(
        LabelledObject(index, classes[label], tuple(box), False, extras={PROBABILITY: chance})
        for index, (box, label, chance) in enumerate(zip(*columns, strict=True), start=1)
    )
    return ImageObjects(image_id, path, data.image_size(path), objects, path)
