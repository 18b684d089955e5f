"""Images with a label each, or several: from folders named by class, or what the objects of a devkit say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.data.images import IMAGE_EXTENSIONS, files_with
from detection.data.labels import class_name
from detection.data.problems import DataError
from detection.storage import error_text
from detection.types import AnnotatedImage, ClassificationImage

MAP_EXTENSIONS = (".npy",)


def image_folder_classes(folder: Path | str) -> tuple[str, ...]:
    """The classes of FOLDER/CLASS/image: names of its folders, sorted. Raises ValueError for fewer than two."""
    folder = Path(folder)
    names = sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    for name in names:
        if class_name(name, folder) != name:
            raise ValueError(f"{folder}: expected folders called as classes are, got blanks around or in {name!r}")
    if len(names) < 2:
        raise ValueError(f"{folder}: expected a folder for each of at least two classes, got {names or 'none'}")
    return tuple(names)


def read_image_folder(
    folder: Path | str, classes: Sequence[str], extensions: tuple[str, ...] = IMAGE_EXTENSIONS
) -> list[ClassificationImage]:
    """The images of FOLDER/CLASS/..., subfolders too, class by class, sorted by path; ids are CLASS/....

    extensions: of the files taken, any case; MAP_EXTENSIONS for arrays in place of images (`read_map`).

    Hidden files are passed over. Raises ValueError for a folder that is no class, a class without an image, and where
    there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder with a folder of images for each class, found none")
    strangers = set(image_folder_classes(folder)) - set(classes)
    if strangers:
        raise ValueError(f"{folder}: expected folders of the classes {', '.join(classes)}, got {', '.join(strangers)}")
    images = []
    for label, name in enumerate(classes):
        presence = np.full(len(classes), -1, np.int8)
        presence[label] = 1
        found = files_with((folder / name).rglob("*"), extensions)
        if not found:
            raise ValueError(f"{folder / name}: expected files ({' '.join(extensions)}), found none")
        images += [ClassificationImage(path.relative_to(folder).as_posix(), path, presence) for path in found]
    return images


def read_map(path: Path | str) -> np.ndarray:
    """A dense map (C, h, w) of numbers from an .npy file. Raises DataError for anything else; no code in it is run."""
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError("unreadable map", path, f"expected an .npy array, got {error_text(error)}") from error
    shape = getattr(loaded, "shape", ())
    if len(shape) != 3 or min(shape) < 1 or loaded.dtype.kind not in "fiub":
        raise DataError("malformed map", path, f"expected numbers of shape (C, h, w), got shape {shape}")
    if not np.isfinite(loaded).all():
        raise DataError("malformed map", path, "expected finite values, got others")
    return loaded


def labelled_images(images: Sequence[AnnotatedImage], num_classes: int) -> list[ClassificationImage]:
    """What the objects of annotated images say of the images: the devkit's classification task (VOC 2007, section 4).

    An image with difficult objects alone of a class has presence 0 for it.
    """
    result = []
    for image in images:
        presence = np.full(num_classes, -1, np.int8)
        presence[image.labels[image.difficult]] = 0
        presence[image.labels[~image.difficult]] = 1
        result.append(ClassificationImage(image.image_id, image.path, presence))
    return result
