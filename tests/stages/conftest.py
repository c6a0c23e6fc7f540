"""Images whose class is the brighter channel, in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learn2compress.core.progress import SILENT

CLASSES = 3


@pytest.fixture(scope="session")
def bright() -> Callable[[int], Any]:
    """A dataset of square images of a side: 300 for training, of which some are for validation, and 60 for tests."""

    def make(side: int) -> Any:
        from learn2compress.inputs.dataset import load_dataset

        rng = np.random.default_rng(0)
        labels = np.arange(300) % CLASSES
        images = rng.integers(0, 120, (300, side, side, 3), np.uint8)
        images[np.arange(300), :, :, labels] += 60
        arrays = {"x_train": images, "y_train": labels, "x_test": images[:60], "y_test": labels[:60]}
        return load_dataset(arrays, test_data=None, labels=None, seed=0, progress=SILENT)

    return make
