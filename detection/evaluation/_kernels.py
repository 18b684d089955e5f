"""Compiled kernels of evaluation."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def weighted_ap(images, hits, objects, weights, points):
    """AP of one class with every image counted `weights` times: (B,) float64, NaN where no object is left.

    images: (N,) int64, image of each ranked detection that counts. hits: (N,) bool, true positives. objects: (G,)
    int64, image of each object that counts. weights: (B, I) int32. points: (P,) float64 rising recalls at which the
    best precision to the right is read; with none, the area under the monotonic curve.
    Copies of an image lie side by side in the ranking: between them precision only rises at a true positive and only
    falls at a false one, so that the last of them alone can be a best one.
    """
    result = np.empty(weights.shape[0])
    precision = np.empty(hits.sum())
    found = np.empty(hits.sum())
    for b in range(weights.shape[0]):
        weight = weights[b]
        count = 0
        for g in range(objects.shape[0]):
            count += weight[objects[g]]
        if count == 0:
            result[b] = np.nan
            continue
        rank = 0
        positives = 0
        kept = 0
        for i in range(images.shape[0]):
            times = weight[images[i]]
            rank += times
            if hits[i] and times > 0:
                positives += times
                precision[kept] = positives / rank
                found[kept] = positives
                kept += 1
        best = 0.0
        total = 0.0
        if points.shape[0] == 0:
            for k in range(kept - 1, -1, -1):
                best = max(best, precision[k])
                before = found[k - 1] if k > 0 else 0.0
                total += (found[k] - before) / count * best
            result[b] = min(total, 1.0)
        else:
            k = kept - 1
            for p in range(points.shape[0] - 1, -1, -1):
                while k >= 0 and found[k] / count >= points[p]:
                    best = max(best, precision[k])
                    k -= 1
                total += best
            result[b] = total / points.shape[0]
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def coco_outcomes(boxes, detection_starts, objects, crowd, ignored, object_starts, thresholds):
    """What COCOeval.evaluateImg makes of the detections of one class: (T, N) int8, 1 found, 2 on an ignored object.

    boxes: (N, 4) float64 x, y, width, height, image after image, by descending score in each; detection_starts:
    (I + 1,) int64. objects: (G, 4) alike, those that count first in each image; crowd, ignored: (G,) bool;
    object_starts: (I + 1,) int64. thresholds: (T,) float64.
    """
    result = np.zeros((thresholds.shape[0], boxes.shape[0]), np.int8)
    taken = np.zeros(objects.shape[0], np.bool_)
    for i in range(detection_starts.shape[0] - 1):
        first, last = object_starts[i], object_starts[i + 1]
        for t in range(thresholds.shape[0]):
            taken[first:last] = False
            for d in range(detection_starts[i], detection_starts[i + 1]):
                best, match = min(thresholds[t], 1 - 1e-10), -1
                for g in range(first, last):
                    if taken[g] and not crowd[g]:
                        continue
                    if match > -1 and not ignored[match] and ignored[g]:
                        break
                    overlap = _coco_iou(boxes[d], objects[g], crowd[g])
                    if overlap >= best:
                        best, match = overlap, g
                if match > -1:
                    taken[match] = True
                    result[t, d] = 2 if ignored[match] else 1
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _coco_iou(box, other, crowd):
    """COCO's maskApi.c, bbIou: of a crowd, the part of the box's own area."""
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared, own = width * height, box[2] * box[3]
    return shared / (own if crowd else own + other[2] * other[3] - shared)
