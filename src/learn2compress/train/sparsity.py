"""Unstructured magnitude pruning: the smallest weights of each kernel become zero, ever more of them.

What is asked for is a share of the weights of all kernels. Small ones are spared, and large ones give for them.

After Zhu and Gupta, "To prune, or not to prune" (2017): the share of zeros rises by a cubic, fast at first, and
stands still for the last part. It makes the download smaller (zeros zip well) and nothing faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

# The share of the training after which no more weights are taken: the rest is for recovery.
REACHED_AT = 0.7
# Kernels of fewer weights hold little to save and much to lose.
FEWEST_WEIGHTS = 1000
# How far a kernel gives for those that are spared: it keeps this much of what it would have kept.
LEFT = 0.5
# The masks follow the schedule in steps of this share: ranking all weights at each step would cost too much.
STEP = 0.02
# Attention is made of the last ones; the twins that round in training are of these classes too.
WITH_KERNELS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
    keras.layers.EinsumDense,
)


def kernels_of(models: Iterable[keras.Model], among: Sequence[Any]) -> list[Any]:
    """The variables of which single weights can go: kernels, each once, and of no other layer.

    Other variables may have as many axes: the slopes of a PReLU that shares them over no axis are (h, w, c), and
    begin as zeros.

    Args:
        models: that the layers are in.
        among: the variables that come into question.
    """
    layers = [layer for model in models for layer in model._flatten_layers()]
    kernels = {id(layer.kernel): layer.kernel for layer in layers if isinstance(layer, WITH_KERNELS)}
    known = {id(variable) for variable in among}
    return [kernel for number, kernel in kernels.items() if number in known]


def zeros_by_kernel(kernels: Sequence[Any], sparsity: float) -> list[float]:
    """For each kernel, the share of its weights that goes, so that `sparsity` of the weights of all do.

    Large kernels give as far as `LEFT` says, then small ones do, and only then those that have one number a channel
    or one filter a channel.
    """
    sizes = [int(np.prod(kernel.shape)) for kernel in kernels]
    ranks = [_spared(kernel) for kernel in kernels]
    missing = sparsity * sum(sizes)
    shares = {}
    for rank in sorted(set(ranks)):
        weights = sum(size for size, other in zip(sizes, ranks, strict=True) if other == rank)
        shares[rank] = min(missing / weights, 1 - LEFT * (1 - sparsity))
        missing = max(0.0, missing - shares[rank] * weights)
    return [shares[rank] for rank in ranks]


def _spared(kernel: Any) -> int:
    """0 for a large kernel, 1 for a small one, 2 for one whose weights are all that a channel has."""
    size = int(np.prod(kernel.shape))
    if kernel.shape[-1] == 1 or size == max(kernel.shape):
        return 2
    return int(size < FEWEST_WEIGHTS)


class MagnitudeMasks:
    """Keeps the weights that are smallest in their kernel at zero while training moves the others.

    Args:
        kernels: trained ones; see `kernels_of`.
        sparsity: share of zeros in all kernels together at the end, 0..1; see `zeros_by_kernel`.
    """

    def __init__(self, kernels: Sequence[Any], sparsity: float) -> None:
        self.sparsity = sparsity
        shares = zeros_by_kernel(kernels, sparsity)
        masked = [(kernel, share) for kernel, share in zip(kernels, shares, strict=True) if share > 0]
        self._kernels = [kernel for kernel, _ in masked]
        self._shares = [share for _, share in masked]
        self._masks: list[Any] = [1.0] * len(masked)
        self._share = 0.0

    def at(self, progress: float) -> None:
        """Brings the masks to where the schedule is, and applies them: after each step, and with 1 at the end.

        The masks follow from the weights and the progress alone: what is zero is the smallest, so a run that goes on
        from a checkpoint has the same again.

        Args:
            progress: share of the training that is done.
        """
        reached = self.sparsity * (1 - (1 - min(1.0, progress / REACHED_AT)) ** 3)
        level = reached if progress >= REACHED_AT else STEP * math.floor(reached / STEP)
        if level > self._share:
            self._share = level
            way = level / self.sparsity
            self._masks = [_largest(k, way * share) for k, share in zip(self._kernels, self._shares, strict=True)]
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.assign(kernel * mask)


class ZeroMasks:
    """Keeps the weights that are zero now at zero, in kernels of any size: slices may be small.

    Args:
        kernels: trained ones; see `kernels_of`.
    """

    def __init__(self, kernels: Sequence[Any]) -> None:
        self._kernels = list(kernels)
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
    kernels = [np.asarray(kernel) for kernel in kernels_of([model], model.trainable_variables)]
    return float(sum((k == 0).sum() for k in kernels) / max(1, sum(k.size for k in kernels)))
