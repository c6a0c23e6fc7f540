"""Which dtype a machine trains faster in: measured, for the same library is fast in one and hopeless in the other."""

from __future__ import annotations

import time
from functools import cache
from statistics import median
from typing import Literal

import keras
import numpy as np
from keras import layers

Policy = Literal["float32", "mixed_bfloat16"]
_ROUNDS = 3


@cache
def fastest_dtype() -> Policy:
    """The dtype policy in which a training step of a convolution takes less time here; found out once a process.

    A processor with bfloat16 instructions takes half to four fifths of the time in bfloat16; without them TensorFlow
    emulates it, and a step takes eight times as long (docs/decisions/0019-dtype.md). Only the gradients do: the
    convolution itself is as fast.
    """
    return "mixed_bfloat16" if _step_seconds("mixed_bfloat16") < _step_seconds("float32") else "float32"


def _step_seconds(policy: Policy) -> float:
    """Of two 3x3 convolutions of 64 maps (16, 16, 32), the median of a few steps."""
    inputs = keras.Input((16, 16, 32), dtype="float32")
    x = inputs
    for _ in range(2):
        x = layers.Conv2D(32, 3, padding="same", dtype=policy)(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(dtype="float32")(x))
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() == "jax")
    images, wanted = np.ones((64, 16, 16, 32), np.float32), np.zeros((64, 32), np.float32)
    model.train_on_batch(images, wanted)  # builds the step
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        model.train_on_batch(images, wanted)
        seconds.append(time.perf_counter() - started)
    return median(seconds)
