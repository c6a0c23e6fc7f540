"""Whether a teacher knows images better when these are brought to its input's shape in another way than ours.

Everything is read, labelled and measured in one way (`geometry.fitted`): the short side resized, the middle cropped.
A teacher that was trained on images squeezed into its input's shape, or on a closer crop, does better on such. That
can't be mended on the teacher's side alone, since its students and the app must get the same images: it is told, with
what to do to the data.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from learn2compress.core.dataset import Images, ImageSplit, Labels
from learn2compress.core.progress import Progress
from learn2compress.inputs.geometry import pool
from learn2compress.inputs.preprocessing_search import surely_ahead
from learn2compress.inputs.splits import balanced_sample

TRIED_IMAGES = 128
CLOSER = 0.875  # 224 of 256 pixels: the published evaluation of most ImageNet models
_LEAST_GAIN = 0.03
_SURE = 3.0  # deviations: this is no choice between conventions but advice to change the data
_SAME_SHAPE = 0.05  # aspect ratios that differ by less are one
_FEW = 0.25  # images of another shape in a smaller share don't matter


def advise_framing(
    says: Callable[[Images], Labels],
    split: ImageSplit,
    size: tuple[int, int],
    name: str,
    progress: Progress,
) -> dict[str, float]:
    """Tries other framings on labelled images, where the data's are not of the input's size.

    Args:
        says: the class that the teacher says for images (n, height, width, 3), shape (n,).
        split: training images.
        size: (height, width) of the teacher's input.
        name: of the teacher, for people.
        progress: gets a warning where another framing is better by more than chance, else a note.

    Returns:
        Share that is right by framing (`cropped`, ours, first; `squeezed`, `closer`); empty where none was tried.
    """
    indices = balanced_sample(split.labels, TRIED_IMAGES)
    shapes = np.array([split.image(int(index)).shape[:2] for index in indices[:: max(1, len(indices) // 32)]])
    if (shapes == size).all():
        return {}
    images = {"cropped": split.batch(indices, size), "closer": _closer(split, indices, size)}
    ratios = np.abs(np.log(shapes[:, 1] / shapes[:, 0]) - np.log(size[1] / size[0]))
    if (ratios > _SAME_SHAPE).mean() >= _FEW:
        images["squeezed"] = _squeezed(split, indices, size)
    hits = {framing: says(some) == split.labels[indices] for framing, some in images.items()}
    right = {framing: float(some.mean()) for framing, some in hits.items()}
    best = max(right, key=lambda framing: right[framing])
    told = ", ".join(f"{right[framing]:.1%} {_WORDS[framing]}" for framing in right)
    told = f"{name} is right on so many of {len(indices)} training images: {told}"
    if right[best] >= right["cropped"] + _LEAST_GAIN and surely_ahead(hits[best], hits["cropped"], _SURE):
        height, width = size
        progress.warn(f"{told}. It seems to know images {_WORDS[best]}. {_ADVICE[best].format(width, height)}")
    else:
        progress.note(f"{told}.", framings=right)
    return right


_WORDS = {
    "cropped": "resized by their short side and cropped, as is done here",
    "closer": f"cropped closer, to the middle {CLOSER:.1%}",
    "squeezed": "squeezed into the input's shape",
}
_ADVICE = {
    "closer": "To have teacher, students and app agree, crop the data's images to their middle beforehand, and the "
    "app's as well.",
    "squeezed": "To have teacher, students and app agree, resize the data's images to {}x{} beforehand, without "
    "cropping, and the app's as well.",
}


def _squeezed(split: ImageSplit, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
    def one(index: int) -> Images:
        picture = Image.fromarray(split.image(index))
        return np.asarray(picture.resize(size[::-1], Image.Resampling.BICUBIC))

    return np.stack(list(pool().map(one, map(int, indices))))


def _closer(split: ImageSplit, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
    wider = (ceil(size[0] / CLOSER), ceil(size[1] / CLOSER))
    top, left = (wider[0] - size[0]) // 2, (wider[1] - size[1]) // 2
    return split.batch(indices, wider)[:, top : top + size[0], left : left + size[1]]
