"""Tiny models from TensorFlow's converter, small enough to count by hand, and a split held in memory."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIZE, CLASSES = 16, 5


@dataclass(frozen=True)
class ArraySplit:
    """An `ImageSplit` of images that all have the size the model wants."""

    stacked: Any
    labels: Any
    fingerprint: str = "array"

    def __len__(self) -> int:
        return len(self.stacked)

    def image(self, index: int) -> Any:
        return self.stacked[index]

    def batch(self, indices: Any, size: tuple[int, int]) -> Any:
        assert size == self.stacked.shape[1:3]
        return self.stacked[indices]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`float`, `int8`, `uint8` (both integer throughout), `float_ends` (integer but for float32 ends)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    layers = keras.layers
    keras.utils.set_random_seed(0)
    # Biases that are not zero: the converter drops zero ones, and the counts below would be off.
    common = {"bias_initializer": keras.initializers.RandomUniform(0.1, 0.2), "activation": "relu"}
    image = keras.Input((SIZE, SIZE, 3), batch_size=1)
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", **common)(x)
    x = layers.DepthwiseConv2D(3, padding="same", **common)(x)
    x = layers.Conv2DTranspose(4, 2, strides=2, **common)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(CLASSES, **{**common, "activation": None})(x)
    model = keras.Model(image, layers.Softmax()(x))

    def images() -> Any:
        rng = np.random.default_rng(0)
        for _ in range(16):
            yield [rng.integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32)]

    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for kind, ends in {
        "float": None,
        "float_ends": tf.float32,
        "int8": tf.int8,
        "uint8": tf.uint8,
    }.items():
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if ends is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = images
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = ends
        with contextlib.redirect_stdout(io.StringIO()):
            content = converter.convert()
        paths[kind] = folder / f"{kind}.tflite"
        paths[kind].write_bytes(content)
    return paths


@pytest.fixture(scope="session")
def photos() -> ArraySplit:
    """150 random images: more than two chunks of 64. Class 4 has no example."""
    rng = np.random.default_rng(1)
    return ArraySplit(
        rng.integers(0, 256, (150, SIZE, SIZE, 3), np.uint8), rng.integers(0, CLASSES - 1, 150, np.int64)
    )
