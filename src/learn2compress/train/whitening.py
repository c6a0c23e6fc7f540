"""A first layer to start from: filters that decorrelate the pixels of a patch.

Pixels of one patch say nearly the same. A stem that starts as their principal components, each divided by its
standard deviation, spares the first epochs of learning that (cifar10-airbench, Jordan, 2024; Coates and Ng, 2011).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Images
from learn2compress.train.trainable import scaled

PATCHES_PER_IMAGE = 64
# Added to each variance: components that hold only noise must not be blown up.
SMALLEST_VARIANCE = 5e-4


def whitening_filters(images: Images, size: int) -> NDArray[np.float32]:
    """Principal components of patches, largest first.

    Args:
        images: uint8 (n, height, width, 3).
        size: side of a patch.

    Returns:
        (size, size, 3, size * size * 3); each filter's response to `(pixels - 128) / 128` has about unit variance.
    """
    rng = np.random.default_rng(0)
    height, width = images.shape[1:3]
    rows = rng.integers(0, height - size + 1, (len(images), PATCHES_PER_IMAGE))
    columns = rng.integers(0, width - size + 1, (len(images), PATCHES_PER_IMAGE))
    grid_y = rows[..., None, None] + np.arange(size)[:, None]
    grid_x = columns[..., None, None] + np.arange(size)
    patches = images[np.arange(len(images))[:, None, None, None], grid_y, grid_x]
    flat = np.asarray(scaled(patches.reshape(-1, size * size * 3)), np.float64)
    variances, components = np.linalg.eigh(flat.T @ flat / len(flat))
    filters = components[:, ::-1] / np.sqrt(variances[::-1] + SMALLEST_VARIANCE)
    return filters.reshape(size, size, 3, -1).astype(np.float32)


def whiten_stems(members: Sequence[keras.Model], images: Images) -> None:
    """Sets the first convolution (k, k, 3, out) of each member: each filter with both signs, largest variance first.

    Outputs beyond twice the number of components keep their random weights.
    """
    for member in members:
        stem = next(layer for layer in member.layers if isinstance(layer, keras.layers.Conv2D))
        kernel, *rest = stem.get_weights()
        filters = whitening_filters(images, kernel.shape[0])
        count = min(kernel.shape[-1] // 2, filters.shape[-1])
        kernel[..., 0 : 2 * count : 2] = filters[..., :count]
        kernel[..., 1 : 2 * count : 2] = -filters[..., :count]
        stem.set_weights([kernel, *rest])
