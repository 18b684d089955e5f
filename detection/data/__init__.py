"""The readers and writers of the project: the only room that reads or writes other people's formats, or knows anything
1-based.

Names are loaded when first used: who reads a photo loads no reader of data sets.
"""

from detection._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "box_files": ("read_boxes",),
        "dataset": (
            "Dataset",
            "classes_without_objects",
            "collect_classes",
            "dataset_classes",
            "load_annotations",
            "load_labelled",
            "load_training",
            "read_class_names",
            "read_dataset",
            "result_numbers",
            "shared_ids",
            "split_ids",
        ),
        "census": ("Tally",),
        "detections": ("comp4_path", "read_coco_results", "read_comp4", "write_coco_results", "write_comp4"),
        "digits": ("DIGIT_CLASSES", "write_digits"),
        "downloads": ("VOC2007_ADDRESS", "DownloadError", "DownloadSettings", "download_archives"),
        "formats": ("LabelFormat", "register_format"),
        "formats.voc": ("VOC_CLASSES",),
        "images": ("IMAGE_EXTENSIONS", "image_size", "image_sizes", "list_images", "read_image", "write_image"),
        "problems": ("DataError", "Problem", "Problems"),
        "settings": ("DatasetSettings", "DatasetSource"),
        "video": (
            "VIDEO_EXTENSIONS",
            "is_video",
            "missing_frames",
            "read_video",
            "video_rate",
            "write_video",
            "written_rate",
        ),
    },
    renamed={
        name: f"detection.proposals.foreign.{now}"
        for name, now in {
            "WindowFile": "ProposalFile",
            "WindowFormat": "ProposalFormat",
            "find_faults": "find_faults",
            "match_windows": "match_proposals",
            "mend_windows": "repair_proposals",
            "read_windows": "read_proposals",
            "write_windows": "write_proposals",
        }.items()
    },
)
