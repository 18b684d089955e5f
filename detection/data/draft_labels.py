"""Detections as draft labels, to be corrected in a labelling tool: a data set with its photos, or a file for import."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from detection.data.formats import FORMATS
from detection.data.formats.label_format import NewSet, image_file_name
from detection.data.labels import ImageObjects, LabelledObject
from detection.data.writing import new_folder, write_dataset
from detection.storage import write_json, write_text

# What an object of a draft says beside its box.
PROBABILITY = "probability"
_SPLIT = "train"
# Label Studio shows photos below a folder in its document root, not those in the root itself.
_PHOTOS = "photos"


def draft_formats() -> tuple[str, ...]:
    """The names that `write_drafts` takes."""
    return (*FORMATS, *_FILES)


def check_drafts(out: Path, format: str) -> None:
    """Raise ValueError for an unknown format, FileExistsError where something lies in the place of the drafts: it may
    have been corrected.
    """
    if format not in draft_formats():
        raise ValueError(f"--labels: expected one of {', '.join(draft_formats())}, got {format!r}")
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(
            f"{out}: draft labels lie there, which may have been corrected; move them, or --out elsewhere"
        )


def write_drafts(out: Path, format: str, images: Sequence[ImageObjects], classes: Sequence[str]) -> None:
    """Write draft labels to a new folder.

    images: an id is the photo's path below the folder that the tool will have it in, without extension; objects have
    their `PROBABILITY` among the extras. format: one that data sets are written in (voc, coco, yolo, folder: with the
    photos, as hard links where the disk can), ``cvat`` (CVAT for images 1.1: ``annotations.xml``) or ``labelstudio``
    (``tasks.json`` with predictions, ``config.xml``, the labels to set the project up with, and ``photos``, linked as
    well: a local storage in the document root `out`). Raises as `check_drafts` and `write_dataset`.
    """
    check_drafts(out, format)
    if format in _FILES:
        with new_folder(out) as folder:
            _FILES[format](folder, images, classes)
        return
    plain = [replace(one, objects=tuple(replace(item, extras={}) for item in one.objects)) for one in images]
    write_dataset(out, format, {_SPLIT: plain}, classes, link=True)


def _write_cvat(out: Path, images: Sequence[ImageObjects], classes: Sequence[str]) -> None:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    labels = "".join(f"<label><name>{escape(name)}</name></label>" for name in classes)
    lines.append(f"  <meta><task><labels>{labels}</labels></task></meta>")
    for place, image in enumerate(images):
        height, width = image.size
        name = quoteattr(image_file_name(image))
        lines.append(f'  <image id="{place}" name={name} width="{width}" height="{height}">')
        lines += [f"    {_cvat_box(item)}" for item in image.objects]
        lines.append("  </image>")
    write_text(out / "annotations.xml", "\n".join([*lines, "</annotations>", ""]))


def _cvat_box(item: LabelledObject) -> str:
    corners = " ".join(f'{key}="{one:.2f}"' for key, one in zip(("xtl", "ytl", "xbr", "ybr"), item.box, strict=True))
    return f'<box label={quoteattr(item.name)} source="auto" occluded="0" {corners} z_order="0"></box>'


def _write_label_studio(out: Path, images: Sequence[ImageObjects], classes: Sequence[str]) -> None:
    labels = "".join(f"\n    <Label value={quoteattr(name)}/>" for name in classes)
    whole = '<Image name="image" value="$image"/>'
    config = (
        f'<View>\n  {whole}\n  <RectangleLabels name="label" toName="image">{labels}\n  </RectangleLabels>\n</View>\n'
    )
    write_text(out / "config.xml", config)
    photos = NewSet(out, out.name, {_SPLIT: images}, tuple(classes), link=True)
    paths = [photos.put_image(one, out / _PHOTOS).relative_to(out).as_posix() for one in images]
    write_json(out / "tasks.json", [_task(*one) for one in zip(images, paths, strict=True)])


def _task(image: ImageObjects, path: str) -> dict:
    found = [_prediction(item, image.size) for item in image.objects]
    scores = [one["score"] for one in found]
    prediction = {"model_version": "sppnet", "score": min(scores, default=0.0), "result": found}
    return {"data": {"image": f"/data/local-files/?d={quote(path)}"}, "predictions": [prediction]}


def _prediction(item: LabelledObject, size: tuple[int, int]) -> dict:
    """A rectangle as Label Studio has it: in percent of the photo's sides."""
    (x1, y1, x2, y2), (height, width) = item.box, size
    return {
        "id": str(item.index),
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": item.extras[PROBABILITY],
        "value": {
            "x": 100 * x1 / width,
            "y": 100 * y1 / height,
            "width": 100 * (x2 - x1) / width,
            "height": 100 * (y2 - y1) / height,
            "rotation": 0,
            "rectanglelabels": [item.name],
        },
    }


_FILES: dict[str, Callable[[Path, Sequence[ImageObjects], Sequence[str]], None]] = {
    "cvat": _write_cvat,
    "labelstudio": _write_label_studio,
}
