"""Settings of proposal generation: presets of the selective-search paper, and every parameter by itself."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

ColourSpace = Literal["HSV", "Lab", "rgI", "H", "I", "RGB"]
SimilaritySet = Literal["CTSF", "TSF", "F", "S", "C", "T", "CT", "CS", "CF", "TS", "TF", "SF", "CTS", "CTF", "CSF"]
Method = Literal["selective_search", "edge_boxes", "imported"]
Preset = Literal["single", "fast", "diverse", "quality", "texture"]

COLOUR_SPACES: tuple[str, ...] = get_args(ColourSpace)
SIMILARITY_SETS: tuple[str, ...] = get_args(SimilaritySet)
METHODS: tuple[str, ...] = get_args(Method)

# Values: colour spaces, thresholds k, similarity sets. single, fast, quality: Uijlings et al., IJCV 2013, table 5.
# texture: inferred for the proposal files of Fast R-CNN's demo. They hold 94 to 100 % of the initial regions that RGB
# and HSV give at these thresholds and 92 to 100 % of rgI's; of the similarity sets these two agree best. diverse: of a
# hundred sets of runs scored by recall on COCO photos, the one that also did well on other COCO photos, photos of
# animals and VOC photos (docs/proposals.md, What was tried: its figures on those VOC photos took part in the choice).
PRESETS: dict[str, tuple[tuple[ColourSpace, ...], tuple[int, ...], tuple[SimilaritySet, ...]]] = {
    "single": (("HSV",), (100,), ("CTSF",)),
    "fast": (("HSV", "Lab"), (50, 100), ("CTSF", "TSF")),
    "diverse": (("RGB", "HSV", "rgI"), (50, 100, 200), ("CTSF", "TSF")),
    "texture": (("RGB", "HSV", "rgI"), (100, 200), ("T", "TS")),
    "quality": (("HSV", "Lab", "rgI", "H", "I"), (50, 100, 150, 300), ("CTSF", "TSF", "F", "S")),
}
# Largest IoU that a proposal may have with a better one; 1 where a preset is not listed.
PRESET_OVERLAPS: dict[str, float] = {"diverse": 0.9}

# Settings that edge_boxes shares with selective search, and those that selective search has no use for.
_SHARED = ("min_side", "max_windows", "resize_width", "max_pixels")
# Came later than the first proposals on disk: no part of their identity where it is not set, so that they stay valid.
_LATER = ("max_overlap",)
_OF_OTHER_METHODS = ("edge_boxes_model", "imported")


def _refuse(key: str, expected: str, got: object) -> None:
    raise ValueError(f"proposals.{key}: expected {expected}, got {got!r}")


def _check_choices(key: str, values: tuple[str, ...] | None, known: tuple[str, ...]) -> None:
    if values is not None and (len(values) == 0 or any(value not in known for value in values)):
        _refuse(key, f"one or more of {', '.join(known)}", values)


@dataclass(frozen=True)
class ProposalSettings:
    """How candidate proposals are made (selective search: Uijlings et al., IJCV 2013).

    Args:
        method: What makes the proposals: selective_search (the method of R-CNN and SPP-net), edge_boxes (ECCV 2014;
            needs opencv-contrib-python-headless and edge_boxes_model), or imported (those that sppnet proposals
            import has put into the run, as they are). The keys from preset to seed are of selective search, min_side,
            max_overlap, max_windows, resize_width and max_pixels also of edge_boxes.
        preset: Set of runs (colour spaces x k x similarity sets), IJCV 2013 table 5: single 1 run, fast 8 runs
            (R-CNN and SPP-net), quality 80 runs; texture: 12 runs inferred for the proposal files of Fast R-CNN's demo;
            diverse: 18 runs of which near duplicates go, for the largest recall with 2000 proposals. The next three
            keys and max_overlap replace parts of it.
        colour_spaces: Colour spaces of segmentation and grouping, of HSV, Lab, rgI (normalised red and green,
            intensity), H (hue alone), I (intensity alone), RGB. None: the preset's.
        ks: Thresholds k of the initial segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), in grey levels of
            0 to 255 times px; larger makes larger regions. None: the preset's.
        similarities: Similarity sets that order the merging: C colour, T texture, S size, F fill, added with equal
            weight, the letters in that order. None: the preset's.
        sigma: Standard deviation in px of the Gaussian blur before segmentation (IJCV 2013 code: 0.8). 0: no blur.
        min_size: Regions of fewer px are merged into a neighbour after segmentation. None: equal to k, as the
            original code has it. Doubled where it leaves more than 1,000 regions of less than 16 px on average, or
            more than 40,000: grouping would take minutes. No preset on an image of up to max_pixels comes near.
        min_side: Proposals with either side under this many px of the original image are dropped (R-CNN and SPP_net,
            selective_search_boxes.m: 20). 0 keeps all.
        max_overlap: A proposal whose IoU with a better one is above this is dropped, before max_windows counts. 1: none
            is. None: the preset's (diverse 0.9, the others 1).
        max_windows: At most this many proposals are kept, first by priority (the papers use about 2000 an image). None:
            all.
        resize_width: The image is resized to this width in px before segmentation (rcnn_detect.m: 500). None: never.
        max_pixels: An image of more px (after resize_width) is shrunk to this area before segmentation: a bound on
            time and memory. None: no bound.
        seed: Seed of the random numbers that order the proposals (IJCV 2013 section 4: level times random number). The
            stream depends on it and on the image's content alone. 3 is the seed of R-CNN's code.
        edge_boxes_model: Structured-forest model file of edge_boxes (model.yml.gz of opencv_extra). None: none.
        imported: Fingerprint of the imported proposals: found in the run by itself, not to be set.
    """

    method: Method = "selective_search"
    preset: Preset = "fast"
    colour_spaces: tuple[ColourSpace, ...] | None = None
    ks: tuple[int, ...] | None = None
    similarities: tuple[SimilaritySet, ...] | None = None
    sigma: float = 0.8
    min_size: int | None = None
    min_side: int = 20
    max_overlap: float | None = None
    max_windows: int | None = 2000
    resize_width: int | None = None
    max_pixels: int | None = 2_000_000
    seed: int = 3
    edge_boxes_model: str | None = None
    imported: str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            _refuse("method", f"one of {', '.join(METHODS)}", self.method)
        if self.method == "edge_boxes" and not self.edge_boxes_model:
            _refuse("edge_boxes_model", "a model file, which the method edge_boxes needs", self.edge_boxes_model)
        if self.preset not in PRESETS:
            _refuse("preset", f"one of {', '.join(PRESETS)}", self.preset)
        for key in ("colour_spaces", "ks", "similarities"):
            if isinstance(getattr(self, key), list):
                object.__setattr__(self, key, tuple(getattr(self, key)))
        _check_choices("colour_spaces", self.colour_spaces, COLOUR_SPACES)
        _check_choices("similarities", self.similarities, SIMILARITY_SETS)
        if self.ks is not None and (len(self.ks) == 0 or any(not k > 0 for k in self.ks)):
            _refuse("ks", "one or more numbers > 0", self.ks)
        if not 0 <= self.sigma < float("inf"):
            _refuse("sigma", "a finite number of px >= 0", self.sigma)
        if self.max_overlap is not None and not 0 < self.max_overlap <= 1:
            _refuse("max_overlap", "an IoU above 0 and up to 1, or None", self.max_overlap)
        for key in ("min_size", "max_windows", "resize_width", "max_pixels"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                _refuse(key, "a number >= 1 or None", getattr(self, key))
        for key in ("min_side", "seed"):
            if getattr(self, key) < 0:
                _refuse(key, "a number >= 0", getattr(self, key))

    @property
    def resolved_colour_spaces(self) -> tuple[ColourSpace, ...]:
        """The colour spaces in force: the explicit ones, else the preset's."""
        return self.colour_spaces or PRESETS[self.preset][0]

    @property
    def resolved_ks(self) -> tuple[int, ...]:
        """The segmentation thresholds in force: the explicit ones, else the preset's."""
        return self.ks or PRESETS[self.preset][1]

    @property
    def resolved_similarities(self) -> tuple[SimilaritySet, ...]:
        """The similarity sets in force: the explicit ones, else the preset's."""
        return self.similarities or PRESETS[self.preset][2]

    @property
    def resolved_max_overlap(self) -> float:
        """The largest IoU in force of a proposal with a better one: the explicit one, else the preset's."""
        if self.max_overlap is not None:
            return self.max_overlap
        return PRESET_OVERLAPS.get(self.preset, 1.0) if self.method == "selective_search" else 1.0

    @property
    def source(self) -> str:
        """What ``Proposals.source`` says of these proposals: the method, and the preset or that it was changed."""
        if self.method != "selective_search":
            return self.method
        explicit = (self.colour_spaces, self.ks, self.similarities) != (None, None, None)
        return f"{self.method}/{'custom' if explicit else self.preset}"

    def identity(self) -> dict[str, Any]:
        """The keys that decide what proposals these settings give: those of the method in force, as plain data.

        Of edge_boxes, the model is named by its path here.
        """
        values = {key: value for key, value in asdict(self).items() if key not in _LATER or value is not None}
        if self.method == "imported":
            return {"method": self.method, "imported": self.imported}
        if self.method == "edge_boxes":
            return {key: values[key] for key in ("method", "edge_boxes_model", *_SHARED, *_LATER) if key in values}
        # "": how fingerprint() writes a dataclass; so proposals made before there were other methods stay valid.
        return {"": type(self).__name__} | {key: values[key] for key in values if key not in _OF_OTHER_METHODS}
