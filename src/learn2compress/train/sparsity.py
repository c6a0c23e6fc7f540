"""Unstructured magnitude pruning: the smallest weights of each kernel become zero, ever more of them.

After Zhu and Gupta, "To prune, or not to prune" (2017): the share of zeros rises by a cubic, fast at first, and
stands still for the last part. It makes the download smaller (zeros zip well) and nothing faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

# The share of the training after which no more weights are taken: the rest is for recovery.
REACHED_AT = 0.7
# Kernels of fewer weights hold little to save and much to lose.
FEWEST_WEIGHTS = 1000
# The masks follow the schedule in steps of this share: ranking all weights at each step would cost too much.
STEP = 0.02


def prunable_kernels(variables: Sequence[Any]) -> list[Any]:
    """Those in which single weights may go: kernels of some size, depthwise ones excepted."""
    return [v for v in variables if len(v.shape) >= 2 and v.shape[-1] > 1 and np.prod(v.shape) >= FEWEST_WEIGHTS]


class MagnitudeMasks:
    """Keeps the weights that are smallest in their kernel at zero while training moves the others.

    Args:
        variables: trained ones; `prunable_kernels` of them are masked.
        sparsity: share of zeros in each kernel at the end, 0..1.
    """

    def __init__(self, variables: Sequence[Any], sparsity: float) -> None:
        self.sparsity = sparsity
        self._kernels = prunable_kernels(variables)
        self._masks: list[Any] = [1.0] * len(self._kernels)
        self._share = 0.0

    def at(self, progress: float) -> None:
        """Brings the masks to where the schedule is, and applies them: before each step, and with 1 at the end.

        Args:
            progress: share of the training that is done.
        """
        reached = self.sparsity * (1 - (1 - min(1.0, progress / REACHED_AT)) ** 3)
        if reached >= self._share + STEP or (reached > self._share and progress >= REACHED_AT):
            self._share = reached
            self._masks = [_largest(kernel, reached) for kernel in self._kernels]
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.assign(kernel * mask)


class ZeroMasks:
    """Keeps the weights that are zero now at zero, in kernels of any size: slices may be small.

    Args:
        variables: trained ones.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        self._kernels = [v for v in variables if len(v.shape) >= 2]
        self._masks = [ops.cast(ops.not_equal(kernel, 0), kernel.dtype) for kernel in self._kernels]

    def apply(self) -> None:
        """Sets the masked weights to zero."""
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.assign(kernel * mask)


def _largest(kernel: Any, share: float) -> Any:
    """1 where a weight is not among the smallest `share`, else 0."""
    magnitude = np.abs(np.asarray(kernel)).reshape(-1)
    count = int(share * magnitude.size)
    mask = np.ones(magnitude.size, np.float32)
    if count:
        mask[np.argpartition(magnitude, count - 1)[:count]] = 0
    return ops.convert_to_tensor(mask.reshape(kernel.shape), kernel.dtype)


def zero_share(model: keras.Model) -> float:
    """Share of zeros among the weights of the model's kernels."""
    kernels = [np.asarray(kernel) for kernel in model.trainable_variables if len(kernel.shape) >= 2]
    return float(sum((k == 0).sum() for k in kernels) / max(1, sum(k.size for k in kernels)))
