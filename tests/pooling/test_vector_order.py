"""A pooled vector lies as the released code's pooling writes it, so that its fc6 can be loaded."""

import numpy as np

from detection.pooling import spatial_pyramid_pool


def released_order(feature_map, levels):
    """SPP_net, utils/spm_pool/spm_pool_caffe_mex.cpp on a whole map: bins rows outermost into a cache of channels,
    then [bin fastest, channel] of each level, level after level."""
    channels, height, width = feature_map.shape
    vector = []
    for n in levels:
        cache = []
        for yy in range(n):
            for xx in range(n):
                rows = slice(yy * height // n, -(-(yy + 1) * height // n))
                columns = slice(xx * width // n, -(-(xx + 1) * width // n))
                cache.append(feature_map[:, rows, columns].max(axis=(1, 2)))
        pooled = np.empty(channels * n * n, np.float32)
        for bin_index, values in enumerate(cache):
            for channel in range(channels):
                pooled[channel * n * n + bin_index] = values[channel]
        vector.append(pooled)
    return np.concatenate(vector)


def test_order_of_the_released_fc6():
    feature_map = np.random.default_rng(0).random((8, 13, 17), dtype=np.float32)
    got = spatial_pyramid_pool(feature_map, np.array([[0, 0, 17, 13]]), (1, 2, 3, 6))
    assert got[0].tolist() == released_order(feature_map, (1, 2, 3, 6)).tolist()
