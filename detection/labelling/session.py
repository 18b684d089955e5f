"""A folder that is being labelled: its photos, what is known of each, and saving it so that nothing gets lost."""

import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from detection.data.labels import ImageObjects, class_name
from detection.data.settings import DatasetSettings
from detection.labelling.marks import Lesson, Marks, MarksFile
from detection.labelling.photos import Drawn, Photo, PhotoLabels, changed_labels, open_photos, read_labels
from detection.storage import fingerprint
from detection.storage.atomic import remove_leftovers
from detection.storage.lock import brief_lock

# Rejected boxes of a photo, at most: suggestions are far fewer.
_MOST_REJECTED = 5000
# There while a photo is being saved.
_LOCK = ".sppnet-label.lock"


@dataclass(frozen=True)
class PhotoState:
    """All that is known of a photo at a time."""

    labels: PhotoLabels
    marks: Marks

    @cached_property
    def version(self) -> str:
        """Equal for equal states: who saves says which one he has seen."""
        objects = [[one.index, one.name, one.box, one.difficult] for one in self.labels.objects]
        rejected = [[one.name, one.box] for one in self.marks.rejected]
        return fingerprint(self.labels.is_labelled, objects, self.marks.complete, rejected)


class ConflictError(ValueError):
    """A photo's labels have changed since they were read. state: what they are now."""

    def __init__(self, photo: Photo, state: PhotoState) -> None:
        super().__init__(
            f"{photo.path}: its labels were changed elsewhere since they were read (another tab, another program); "
            "nothing is saved: look at them as they are now"
        )
        self.state = state


class Session:
    """The photos of a data set and what was said of them; may be used by several threads.

    settings: where the set is. marks_file: where the run keeps what labels cannot hold. Raises ValueError as
    `open_photos` and `MarksFile`.
    """

    def __init__(self, settings: DatasetSettings, marks_file: Path) -> None:
        images = settings.train[0].images
        self.found, self.photos = open_photos(settings.root, settings.format, None if images is None else Path(images))
        self.max_pixels = settings.max_pixels
        self._marks, self._lock = MarksFile(marks_file), threading.RLock()
        self._seen = [self._read(number) for number in range(len(self.photos))]

    def clear(self) -> None:
        """Remove what a program that was killed while it saved left beside the labels."""
        files = {one.reader.label_file(one.own_id) or one.reader.path for one in self.photos}
        with self._alone():
            for folder in {one if one.is_dir() else one.parent for one in files}:
                remove_leftovers(folder, of_others=False)

    def _read(self, number: int) -> PhotoState:
        photo = self.photos[number]
        labels = read_labels(photo, self.max_pixels)
        return PhotoState(labels, self._marks.of(photo.image_id, labels.is_labelled))

    def seen(self, number: int) -> PhotoState:
        """A photo as it was when it was last read or saved here."""
        return self._seen[number]

    def read(self, number: int) -> PhotoState:
        """A photo as it is now."""
        with self._lock:
            self._seen[number] = self._read(number)
            return self._seen[number]

    def save(self, number: int, version: str, drawn: Sequence[Drawn], marks: Marks) -> PhotoState:
        """Write what somebody made of the state of this version; the state that it gives.

        Raises ConflictError where the photo has another one, ValueError as `changed_labels`.
        """
        photo = self.photos[number]
        with self._lock, self._alone():
            before = self.read(number)
            if before.version != version:
                raise ConflictError(photo, before)
            change = changed_labels(photo, before.labels, drawn)
            for one in marks.rejected[: _MOST_REJECTED + 1]:
                class_name(one.name, photo.path, "rejected box")
            if len(marks.rejected) > _MOST_REJECTED:
                raise ValueError(f"{photo.path}: expected at most {_MOST_REJECTED} rejected boxes")
            if change is None and marks.complete and not before.labels.is_labelled:
                change = ImageObjects(photo.own_id, photo.path, before.labels.size, (), photo.path), set()
            # Cut off in between, a photo must not count as complete by marks that are of other labels.
            self._marks.keep(photo.image_id, replace(marks, complete=marks.complete and before.marks.complete))
            if change is not None:
                photo.reader.save(*change)
            self._marks.keep(photo.image_id, marks)
            return self.read(number)

    def _alone(self) -> AbstractContextManager[None]:
        """Between the look at a photo's labels and their writing no other program of ours, of another run, writes."""
        folder = self.found.path if self.found.path.is_dir() else self.found.path.parent
        # Where no labels can be written, what the run keeps of a photo can be saved all the same.
        return brief_lock(folder / _LOCK) if os.access(folder, os.W_OK) else nullcontext()

    def lesson(self, number: int) -> Lesson | None:
        """What a photo has to teach, as it was last read; None where it cannot be used."""
        photo, state = self.photos[number], self.seen(number)
        if state.labels.fault or state.labels.size is None:
            return None
        image = ImageObjects(photo.image_id, photo.path, state.labels.size, state.labels.objects, photo.path)
        return Lesson(image, state.marks)

    def classes(self) -> list[str]:
        """The names that the set declares, in its order, then others that objects have, sorted."""
        declared = dict.fromkeys(name for one in self.photos for name in one.reader.classes or ())
        objects = {item.name for one in self._seen for item in one.labels.objects}
        return [*declared, *sorted(objects - set(declared))]
