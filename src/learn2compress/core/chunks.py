"""Images in pieces that memory holds, whatever their size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# As uint8; 250 images of 224 px take 38 MB.
MOST_BYTES = 50_000_000
MOST_IMAGES = 250


def at_once(size: tuple[int, int], most_bytes: int = MOST_BYTES, most_images: int = MOST_IMAGES) -> int:
    """How many RGB images of (height, width) are held at a time; at least one."""
    return max(1, min(most_images, most_bytes // (3 * size[0] * size[1])))


def chunks(indices: NDArray[np.int64], size: tuple[int, int]) -> Iterator[NDArray[np.int64]]:
    """The indices in pieces of as many as are held at a time."""
    count = at_once(size)
    for start in range(0, len(indices), count):
        yield indices[start : start + count]
