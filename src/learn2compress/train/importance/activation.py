"""Activation energy: how much of what the next layers get comes from a channel; forward passes only.

The norm of the weights that take a channel times the deviation of what it says, as in Wanda (Sun et al., 2024), but
with the mean left out: a constant can move into the next bias.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from learn2compress.graph.channels import AxisUnits, Channels
from learn2compress.graph.surgery import copied, whole
from learn2compress.train.importance.protocol import Batch, Scores, add_along, summed_axis, zeros
from learn2compress.train.trainable import scaled


class ActivationEnergy:
    """The squared contribution of a unit to all kernels that take it, relative to what each gets in all."""

    name = "activation energy"
    needs_data = True
    comparable = True

    def __call__(self, channels: Channels, batches: Iterator[Batch]) -> Scores:
        """See `Importance`."""
        model, takers = _takers(channels)
        watched = keras.Model(model.inputs[0], [_moments(tensor) for _, _, tensor in takers])
        sums = [np.zeros((2, tensor.shape[-1])) for _, _, tensor in takers]
        count = 0
        for pixels, _ in batches:
            found = keras.tree.flatten(watched.predict_on_batch(scaled(pixels)))
            sums = [total + moments.sum(axis=0) for total, moments in zip(sums, found, strict=True)]
            count += len(pixels)
        scores = zeros(channels)
        for (power, units, _), (first, second) in zip(takers, sums, strict=True):
            energy = power * np.maximum(second / count - (first / count) ** 2, 0)
            add_along(scores, units, energy / (energy.sum() + 1e-12))
        return scores


def _takers(channels: Channels) -> tuple[keras.Model, list[tuple[NDArray[np.float64], AxisUnits, Any]]]:
    """A copy of the model; and for each call of a layer whose kernel sums over channels, three things.

    The kernel's squares, summed up by the channel; what lies along these; and the tensor of the copy that goes in.
    The layers of a nested model know the tensors that it was made with, which have no part in the whole.
    """
    graph = channels.graph
    copy = copied(graph, graph.calls, changed=lambda layer: {}, taken=whole)
    twins = {layer.name: layer for layer in copy.layers}
    calls: Counter[int] = Counter()
    found = []
    for call in graph.calls:
        layer, twin = call.operation, twins.get(graph.layer_names[id(call.operation)])
        taken = _taken(channels, layer)
        if taken is not None and twin is not None:
            found.append((*taken, twin._inbound_nodes[calls[id(layer)]].input_tensors[0]))
        calls[id(layer)] += 1
    return copy, found


def _taken(channels: Channels, layer: Any) -> tuple[NDArray[np.float64], AxisUnits] | None:
    """The squares of a layer's kernel, summed up for each channel that it takes; None where it sums over none."""
    kind = type(layer).__name__
    separable = kind.startswith("SeparableConv")
    # The depthwise kernel of a separable convolution is the one that the channels go into.
    own = getattr(layer, "depthwise_kernel" if separable else "kernel", None)
    position = next((i for i, weight in enumerate(layer.weights) if weight is own), None)
    if own is None or position is None or kind.startswith("Depthwise"):
        return None
    axis = summed_axis(layer, own)
    units = channels.axes.get(id(layer), {}).get((position, axis))
    if units is None:
        return None
    kernel = np.asarray(own, np.float64)
    if separable:
        # Its two kernels in one (..., in, out), as a convolution would have it.
        pointwise = np.asarray(layer.pointwise_kernel, np.float64)
        kernel = np.einsum("...cm,cmo->...co", kernel, pointwise.reshape(*kernel.shape[-2:], -1))
    return (kernel**2).sum(axis=tuple(other for other in range(kernel.ndim) if other != axis)), units


def _moments(tensor: Any) -> Any:
    """(n, ..., c) -> (n, 2, c): mean and mean square of each channel over the places of an example."""
    axes = tuple(range(1, len(tensor.shape) - 1))
    mean = ops.mean(tensor, axis=axes) if axes else tensor
    square = ops.mean(ops.square(tensor), axis=axes) if axes else ops.square(tensor)
    return ops.stack([mean, square], axis=1)
