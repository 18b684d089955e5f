"""Settings of a data set: where its splits lie, in which format, and what its classes are called."""

from dataclasses import dataclass, field, fields

from detection.data.formats import FoundSet, label_format
from detection.data.images import MAX_PIXELS
from detection.data.labels import class_name

ClassMap = dict[str, str | None]


def clean_class_map(class_map: ClassMap, where: str) -> ClassMap:
    """A mapping of class names with names as they are known everywhere; see `labels.class_name`.

    where: the setting, for a message. Raises DataError for a name that cannot be one, ValueError for one name twice.
    """
    names = {one: class_name(one, where) for one in class_map}
    if len(set(names.values())) < len(names):
        raise ValueError(f"{where}: expected each name once but for blanks, got {', '.join(map(repr, names))}")
    values = {one: None if name is None else class_name(name, where) for one, name in class_map.items()}
    return {names[one]: values[one] for one in class_map}


def _check_format(name: str | None) -> None:
    if name not in (None, "auto"):
        label_format(name)


@dataclass(frozen=True)
class DatasetSource:
    """One split of a data set.

    Args:
        year: Subfolder of the root that holds the set, such as a year folder of a VOC devkit. Empty: the root itself,
            or the year folder it holds, VOC2007 of several.
        split: Name of the split: a list in ImageSets/Main (VOC), train, val or test of a data.yaml (YOLO), a file's
            name without "instances_" and year (COCO), a subfolder. "trainval" and "test" are found under other usual
            names too, and in a set without splits; "all" is the whole of such a set.
        root: Folder or file of the set; that of the data set if null.
        format: voc, folder (images with XML beside them), coco or yolo, or one that was registered; auto: found by
            looking. The data set's if null.
        name: Put before every image id of this source as "name/", so that sets whose ids are alike can be joined.
        images: Folder of the images of a COCO json; null: looked for near the file.
        class_map: As the data set's, for this source alone; it comes first.
    """

    year: str = ""
    split: str = "trainval"
    root: str | None = None
    format: str | None = None
    name: str = ""
    images: str | None = None
    class_map: ClassMap = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_format(self.format)
        object.__setattr__(self, "class_map", clean_class_map(self.class_map, "dataset source: class_map"))
        if not self.split.strip():
            raise ValueError(f"dataset source: split: expected a name, got {self.split!r}")
        for key in ("year", "name"):
            if getattr(self, key) != getattr(self, key).strip():
                raise ValueError(f"dataset source: {key}: expected a name or nothing, got {getattr(self, key)!r}")

    def __str__(self) -> str:
        return f"{self.root or ''}/{self.year} {self.split}" if self.year else f"{self.root or ''} {self.split}"


@dataclass(frozen=True)
class ResolvedSource(DatasetSource):
    """A source with what it has from its data set. held_out, seed: how a set without splits is divided.

    max_pixels: of an image. found: the set at its root, where somebody has opened it already.
    """

    held_out: float = 0.2
    seed: int = 0
    max_pixels: int = MAX_PIXELS
    found: FoundSet | None = field(default=None, compare=False, repr=False)


def resolved(
    source: DatasetSource, root: str | None = None, format: str = "auto", class_map: ClassMap | None = None, **division
) -> ResolvedSource:
    """A source with these for what it does not say; a resolved one as it is. division: what `ResolvedSource` adds."""
    if isinstance(source, ResolvedSource):
        return source
    given = {one.name: getattr(source, one.name) for one in fields(DatasetSource)}
    given |= {"root": source.root or root, "format": source.format or format}
    given["class_map"] = {**(class_map or {}), **source.class_map}
    return ResolvedSource(**given, **division)


@dataclass(frozen=True)
class DatasetSettings:
    """Where the photos, their boxes and the class list come from.

    Args:
        root: Your data set. The folder of a VOC devkit, a folder of images with XML beside them, a COCO json or the
            folder around it, a data.yaml or a YOLO folder.
        format: voc, folder, coco or yolo, or one that was registered; auto: found by looking, and printed.
        train: Splits to train on, joined in this order; VOC 07+12 is a list of two.
        test: Splits to detect and evaluate on, joined in this order.
        classes: "collect" (the names in the training annotations, sorted), "voc" (the 20 of Pascal VOC), or the
            path of a text file with one class a line.
        class_map: Class name in the files -> name in the run, e.g. {couch: sofa}; null leaves its objects out.
        held_out: Of a set without splits, the share of images that is kept from training, as the split "test".
        seed: Seed of that division, which is stratified by class.
        max_pixels: Pixels of the largest image that is used; larger ones are left out. A pixel takes 10 bytes when the
            image is read, and twice as much in detection.
    """

    root: str = "data/VOCdevkit"
    format: str = "auto"
    train: tuple[DatasetSource, ...] = (DatasetSource(split="trainval"),)
    test: tuple[DatasetSource, ...] = (DatasetSource(split="test"),)
    classes: str = "collect"
    class_map: ClassMap = field(default_factory=dict)
    held_out: float = ResolvedSource.held_out
    seed: int = ResolvedSource.seed
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        _check_format(self.format)
        object.__setattr__(self, "class_map", clean_class_map(self.class_map, "dataset.class_map"))
        if not self.train:
            raise ValueError("dataset.train: expected at least one split, got none")
        if not self.classes.strip():
            raise ValueError('dataset.classes: expected "collect", "voc" or the path of a file, got nothing')
        if not 0 < self.held_out < 1:
            raise ValueError(f"dataset.held_out: expected a share between 0 and 1, got {self.held_out}")
        if self.max_pixels < 1:
            raise ValueError(f"dataset.max_pixels: expected a number of at least 1, got {self.max_pixels}")

    @property
    def train_sources(self) -> tuple[ResolvedSource, ...]:
        """The training splits, each with its root, format and classes."""
        return self._resolved(self.train)

    @property
    def test_sources(self) -> tuple[ResolvedSource, ...]:
        """The test splits, each with its root, format and classes."""
        return self._resolved(self.test)

    def _resolved(self, sources: tuple[DatasetSource, ...]) -> tuple[ResolvedSource, ...]:
        rest = {"held_out": self.held_out, "seed": self.seed, "max_pixels": self.max_pixels}
        return tuple(resolved(one, self.root, self.format, self.class_map, **rest) for one in sources)
