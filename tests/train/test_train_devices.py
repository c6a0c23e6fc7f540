"""On JAX a batch is split over the machine's devices, and the members learn the same as on one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from learn2compress.core.processes import environment

SCRIPT = """
import json
import jax
import keras
import numpy as np
from keras import layers
from learn2compress.core.progress import Progress
from learn2compress.train.devices import use_all_devices
from learn2compress.train.fit import compile_family
from learn2compress.train.joint import JointFamily
from learn2compress.train.trainable import trainable

BATCH = 24
available = keras.distribution.list_devices()
# For each array that a step gets, how many of its images lie on each device.
parts = []


def member(width):
    image = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization(name="bn")(layers.Conv2D(width, 3, name="a")(image)))
    return keras.Model(image, layers.Dense(3, name="b")(layers.GlobalAveragePooling2D()(x)))


class Watched(JointFamily):
    def make_train_function(self, force=False):
        if self.train_function is None:
            super().make_train_function(force)
            self.train_function = watched(self.train_function)


def watched(step):
    def call(state, data):
        (batch,) = data
        for array in jax.tree.leaves(batch):
            parts.append([part.data.shape[0] for part in array.addressable_shards])
        return step(state, iter([batch]))

    return call


def trained(count):
    keras.distribution.list_devices = lambda: available[:count]
    notes = []
    parts.clear()
    use_all_devices(BATCH, Progress(lambda event: notes.append(event.message)))
    keras.utils.set_random_seed(0)
    family = Watched([trainable(member(width), "float32", 0.9) for width in (16, 8)], 2.0, 0.3)
    compile_family(family, keras.optimizers.SGD(0.1))
    random = np.random.default_rng(0)
    losses = []
    for step in range(3):
        images = random.integers(0, 256, (BATCH, 8, 8, 3), np.uint8)
        labels = images.mean(axis=(1, 2)).argmax(axis=1)
        soft = np.log(0.1 + 0.7 * np.eye(3, dtype=np.float32)[labels])
        losses.append(float(family.train_on_batch(images, (labels, soft), return_dict=True)["loss"]))
    devices = len(family.trainable_variables[0].value.sharding.device_set)
    return {"notes": notes, "losses": losses, "devices": devices, "parts": [*parts]}


print(json.dumps([trained(1), trained(4)]))
"""
# To compile a step takes most of the time; how fast it is then does not matter.
FLAGS = {
    "KERAS_BACKEND": "jax",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
}


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is an extra")
def test_a_batch_that_is_split_over_devices_teaches_the_same() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment(**FLAGS), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alone, together = json.loads(done.stdout.splitlines()[-1])
    assert (alone["devices"], together["devices"]) == (1, 4)
    assert together["notes"] == ["training on 4 of 4 local devices: cpu:0, cpu:1, cpu:2, cpu:3"]
    # Pixels, labels and soft labels of three steps. Where each device took the whole batch, the losses were the same.
    assert (alone["parts"], together["parts"]) == ([[24]] * 9, [[6] * 4] * 9)
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)


@pytest.mark.parametrize(
    ("batch", "available", "used"), [(256, 8, 8), (60, 8, 6), (6, 4, 3), (7, 4, 1), (1, 4, 1), (256, 1, 1)]
)
def test_as_many_devices_are_used_as_divide_the_batch(batch: int, available: int, used: int) -> None:
    from learn2compress.train.devices import dividing

    assert dividing(batch, available) == used
