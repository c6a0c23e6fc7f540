"""Which dtype a process trains faster in: measured, for the same library is fast in one and hopeless in the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from statistics import median
from typing import Literal

import keras
from keras import layers, ops

Policy = Literal["float32", "mixed_bfloat16"]
# The first goes where both are as fast.
POLICIES: tuple[Policy, ...] = ("float32", "mixed_bfloat16")
_ROUNDS = 3
# What a step takes on an accelerator with few maps is the time to start it, whatever the dtype: then there are more.
_MAPS = (64, 512, 4096)
_TELLING_SECONDS = 0.01


@cache
def fastest_dtype() -> Policy:
    """The dtype policy in which a training step of a convolution takes less time in this process; found out once.

    It is that of the backend in use, on the first of its devices. A processor with bfloat16 instructions takes half
    to four fifths of the time in bfloat16; without them TensorFlow emulates it, and a step takes eight times as long
    (docs/decisions/0019-dtype.md). Only the gradients do: the convolution itself is as fast.
    """
    seconds: dict[Policy, float] = {}
    with _batches_whole():
        for maps in _MAPS:
            seconds = {policy: _step_seconds(policy, maps) for policy in POLICIES}
            if max(seconds.values()) >= _TELLING_SECONDS:
                break
    return min(POLICIES, key=seconds.__getitem__)


@contextmanager
def _batches_whole() -> Iterator[None]:
    """Meanwhile no batch is split over devices: their number need not divide that of the maps."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _step_seconds(policy: Policy, maps: int) -> float:
    """Of two 3x3 convolutions of so many maps (16, 16, 32), the median of a few steps."""
    inputs = keras.Input((16, 16, 32), dtype="float32")
    x = inputs
    for _ in range(2):
        # No random numbers: what is trained after it is the same whether it took place or not.
        kernel = keras.initializers.Constant(0.01)
        x = layers.Conv2D(32, 3, padding="same", kernel_initializer=kernel, dtype=policy)(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(dtype="float32")(x))
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() == "jax")
    # Where the step is computed: to bring that many there would take longer than the step.
    images, wanted = ops.ones((maps, 16, 16, 32)), ops.zeros((maps, 32))
    model.train_on_batch(images, wanted)  # builds the step
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        model.train_on_batch(images, wanted)
        seconds.append(time.perf_counter() - started)
    return median(seconds)
