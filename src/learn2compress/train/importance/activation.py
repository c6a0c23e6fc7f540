"""Activation energy: how much of what the next layers get comes from a channel; forward passes only.

The norm of the weights that take a channel times the deviation of what it says, as in Wanda (Sun et al., 2024), but
with the mean left out: a constant can move into the next bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from learn2compress.graph.channels import Channels
from learn2compress.train.importance.protocol import Batch, Scores, add_along, zeros
from learn2compress.train.trainable import scaled


class ActivationEnergy:
    """The squared contribution of a unit to all kernels that take it, relative to what each gets in all."""

    name = "activation energy"
    needs_data = True
    comparable = True

    def __call__(self, channels: Channels, batches: Iterator[Batch]) -> Scores:
        """See `Importance`."""
        takers = _takers(channels)
        watched = keras.Model(channels.graph.model.inputs[0], [_moments(tensor) for _, _, tensor in takers])
        sums = [np.zeros((2, tensor.shape[-1])) for _, _, tensor in takers]
        count = 0
        for pixels, _ in batches:
            found = keras.tree.flatten(watched.predict_on_batch(scaled(pixels)))
            sums = [total + moments.sum(axis=0) for total, moments in zip(sums, found, strict=True)]
            count += len(pixels)
        scores = zeros(channels)
        for (layer, (position, axis), _), (first, second) in zip(takers, sums, strict=True):
            variance = np.maximum(second / count - (first / count) ** 2, 0)
            weight = np.asarray(layer.weights[position], np.float64)
            others = tuple(other for other in range(weight.ndim) if other != axis)
            energy = (weight**2).sum(axis=others) * variance
            add_along(scores, channels.axes[id(layer)][position, axis], energy / (energy.sum() + 1e-12))
        return scores


def _takers(channels: Channels) -> list[tuple[Any, tuple[int, int], Any]]:
    """Layers whose kernel sums over channels, the axis along which it does, and the tensor that they take."""
    found = []
    for layer in channels.graph.layers:
        for position, axis in channels.axes.get(id(layer), {}):
            weight = layer.weights[position]
            kind = type(layer).__name__
            summed = len(weight.shape) - (1 if kind.endswith("Transpose") else 2)
            if weight is getattr(layer, "kernel", None) and axis == summed and not kind.startswith("Depthwise"):
                found.append((layer, (position, axis), layer._inbound_nodes[0].input_tensors[0]))
    return found


def _moments(tensor: Any) -> Any:
    """(n, ..., c) -> (n, 2, c): mean and mean square of each channel over the places of an example."""
    axes = tuple(range(1, len(tensor.shape) - 1))
    mean = ops.mean(tensor, axis=axes) if axes else tensor
    square = ops.mean(ops.square(tensor), axis=axes) if axes else ops.square(tensor)
    return ops.stack([mean, square], axis=1)
