"""What a Keras graph costs: multiply-accumulates, parameters, and the bytes of its int8 file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import keras

from learn2compress.core.member import Cost
from learn2compress.graph.calls import Call, Graph, read_graph
from learn2compress.graph.macs import call_macs

# Bytes of an int8 .tflite beyond its weights, measured on our own files: an operator with its tensors, and what
# each output channel carries (int32 bias; float32 scale and int64 zero point, of the kernel and of the bias), and the
# frame with the metadata.
BYTES_PER_OP = 330
BYTES_PER_CHANNEL = 4 + 2 * (4 + 8)
BYTES_FRAME = 4500

OPERATORS = (
    "Add",
    "AveragePooling2D",
    "Concatenate",
    "GlobalAveragePooling2D",
    "MaxPooling2D",
    "Multiply",
    "ZeroPadding2D",
)


def model_cost(model: keras.Model) -> Cost:
    """The cost of a functional or sequential model; batch norm counts as folded (one bias a channel)."""
    return graph_cost(read_graph(model))


def graph_cost(graph: Graph) -> Cost:
    """The same of a model that was read."""
    return calls_cost(graph, graph.calls, lambda layer: [tuple(weight.shape) for weight in layer.weights])


def calls_cost(graph: Graph, calls: Iterable[Call], weights_of: Callable[[Any], Sequence[tuple[int, ...]]]) -> Cost:
    """The cost of some calls of a graph, when each layer's weights have these shapes.

    What `graph.macs.uncounted` names is not among the multiply-accumulates.
    """
    parameters = macs = channels = operators = 0
    seen: set[int] = set()
    for call in calls:
        layer, name = call.operation, type(call.operation).__name__
        counts = isinstance(layer, keras.Layer) and name != "BatchNormalization"
        weights = weights_of(layer) if counts else []
        kernels = [shape for shape in weights if len(shape) > 1]
        elements = sum(map(prod, kernels))
        macs += call_macs(call, graph, weights) or 0
        operators += bool(kernels) or name in OPERATORS
        # A layer that is called twice computes twice, but has its weights once.
        if kernels and id(layer) not in seen:
            made = _made(name, kernels[-1])
            parameters += elements + made
            channels += made
        seen.add(id(layer))
    return counted_cost(parameters, macs, channels, operators)


def counted_cost(parameters: int, macs: int, channels: int, operators: int) -> Cost:
    """The cost of what was counted.

    Args:
        parameters: weights, and a bias for each channel that a kernel makes.
        macs: multiply-accumulates.
        channels: how many the kernels make together.
        operators: calls that are an operator of the file: those with a kernel, and those of `OPERATORS`.
    """
    size = parameters + (BYTES_PER_CHANNEL - 1) * channels + BYTES_PER_OP * operators + BYTES_FRAME
    return Cost(parameters, macs, size)


def _made(name: str, kernel: tuple[int, ...]) -> int:
    """How many channels a kernel makes: it is (..., in, out) as a rule."""
    *_, before, last = kernel
    if name.startswith("Depthwise"):
        return before * last  # (h, w, in, multiplier)
    return before if name.endswith("Transpose") else last
