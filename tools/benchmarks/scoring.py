"""NMS of one photo's proposals for 20 classes against torchvision's batched_nms, one thread: time, equal keep lists.

`image` has scores, regression and suppression as parts of an image, `scaling` their growth with the classes.
"""

import numpy as np
import torch
from benchmarks.harness import Row, Tables, take_turns, timing_rows
from benchmarks.inputs import photo_with_proposals
from jsonargparse.typing import PositiveInt

from detection.engines import limit_threads
from detection.geometry import nms
from detection.learning import PostprocessSettings

THRESHOLD = PostprocessSettings().nms_iou
# The shares of scores, the best, that are suppressed: all, and what is above the released code's -1.5.
CLASSES, SHARES = 20, (1.0, 0.07)


def nms_rows(boxes: np.ndarray, share: float, repeats: int) -> list[Row]:
    """NMS of a share of random scores of every class, against torchvision given tensors."""
    from torchvision.ops import batched_nms

    scores = np.random.default_rng(0).standard_normal((CLASSES, len(boxes))).astype(np.float32)
    chosen = [np.flatnonzero(one >= np.quantile(one, 1 - share)) for one in scores]
    parts = [(boxes[rows], one[rows]) for rows, one in zip(chosen, scores, strict=True)]
    labels = torch.from_numpy(np.repeat(np.arange(CLASSES), list(map(len, chosen))))
    tensors = [torch.from_numpy(np.concatenate(one)) for one in zip(*parts, strict=True)]
    methods = {
        "batched_nms": lambda: batched_nms(*tensors, labels, THRESHOLD),
        "this package": lambda: [nms(*one, THRESHOLD) for one in parts],
    }
    timings = take_turns(methods, repeats, f"NMS, {share:.0%}")
    kept, starts = timings["batched_nms"].result, np.cumsum([0, *map(len, chosen)])
    theirs = [(kept[labels[kept] == label] - starts[label]).tolist() for label in range(CLASSES)]
    pairs = zip(timings["this package"].result, theirs, strict=True)
    rows = timing_rows(timings, "batched_nms", classes=CLASSES, scores=len(labels))
    rows[1]["equal_keep_lists"] = sum(own.tolist() == other for own, other in pairs)
    return rows


def benchmark(matlab: str | None = None, proposals: PositiveInt = 2000, repeats: PositiveInt = 5) -> Tables:
    """Measure NMS of one photo's proposals by one thread.

    Args:
        matlab: Folder with a photo NAME.jpg and the original code's proposals NAME_boxes.mat. None: own proposals of
            one of scikit-learn's photos.
        proposals: At most so many proposals.
        repeats: Rounds.
    """
    boxes = photo_with_proposals(matlab).boxes[:proposals]
    with limit_threads(1):
        yield f"NMS of {len(boxes)} proposals", [row for share in SHARES for row in nms_rows(boxes, share, repeats)]
