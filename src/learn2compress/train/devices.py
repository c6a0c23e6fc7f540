"""Training on all local devices of a machine: each holds all weights and takes its part of every batch."""

from __future__ import annotations

import keras

from learn2compress.core.progress import Progress


def dividing(batch_size: int, available: int) -> int:
    """The largest number of devices that a batch can be split over evenly, at least one."""
    return max(n for n in range(1, available + 1) if batch_size % n == 0)


def use_all_devices(batch_size: int, progress: Progress) -> None:
    """Splits each batch over as many local devices as divide it evenly. Variables that are made later are on all."""
    devices = keras.distribution.list_devices()
    count = dividing(batch_size, len(devices))
    if count > 1:
        parallel = keras.distribution.DataParallel(devices=devices[:count], auto_shard_dataset=False)
        keras.distribution.set_distribution(parallel)
    progress.note(f"training on {count} of {len(devices)} local devices: {', '.join(devices[:count])}")
