"""The look of an image: a thumbnail of 9 x 9 pixels, small enough to keep for each of a million images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from learn2compress.core.dataset import Images

SIDE = 9
_ENOUGH = 64  # pixels a side to average
_CHUNK_BYTES = 16 * 2**20


def look_of(image: Image.Image) -> Images:
    """The look of an RGB image: each of its 9 x 9 pixels is the mean of what it covers; shape (9, 9, 3)."""
    # Whole pixels are averaged first where there are many: as good, and big images stay out of floating point.
    factor = min(image.size) // _ENOUGH
    return looks_of(np.asarray(image.reduce(factor) if factor > 1 else image)[None])[0]


def looks_of(images: Images | Sequence[Images]) -> Images:
    """The looks of images in memory, shape (examples, 9, 9, 3).

    Args:
        images: one array (examples, height, width, 3), or several of (height, width, 3); uint8 RGB.
    """
    if not isinstance(images, np.ndarray):
        looks = [look_of(Image.fromarray(image)) for image in images]
        return np.stack(looks) if looks else np.empty((0, SIDE, SIDE, 3), np.uint8)
    count, height, width, _ = images.shape
    rows, columns = _means(height), _means(width)
    out = np.empty((count, SIDE, SIDE, 3), np.uint8)
    step = max(1, _CHUNK_BYTES // (height * width * 3))
    for start in range(0, count, step):
        part = images[start : start + step].reshape(-1, height, width * 3).astype(np.float32)
        narrow = (rows @ part).reshape(-1, SIDE, width, 3)
        out[start : start + step] = np.rint(columns @ narrow)
    return out


def _means(size: int) -> NDArray[np.float32]:
    """The matrix (9, size) that averages: a pixel counts as much as the cell covers of it."""
    edges = np.arange(SIDE + 1) * size / SIDE
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(covered, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
