"""What labelling tools write: LabelImg, CVAT, Label Studio, VIA, VoTT, makesense."""

import json

from export_parts import NAMES, coco, copy, joined, layout, number_from_zero, put, voc, yolo

COMMON = "\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n"


@layout("LabelImg, PascalVOC", "folder")
def labelimg_voc(root, sets):
    head = "\t<folder>imgs</folder>\n\t<path>C:\\imgs\\a.jpg</path>\n\t<source><database>x</database></source>\n"
    for photo in joined(sets):
        copy(photo, root)
        put(root / f"{photo.stem}.xml", voc(photo, photo.name, head, COMMON))
    return {"all": joined(sets)}


@layout("LabelImg, YOLO", "yolo")
def labelimg_yolo(root, sets):
    for photo in joined(sets):
        copy(photo, root)
        put(root / f"{photo.stem}.txt", yolo(photo))
    put(root / "classes.txt", "\n".join(NAMES) + "\n")
    return {"all": joined(sets)}


@layout("CVAT, PASCAL VOC 1.1", "voc")
def cvat_voc(root, sets):
    head = "\t<folder></folder>\n\t<source><database>Unknown</database><annotation>Unknown</annotation></source>\n"
    more = "\t\t<truncated>0</truncated>\n\t\t<occluded>0</occluded>\n\t\t<difficult>0</difficult>\n"
    for photo in joined(sets):
        copy(photo, root / "JPEGImages")
        put(root / "Annotations" / f"{photo.stem}.xml", voc(photo, photo.name, head, more, ".2f"))
    put(root / "ImageSets" / "Main" / "default.txt", "".join(f"{one.stem}\n" for one in joined(sets)))
    put(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\neight:250,50,83::\n")
    return {"default": joined(sets)}


@layout("CVAT, YOLO 1.1", "yolo")
def cvat_yolo(root, sets):
    for key, photos in (("train", sets["train"]), ("valid", sets["valid"])):
        for photo in photos:
            copy(photo, root / f"obj_{key}_data")
            put(root / f"obj_{key}_data" / f"{photo.stem}.txt", yolo(photo))
        put(root / f"{key}.txt", "".join(f"data/obj_{key}_data/{one.name}\n" for one in photos))
    put(root / "obj.names", "\n".join(NAMES) + "\n")
    put(
        root / "obj.data",
        "classes = 10\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n",
    )
    return {"train": sets["train"], "valid": sets["valid"]}


@layout("CVAT, Ultralytics YOLO Detection 1.0", "yolo")
def cvat_ultralytics(root, sets):
    names = {"train": "train", "Validation": "valid"}
    for key, one in names.items():
        for photo in sets[one]:
            copy(photo, root / "images" / key)
            put(root / "labels" / key / f"{photo.stem}.txt", yolo(photo))
        put(root / f"{key}.txt", "".join(f"data/images/{key}/{photo.name}\n" for photo in sets[one]))
    lists = "".join(f"{key}: {key}.txt\n" for key in names)
    listed = "".join(f"  {place}: {one}\n" for place, one in enumerate(NAMES))
    put(root / "data.yaml", f"{lists}names:\n{listed}path: .\n")
    return {key: sets[one] for key, one in names.items()}


@layout("CVAT, COCO 1.0", "coco")
def cvat_coco(root, sets):
    named = [(photo, copy(photo, root / "images" / "default")) for photo in joined(sets)]

    def image(number, name):
        return {"id": number + 1, "file_name": name, "license": 0, "coco_url": "", "flickr_url": ""}

    put(root / "annotations" / "instances_default.json", coco(named, image, licenses=[], info={}))
    return {"default": joined(sets)}


@layout("Label Studio, Pascal VOC XML", "folder")
def label_studio_voc(root, sets):
    for photo in joined(sets):
        stem = f"ab12cd34-{photo.stem}"
        copy(photo, root / "images", f"{stem}.jpg")
        put(root / "Annotations" / f"{stem}.xml", voc(photo, stem, "\t<folder>images</folder>\n", COMMON))
    return {"all": joined(sets)}


@layout("Label Studio, YOLO with images", "yolo")
def label_studio_yolo(root, sets):
    for photo in joined(sets):
        copy(photo, root / "images", f"ab12cd34-{photo.name}")
        put(root / "labels" / f"ab12cd34-{photo.stem}.txt", yolo(photo))
    put(root / "classes.txt", "\n".join(NAMES))
    categories = [{"id": place, "name": one} for place, one in enumerate(NAMES)]
    put(root / "notes.json", json.dumps({"categories": categories, "info": {"year": 2024}}, indent=2))
    return {"all": joined(sets)}


@layout("Label Studio, COCO with images", "coco")
def label_studio_coco(root, sets):
    named = [(photo, f"images\\{copy(photo, root / 'images', f'ab12cd34-{photo.name}')}") for photo in joined(sets)]
    text = coco(named, number_from_zero, lambda place: place, lambda number: number, 0, info={"year": 2024})
    put(root / "result.json", text)
    return {"result": joined(sets)}


@layout("Label Studio, COCO of local files", "coco", "image found by its last part")
def label_studio_local(root, sets):
    addresses = ("..\\..\\label-studio\\media\\upload\\4\\", "/data/local-files/?d=my%20photos/", "s3://bucket/a/")
    named = [(photo, addresses[number % 3] + copy(photo, root / "images")) for number, photo in enumerate(joined(sets))]
    put(root / "result.json", coco(named))
    return {"result": joined(sets)}


@layout("VIA, COCO", "coco")
def via_coco(root, sets):
    named = [(photo, copy(photo, root)) for photo in joined(sets)]

    def image(number, name):
        return {"id": number, "file_name": name, "license": 1, "flickr_url": name, "coco_url": name}

    again = [{"supercategory": "digit", "id": place + 1, "name": one} for place, one in enumerate(NAMES)]
    text = coco(named, image, image_id=str, first=0, extra=again, licenses=[{"id": 1, "name": "?", "url": ""}])
    put(root / "via_export_coco.json", text)
    return {"via_export_coco": joined(sets)}


@layout("VoTT, Pascal VOC", "voc")
def vott_voc(root, sets):
    root = root / "digits-PascalVOC-export"
    head = "\t<folder>Annotation</folder>\n\t<path>digits-PascalVOC-export/Annotations/a.jpg</path>\n"
    more = "<pose>Unspecified</pose>\n<truncated>0</truncated>\n<difficult>0</difficult>\n"
    for photo in joined(sets):
        copy(photo, root / "JPEGImages")
        put(root / "Annotations" / f"{photo.stem}.xml", voc(photo, photo.name, head, more, ".12f"))
    for key, photos in (("train", [*sets["train"], *sets["test"]]), ("val", sets["valid"])):
        for name in NAMES:
            has = {photo.name: 1 if name in dict(photo.objects) else -1 for photo in photos}
            lines = "\n".join(f"{one} {mark}" for one, mark in has.items())
            put(root / "ImageSets" / "Main" / f"{name}_{key}.txt", lines)
    put(root / "pascal_label_map.pbtxt", "item {\n id: 1\n name: 'eight'\n}\n")
    return {"train": [*sets["train"], *sets["test"]], "val": sets["valid"]}


@layout("makesense, VOC XML", "folder")
def makesense_voc(root, sets):
    head = "\t<folder>my-project-name</folder>\n\t<path>/my-project-name/a.jpg</path>\n"
    for photo in joined(sets):
        copy(photo, root / "photos")
        put(root / "labels_my-project-name" / f"{photo.stem}.xml", voc(photo, photo.name, head, COMMON))
    return {"all": joined(sets)}


@layout("makesense, YOLO, with the labels.txt that it was given", "yolo")
def makesense_yolo(root, sets):
    for photo in joined(sets):
        copy(photo, root)
        put(root / f"{photo.stem}.txt", yolo(photo).rstrip("\n"))
    put(root / "labels.txt", "\n".join(NAMES))
    return {"all": joined(sets)}


@layout("makesense, COCO", "coco")
def makesense_coco(root, sets):
    named = [(photo, copy(photo, root / "photos")) for photo in joined(sets)]
    put(root / "labels_my-project-name_2024-05-01-10-00-00.json", coco(named, info={"description": "my-project-name"}))
    return {"labels_my-project-name_2024-05-01-10-00-00": joined(sets)}
