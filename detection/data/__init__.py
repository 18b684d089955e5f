"""The readers and writers of the project: the only room that reads or writes other people's formats, or knows anything
1-based.

Names are loaded when first used: who reads a photo loads no reader of data sets.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "dataset": (
        "Dataset",
        "DatasetSettings",
        "DatasetSource",
        "classes_without_objects",
        "collect_classes",
        "dataset_classes",
        "load_annotations",
        "load_labelled",
        "read_class_names",
        "read_dataset",
        "split_ids",
    ),
    "detections": ("comp4_path", "read_boxes", "read_coco_results", "read_comp4", "write_coco_results", "write_comp4"),
    "digits": ("DIGIT_CLASSES", "write_digits"),
    "downloads": ("VOC2007_ADDRESS", "DownloadError", "DownloadSettings", "download_archives"),
    "images": ("IMAGE_EXTENSIONS", "image_size", "image_sizes", "list_images", "read_image", "write_image"),
    "problems": ("DataError", "Problem", "Problems"),
    "video": ("VIDEO_EXTENSIONS", "is_video", "read_video", "video_rate", "write_video"),
    "formats.voc": ("VOC_CLASSES",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "DIGIT_CLASSES",
    "IMAGE_EXTENSIONS",
    "VIDEO_EXTENSIONS",
    "VOC2007_ADDRESS",
    "VOC_CLASSES",
    "DataError",
    "Dataset",
    "DatasetSettings",
    "DatasetSource",
    "DownloadError",
    "DownloadSettings",
    "Problem",
    "Problems",
    "classes_without_objects",
    "collect_classes",
    "comp4_path",
    "dataset_classes",
    "download_archives",
    "image_size",
    "image_sizes",
    "is_video",
    "list_images",
    "load_annotations",
    "load_labelled",
    "read_boxes",
    "read_class_names",
    "read_coco_results",
    "read_comp4",
    "read_dataset",
    "read_image",
    "read_video",
    "split_ids",
    "video_rate",
    "write_coco_results",
    "write_comp4",
    "write_digits",
    "write_image",
    "write_video",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
