"""Whether a teacher knows images better when these are brought to its input's shape in another way than is asked for.

Everything is read, labelled and measured in one way (`geometry.fitted`): by default the short side is resized and the
middle cropped. A teacher that was trained on images squeezed into its input's shape, or on a closer crop, does better
on such. It is not mended here, since the students and the app must get the same images: it is told, with what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Images, ImageSplit, Labels
from learn2compress.core.framing import CROP, SQUEEZE
from learn2compress.core.progress import Progress
from learn2compress.inputs.preprocessing_search import surely_ahead
from learn2compress.inputs.splits import balanced_sample

TRIED_IMAGES = 128
CLOSER = 0.875  # 224 of 256 pixels: the published evaluation of most ImageNet models
_LEAST_GAIN = 0.03
_SURE = 3.0  # deviations: this is no choice between conventions but advice that changes the whole run
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
        split: training images, with the framing that is asked for.
        size: (height, width) of the teacher's input.
        name: of the teacher, for people.
        progress: gets a warning where another framing is better by more than chance, else a note.

    Returns:
        Share that is right by framing (the one asked for first; `crop`, `squeeze`, `closer`); empty where none was
        tried.
    """
    indices = balanced_sample(split.labels, TRIED_IMAGES)
    shapes = split.sizes[indices]
    if (shapes == size).all():
        return {}
    own = split.framing
    images: dict[str, Images] = {own: split.batch(indices, size)}
    ratios = np.abs(np.log(shapes[:, 1] / shapes[:, 0]) - np.log(size[1] / size[0]))
    if (ratios > _SAME_SHAPE).mean() >= _FEW:
        other = CROP if own == SQUEEZE else SQUEEZE
        images[other] = split.framed(other).batch(indices, size)
    images["closer"] = _closer(split, indices, size)
    hits = {framing: says(some) == split.labels[indices] for framing, some in images.items()}
    right = {framing: float(some.mean()) for framing, some in hits.items()}
    best = max(right, key=lambda framing: right[framing])
    told = ", ".join(f"{right[framing]:.1%} {_WORDS[framing]}" for framing in right)
    told = f"{name} is right on so many of {len(indices)} training images: {told}"
    if right[best] >= right[own] + _LEAST_GAIN and surely_ahead(hits[best], hits[own], _SURE):
        progress.warn(f"{told}. It seems to know images {_WORDS[best]}. {_ADVICE[best]}")
    else:
        progress.note(f"{told}.", framings=right)
    return right


_WORDS = {
    "crop": "resized by their short side and cropped",
    "squeeze": "squeezed into the input's shape",
    "closer": f"cropped closer, to the middle {CLOSER:.1%}",
}
_ADVICE = {
    "crop": "With --framing crop teacher, students and the code for apps all do so.",
    "squeeze": "With --framing squeeze teacher, students and the code for apps all do so.",
    "closer": "To have teacher, students and app agree, crop the data's images to their middle beforehand, and the "
    "app's as well.",
}


def _closer(split: ImageSplit, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
    wider = (ceil(size[0] / CLOSER), ceil(size[1] / CLOSER))
    top, left = (wider[0] - size[0]) // 2, (wider[1] - size[1]) // 2
    return split.framed(CROP).batch(indices, wider)[:, top : top + size[0], left : left + size[1]]
