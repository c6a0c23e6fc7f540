"""Whether mirrored images may be used: not for digits or text, and the teacher knows."""

from __future__ import annotations

import numpy as np

from learn2compress.core.dataset import ImageSplit, Predictor

ASKED_IMAGES = 500
LARGEST_LOSS = 0.03


def mirroring_is_harmless(teacher: Predictor, validation: ImageSplit) -> bool:
    """Whether the teacher recognises mirrored validation images as well as the images themselves."""
    rng = np.random.default_rng(0)
    count = min(ASKED_IMAGES, len(validation))
    indices = np.sort(rng.choice(len(validation), count, replace=False))
    images = validation.batch(indices, teacher.input_size)
    labels = validation.labels[indices]
    right = (teacher.predict(images).argmax(1) == labels).mean()
    mirrored = (teacher.predict(images[:, :, ::-1]).argmax(1) == labels).mean()
    return bool(right - mirrored <= LARGEST_LOSS)
