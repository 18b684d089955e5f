"""The doors of the project: the only room that reads or writes other people's formats, or knows anything 1-based."""

from detection.data.dataset import (
    Dataset,
    DatasetSettings,
    DatasetSource,
    classes_without_objects,
    collect_classes,
    dataset_classes,
    load_annotations,
    load_labelled,
    read_class_names,
    read_dataset,
    split_ids,
)
from detection.data.detections import (
    comp4_path,
    read_boxes,
    read_coco_results,
    read_comp4,
    write_coco_results,
    write_comp4,
)
from detection.data.digits import DIGIT_CLASSES, write_digits
from detection.data.downloads import VOC2007_ADDRESS, DownloadError, DownloadSettings, download_archives
from detection.data.images import IMAGE_EXTENSIONS, image_size, image_sizes, list_images, read_image, write_image
from detection.data.problems import DataError, Problem, Problems
from detection.data.video import VIDEO_EXTENSIONS, is_video, read_video, video_rate, write_video
from detection.data.voc import VOC_CLASSES
from detection.data.window_faults import FAULTS, REMEDIES, find_faults, mend_windows
from detection.data.window_formats import WindowFormat, WrittenFormat, read_windows, write_windows
from detection.data.windows import BoxConvention, WindowFile, check_convention, match_windows

__all__ = [
    "DIGIT_CLASSES",
    "FAULTS",
    "IMAGE_EXTENSIONS",
    "REMEDIES",
    "VIDEO_EXTENSIONS",
    "VOC2007_ADDRESS",
    "VOC_CLASSES",
    "BoxConvention",
    "DataError",
    "Dataset",
    "DatasetSettings",
    "DatasetSource",
    "DownloadError",
    "DownloadSettings",
    "Problem",
    "Problems",
    "WindowFile",
    "WindowFormat",
    "WrittenFormat",
    "check_convention",
    "classes_without_objects",
    "collect_classes",
    "comp4_path",
    "dataset_classes",
    "download_archives",
    "find_faults",
    "image_size",
    "image_sizes",
    "is_video",
    "list_images",
    "load_annotations",
    "load_labelled",
    "match_windows",
    "mend_windows",
    "read_boxes",
    "read_class_names",
    "read_coco_results",
    "read_comp4",
    "read_dataset",
    "read_image",
    "read_video",
    "read_windows",
    "split_ids",
    "video_rate",
    "write_coco_results",
    "write_comp4",
    "write_digits",
    "write_image",
    "write_video",
    "write_windows",
]
