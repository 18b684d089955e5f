"""What comes from Roboflow, FiftyOne, Datumaro and published sets."""

from pathlib import Path

from export_parts import NAMES, Photo, coco, copy, joined, layout, number_from_zero, put, voc, yolo
from exports_labelling import COMMON, cvat_yolo

ROBOFLOW_README = (
    "\ndigits - v1\n==============================\n\nThis dataset was exported via roboflow.com\n0 images\n"
)


def roboflow_name(photo: Photo) -> str:
    return f"{photo.stem}_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9"


def put_roboflow_notes(root: Path) -> None:
    put(root / "README.roboflow.txt", ROBOFLOW_README)
    put(root / "README.dataset.txt", "# digits > 2024\nhttps://universe.roboflow.com/me/digits\n")


@layout("Roboflow, Pascal VOC", "folder")
def roboflow_voc(root, sets):
    for split, photos in sets.items():
        for photo in photos:
            name = copy(photo, root / split, f"{roboflow_name(photo)}.jpg")
            put(root / split / f"{roboflow_name(photo)}.xml", voc(photo, name, "\t<folder></folder>\n", COMMON))
    put_roboflow_notes(root)
    return sets


@layout("Roboflow, COCO", "coco")
def roboflow_coco(root, sets):
    for split, photos in sets.items():
        named = [(photo, copy(photo, root / split, f"{roboflow_name(photo)}.jpg")) for photo in photos]
        whole = [{"id": 0, "name": "digits", "supercategory": "none"}]
        text = coco(named, number_from_zero, image_id=lambda number: number, first=0, extra=whole)
        put(root / split / "_annotations.coco.json", text)
    put_roboflow_notes(root)
    return sets


@layout("Roboflow, YOLOv8", "yolo")
def roboflow_yolo(root, sets):
    for split, photos in sets.items():
        for photo in photos:
            copy(photo, root / split / "images", f"{roboflow_name(photo)}.jpg")
            put(root / split / "labels" / f"{roboflow_name(photo)}.txt", yolo(photo).rstrip("\n"))
    names = ", ".join(f"'{one}'" for one in NAMES)
    put(
        root / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 10\n"
        f"names: [{names}]\n\nroboflow:\n  workspace: me\n  version: 1\n  license: CC BY 4.0\n",
    )
    put_roboflow_notes(root)
    return {"train": sets["train"], "val": sets["valid"], "test": sets["test"]}


@layout("Roboflow's download by its Python package, YOLOv5", "yolo")
def roboflow_package(root, sets):
    found = roboflow_yolo(root, sets)
    text = (root / "data.yaml").read_text().replace("../train", "digits-1/train").replace("../valid", "digits-1/valid")
    put(root / "data.yaml", text)
    return found


@layout("FiftyOne, VOCDetectionDataset", "folder")
def fiftyone_voc(root, sets):
    for photo in joined(sets):
        copy(photo, root / "data")
        head = "\t<folder></folder>\n\t<path>/home/me/a.jpg</path>\n\t<source><database></database></source>\n"
        put(root / "labels" / f"{photo.stem}.xml", voc(photo, photo.name, head))
    return {"all": joined(sets)}


@layout("FiftyOne, COCODetectionDataset", "coco")
def fiftyone_coco(root, sets):
    named = [(photo, copy(photo, root / "data")) for photo in joined(sets)]
    put(root / "labels.json", coco(named, category=lambda place: place, info={}, licenses=[]))
    return {"labels": joined(sets)}


@layout("FiftyOne, YOLOv5Dataset", "yolo")
def fiftyone_yolo(root, sets):
    for key, photos in (("train", sets["train"]), ("val", sets["valid"])):
        for photo in photos:
            copy(photo, root / "images" / key)
            put(root / "labels" / key / f"{photo.stem}.txt", yolo(photo))
    listed = "".join(f"  {place}: {one}\n" for place, one in enumerate(NAMES))
    text = f"names:\n{listed}path: /home/me/exports/digits\ntrain: ./images/train/\nval: ./images/val/\n"
    put(root / "dataset.yaml", text)
    return {"train": sets["train"], "val": sets["valid"]}


@layout("Datumaro, voc", "voc")
def datumaro_voc(root, sets):
    for key, photos in (("train", sets["train"]), ("val", sets["valid"])):
        for photo in photos:
            copy(photo, root / "JPEGImages")
            put(root / "Annotations" / f"{photo.stem}.xml", voc(photo, photo.name, places=".1f"))
        put(root / "ImageSets" / "Main" / f"{key}.txt", "".join(f"{one.stem}\n" for one in photos))
        for name in NAMES:
            marks = "".join(f"{one.stem}  {1 if name in dict(one.objects) else -1}\n" for one in photos)
            put(root / "ImageSets" / "Main" / f"{name}_{key}.txt", marks)
    put(root / "labelmap.txt", "# label:color_rgb:parts:actions\n")
    return {"train": sets["train"], "val": sets["valid"]}


@layout("Datumaro, coco", "coco")
def datumaro_coco(root, sets):
    for key, photos in (("train", sets["train"]), ("val", sets["valid"])):
        named = [(photo, copy(photo, root / "images" / key)) for photo in photos]
        put(root / "annotations" / f"instances_{key}.json", coco(named, licenses=[], info={}))
    return {"train": sets["train"], "val": sets["valid"]}


@layout("Datumaro, yolo", "yolo")
def datumaro_yolo(root, sets):
    return cvat_yolo(root, sets)


@layout("LVIS", "coco", "image found by its last part")
def lvis(root, sets):
    for split, folder in (("train", "train2017"), ("val", "val2017")):
        photos = sets["valid" if split == "val" else split]
        named = [(photo, copy(photo, root / folder)) for photo in photos]

        def image(number, name, folder=folder):
            return {"id": number + 1, "coco_url": f"http://images.cocodataset.org/{folder}/{name}"}

        put(root / f"lvis_v1_{split}.json", coco(named, image))
    return {"train": sets["train"], "val": sets["valid"]}


@layout("Oxford-IIIT Pet", "folder")
def oxford_pet(root, sets):
    for photo in joined(sets):
        copy(photo, root / "images")
        put(root / "annotations" / "xmls" / f"{photo.stem}.xml", voc(photo, photo.name))
        copy(photo, root / "annotations" / "trimaps", f"{photo.stem}.png")
    put(root / "annotations" / "list.txt", "#Image CLASS-ID SPECIES BREED ID\n")
    return {"all": joined(sets)}


@layout("labelme2voc.py", "folder")
def labelme2voc(root, sets):
    for photo in joined(sets):
        copy(photo, root / "JPEGImages")
        copy(photo, root / "AnnotationsVisualization")
        put(root / "Annotations" / f"{photo.stem}.xml", voc(photo, photo.name))
    put(root / "class_names.txt", "\n".join(NAMES))
    return {"all": joined(sets)}


@layout("darknet", "yolo")
def darknet(root, sets):
    for photo in joined(sets):
        copy(photo, root / "obj")
        put(root / "obj" / f"{photo.stem}.txt", yolo(photo))
    for key, photos in (("train", sets["train"]), ("test", sets["valid"])):
        put(root / f"{key}.txt", "".join(f"data/obj/{one.name}\n" for one in photos))
    put(root / "obj.names", "\n".join(NAMES) + "\n")
    put(root / "obj.data", "classes= 10\ntrain  = data/train.txt\nvalid  = data/test.txt\nnames = data/obj.names\n")
    return {"train": sets["train"], "valid": sets["valid"]}


@layout("any, in capital letters and with photos of many kinds", "yolo")
def capitals(root, sets):
    for photo in joined(sets):
        copy(photo, root / "Train" / "IMAGES", f"{photo.stem}.JFIF")
        put(root / "Train" / "Labels" / f"{photo.stem}.TXT", yolo(photo))
    put(root / "data.yaml", f"train: train/images\nnames: [{', '.join(NAMES)}]\n")
    return {"train": joined(sets)}
