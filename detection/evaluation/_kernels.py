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
