"""What was published of Pascal VOC 2007 test, class by class, to be laid beside a run's own figures."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from detection.command_line import text_table
from detection.data import VOC_CLASSES


@dataclass(frozen=True)
class Published:
    """A row of a paper's table: fine-tuned fc7 with box regression, trained on VOC 2007 trainval.

    method, backbone: whose it is. source: paper and table. mean: mAP as printed there. per_class: AP in the order of
    ``VOC_CLASSES``. All in percent, 11-point AP of VOC 2007.
    """

    method: str
    backbone: str
    source: str
    mean: float
    per_class: tuple[float, ...]


def _row(method: str, backbone: str, source: str, mean: float, per_class: str) -> Published:
    return Published(method, backbone, source, mean, tuple(map(float, per_class.split())))


PUBLISHED = (
    _row(
        "SPP-net", "zf5", "SPP-net paper (arXiv 1406.4729v4), Table 11, 5 scales", 59.2,
        "68.6 69.7 57.1 41.2 40.5 66.3 71.3 72.5 34.4 67.3 61.7 63.1 71.0 69.8 57.6 29.7 59.0 50.2 65.2 68.0",
    ),
    _row(
        "R-CNN", "zf5", "SPP-net paper, Table 11", 59.2,
        "68.4 74.0 54.0 40.9 35.2 64.1 74.4 69.8 35.5 66.9 53.8 64.2 69.9 69.6 58.9 36.8 63.4 56.0 62.8 64.9",
    ),
    _row(
        "R-CNN", "alexnet", "R-CNN report (arXiv 1311.2524v5), Table 2", 58.5,
        "68.1 72.8 56.8 43.0 36.8 66.3 74.2 67.6 34.4 63.5 54.5 61.2 69.1 68.6 58.7 33.4 62.9 51.1 62.5 64.8",
    ),
    _row(
        "SPP-net", "vgg16", "Fast R-CNN (arXiv 1504.08083v2), Table 1, 5 scales, without difficult objects", 63.1,
        "73.9 72.3 62.5 51.5 44.4 74.4 73.0 74.4 42.3 73.6 57.7 70.3 74.6 74.3 54.2 34.0 56.4 56.4 67.9 73.5",
    ),
    _row(
        "R-CNN", "vgg16", "R-CNN report, Table 3", 66.0,
        "73.4 77.0 63.4 45.4 44.6 75.1 78.1 79.8 40.5 73.7 62.2 79.4 78.1 73.1 64.2 35.6 66.8 67.2 70.4 71.1",
    ),
)  # fmt: skip
# Means alone: what a change of layer, scales or network is worth.
MEANS = (
    "SPP-net paper, Table 9, ZF-5, 5 scales (1 scale): pool5 44.9 (43.0), fc6 44.8 (42.5), fine-tuned fc6 53.7 (52.3), "
    "fine-tuned fc7 55.2 (54.5), with box regression 59.2 (58.0)",
    "SPP-net paper, Table 12: a second network 59.1, both together 60.9",
    "R-CNN report, Table 2, AlexNet: fine-tuned fc7 54.2, with box regression 58.5",
)


def comparison(found: Mapping[str, float | None], mean: float | None, backbone: str) -> tuple[Table, list[str]]:
    """(a table of classes, notes on its columns): `found` beside what was published, of the same network first.

    found: class -> AP in [0, 1], None where it has none. mean: mAP. backbone: the network that they are of.
    """
    rows = sorted(PUBLISHED, key=lambda one: one.backbone != backbone)
    lines = [
        [name, _percent(found.get(name)), *(f"{one.per_class[place]:.1f}" for one in rows)]
        for place, name in enumerate(VOC_CLASSES)
    ]
    lines.append(["mAP", _percent(mean), *(f"{one.mean:.1f}" for one in rows)])
    numbers = [f"[{number}]" for number in range(1, len(rows) + 1)]
    title = "AP in percent on VOC 2007 test"
    table = text_table(title, ["class", "this run", *numbers], lines)
    notes = [f"[{number}] {one.method} with {one.backbone}: {one.source}" for number, one in enumerate(rows, start=1)]
    return table, [*notes, *MEANS]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
