"""The evaluation geometry: how an image of any shape is brought to a size, by its framing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from PIL import Image

from learn2compress.core.cores import usable_cores
from learn2compress.core.dataset import Images
from learn2compress.core.framing import CROP, SQUEEZE, Framing


def fitted(image: Image.Image, size: tuple[int, int], framing: Framing = CROP) -> Images:
    """Fits an RGB image to `size` = (height, width): scaled to cover it, then centre-cropped; or squeezed into it.

    Scaling is bicubic and antialiased. An image that has the right size already comes back unchanged.

    Returns:
        Pixels 0..255, shape (height, width, 3).
    """
    height, width = size
    if image.size == (width, height):
        return np.asarray(image)
    if framing == SQUEEZE:
        return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    scale = max(height / image.height, width / image.width)
    if scale == 1:
        # Whole pixels: half a pixel of shift would blur an image that needs no resampling at all.
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return np.asarray(image.crop((left, top, left + width, top + height)))
    crop_width, crop_height = min(width / scale, image.width), min(height / scale, image.height)
    x, y = (image.width - crop_width) / 2, (image.height - crop_height) / 2
    # Resampling from a box is resize and crop in one: no rounding of the intermediate size.
    box = (x, y, min(x + crop_width, image.width), min(y + crop_height, image.height))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that decode and resize; Pillow lets go of the interpreter lock while it does either."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="l2c-images")
