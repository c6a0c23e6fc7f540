"""Which files a member becomes, and what goes into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np

from learn2compress.core.dataset import Dataset, Images
from learn2compress.core.member import MemberSpec
from learn2compress.core.precision import FileFormat
from learn2compress.train.quantize import with_probabilities

CALIBRATION_IMAGES = 100


def file_specs(spec: MemberSpec, formats: Sequence[FileFormat]) -> list[MemberSpec]:
    """The member once for each of its files; where there are several, the precision is in the name."""
    several = len(formats) > 1
    return [
        replace(spec, name=f"{spec.name}-{written.precision}" if several else spec.name, precision=written.precision)
        for written in formats
    ]


def calibration_images(dataset: Dataset, size: tuple[int, int]) -> Images:
    """Training images from all over the split, uint8 (n, height, width, 3)."""
    indices = np.linspace(0, len(dataset.train) - 1, min(CALIBRATION_IMAGES, len(dataset.train))).astype(int)
    return dataset.train.batch(indices, size)


def ready_to_write(model: keras.Model, written: FileFormat, name: str) -> keras.Model:
    """A member that ends in what its file gives, from one that ends in logits."""
    if written.output == "logits":
        return model
    return with_probabilities(model, name.replace("-", "_"), rounded=written.kind.rounded_in_training)
