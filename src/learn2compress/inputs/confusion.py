"""Which outputs the images of each class go to, and where that leaves no doubt of what an output stands for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Labels

FEWEST_IMAGES = 8  # of a class, for its output to be beyond doubt
_IMAGES_PER_CLASS = 25
_MANY_IMAGES, _MOST_IMAGES = 3000, 8000  # the latter where the former were too few of each class
_LEAST_SHARE = 0.5
_DOMINANCE = 2


def images_to_look_at(classes: int) -> int:
    """How many images show what goes where: 25 a class; of many classes fewer, but 8, up to 8,000 in all."""
    return min(_IMAGES_PER_CLASS * classes, max(_MANY_IMAGES, FEWEST_IMAGES * classes), _MOST_IMAGES)


def confusion(predicted: Labels, labels: Labels, outputs: int, classes: int) -> NDArray[np.int64]:
    """How often each output (row) meets each class (column); predictions below 0 are none."""
    together = np.zeros((outputs, classes), np.int64)
    some = predicted >= 0
    np.add.at(together, (predicted[some], labels[some]), 1)
    return together


def every_other(labels: Labels) -> NDArray[np.bool_]:
    """One half of the images, shape (examples,): of each class the first, the third and so on."""
    half = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        half[np.flatnonzero(labels == label)[::2]] = True
    return half


def beyond_doubt(
    together: NDArray[np.int64], images: NDArray[np.int64], standing: NDArray[np.int64], fewest: int = FEWEST_IMAGES
) -> NDArray[np.bool_]:
    """For which classes no doubt is left of which output stands for them.

    Such a class has enough images; its output takes at least half of them, and twice as many as any other output
    does; and of no other class does that output take more than half as large a share.

    Args:
        together: how often each output meets each class, shape (outputs, classes).
        images: of each class, shape (classes,).
        standing: the output that is taken to stand for each class, shape (classes,).
        fewest: images of a class that are enough.
    """
    classes = np.arange(len(standing))
    own = together[standing, classes]
    elsewhere = together.copy()
    elsewhere[standing, classes] = 0
    dominant = (own >= _LEAST_SHARE * images) & (own >= _DOMINANCE * elsewhere.max(axis=0))
    # Shares, as some classes have more images than others; but of one with few, a single image is no large share.
    there = together[standing]
    there[classes, classes] = 0
    most = np.maximum(images[None], images[:, None])
    exclusive = (own[:, None] * most >= _DOMINANCE * there * images[:, None]).all(axis=1)
    return dominant & exclusive & (images >= max(fewest, 1))
