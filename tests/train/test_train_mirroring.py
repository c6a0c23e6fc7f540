"""Mirrored images are used where the teacher does not mind, however large they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from learn2compress.core.chunks import MOST_BYTES
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.train.mirroring import mirroring_is_harmless


class Sided:
    """Says class 1 of images that are bright on the left; counts the images that it gets at once."""

    fingerprint = "sided"

    def __init__(self, side: int = 8) -> None:
        self.input_size = (side, side)
        self.calls: list[int] = []

    def predict(self, images: Any) -> Any:
        self.calls.append(len(images))
        half = images.shape[2] // 2
        left = images[:, :, :half].mean(axis=(1, 2, 3)) > images[:, :, half:].mean(axis=(1, 2, 3))
        return np.eye(2, dtype=np.float32)[left.astype(int)]


def sided(count: int) -> ArraySplit:
    """Images of class 1 are bright on the left, the others on the right."""
    labels = np.arange(count) % 2
    images = np.zeros((count, 8, 8, 3), np.uint8)
    images[labels == 1, :, :4] = 200
    images[labels == 0, :, 4:] = 200
    return ArraySplit(images, labels)


def test_a_teacher_that_goes_by_the_side_minds() -> None:
    assert not mirroring_is_harmless(Sided(), sided(600))


def test_a_teacher_that_goes_by_colour_does_not(
    split: Callable[..., Any], counting_teacher: Callable[..., Any]
) -> None:
    assert mirroring_is_harmless(counting_teacher(), split(30))


def test_large_images_are_asked_about_in_pieces() -> None:
    teacher = Sided(512)
    assert not mirroring_is_harmless(teacher, sided(100))
    assert sum(teacher.calls) == 2 * 100
    assert max(teacher.calls) * 512 * 512 * 3 <= MOST_BYTES
