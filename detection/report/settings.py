"""How much a report shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportSettings:
    """How much the HTML report shows. Nothing here changes a figure.

    Args:
        pictures: most pictures of each kind (found, false, missed) a class.
        max_pictures: most pictures of all kinds and classes; every class gets its first ones before any gets more.
        picture_side: px of the longer side of a picture.
        max_megabytes: size of the HTML file, in 10^6 bytes, that pictures do not make it exceed (14 leaves
            some of the 15 that mail servers pass).
        curves: most classes whose precision-recall curve is drawn, those with the most objects; the others are
            in the CSV file.
        bins: intervals of the score axis in histogram and reliability.
        least_in_bin: detections that an interval needs for its share of right ones to be drawn.
    """

    pictures: int = 6
    max_pictures: int = 600
    picture_side: int = 260
    max_megabytes: float = 14.0
    curves: int = 200
    bins: int = 30
    least_in_bin: int = 10

    def __post_init__(self) -> None:
        least = {
            "pictures": 0, "max_pictures": 0, "picture_side": 64, "max_megabytes": 1, "curves": 0, "bins": 2,
            "least_in_bin": 1,
        }  # fmt: skip
        for key, bound in least.items():
            if not getattr(self, key) >= bound:
                raise ValueError(f"report {key}: expected a number >= {bound}, got {getattr(self, key)!r}")
