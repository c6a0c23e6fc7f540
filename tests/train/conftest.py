"""Small splits, teachers that count what they are asked, and tiny members to train."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES = 3


@pytest.fixture(scope="session")
def split() -> Callable[..., Any]:
    """So many images of a size, stacked or of several sizes; class c is bright in channel c."""

    def make(count: int, size: tuple[int, int] = (12, 12), seed: int = 0, stacked: bool = True) -> Any:
        from learn2compress.inputs.arrays import ArraySplit

        rng = np.random.default_rng(seed)
        labels = np.arange(count) % CLASSES
        images = rng.integers(0, 120, (count, *size, 3), np.uint8)
        images[np.arange(count), :, :, labels] += 100
        return ArraySplit(images if stacked else [image[:, : 8 + i % 3] for i, image in enumerate(images)], labels)

    return make


class CountingTeacher:
    """Tells class c by the brightness of channel c modulo 3; counts images, and may break down."""

    def __init__(self, classes: int = CLASSES, fingerprint: str = "teacher", after: int | None = None) -> None:
        self.classes, self.fingerprint, self.after = classes, fingerprint, after
        self.input_size = (12, 12)
        self.images = 0

    def predict(self, images: Any) -> Any:
        if self.after is not None and self.images + len(images) > self.after:
            raise KeyboardInterrupt
        self.images += len(images)
        bright = images.reshape(len(images), -1, 3).mean(axis=1) / 16
        logits = np.zeros((len(images), self.classes), np.float32)
        for c in range(self.classes):
            logits[:, c] = bright[:, c % 3] - 0.4 * (c // 3)
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def counting_teacher() -> Callable[..., CountingTeacher]:
    return CountingTeacher


@pytest.fixture(scope="session")
def tiny_member() -> Callable[..., Any]:
    """Three convolutions, a residual, 12 x 12 pixels to 3 logits; of any width."""

    def make(width: int, head: str = "logits") -> Any:
        from keras import Input, Model, layers, utils

        utils.set_random_seed(width)
        image = Input((12, 12, 3), name="image")
        x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
        x = layers.ReLU(6.0, name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name="a")(x)
        x = a = layers.ReLU(6.0, name="a_relu")(layers.BatchNormalization(name="a_bn")(x))
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="b_depthwise")(x)
        x = layers.BatchNormalization(name="b_depthwise_bn")(x)
        x = layers.Conv2D(width, 1, use_bias=False, name="b")(x)
        x = layers.BatchNormalization(name="b_bn")(x)
        x = layers.ReLU(6.0, name="out")(layers.Add(name="sum")([a, x]))
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        return Model(image, layers.Dense(CLASSES, name=head)(x))

    return make
