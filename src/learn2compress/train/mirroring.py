"""Whether mirrored images may be used: not for digits or text, and the teacher knows."""

from __future__ import annotations

import numpy as np

from learn2compress.core.chunks import chunks
from learn2compress.core.dataset import ImageSplit, Predictor

ASKED_IMAGES = 500
LARGEST_LOSS = 0.03


def mirroring_is_harmless(teacher: Predictor, validation: ImageSplit) -> bool:
    """Whether the teacher recognises mirrored validation images as well as the images themselves."""
    rng = np.random.default_rng(0)
    count = min(ASKED_IMAGES, len(validation))
    indices = np.sort(rng.choice(len(validation), count, replace=False))
    right = mirrored = 0
    for some in chunks(indices, teacher.input_size):
        images, labels = validation.batch(some, teacher.input_size), validation.labels[some]
        right += int((teacher.predict(images).argmax(1) == labels).sum())
        mirrored += int((teacher.predict(images[:, :, ::-1]).argmax(1) == labels).sum())
    return (right - mirrored) / count <= LARGEST_LOSS
