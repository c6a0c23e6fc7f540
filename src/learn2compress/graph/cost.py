"""What a Keras graph costs: multiply-accumulates, parameters, and the bytes of its int8 file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from learn2compress.core.member import Cost
from learn2compress.graph.calls import Call, Graph, read_graph

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

BASE_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
WITH_KERNEL = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
    *BASE_TRANSPOSED,
)


def kernel_positions(layer: Any, taken: tuple[int | None, ...], given: tuple[int | None, ...]) -> int:
    """How many times the layer's kernels are applied to one example; 0 for a layer without a kernel.

    Args:
        layer: a Keras layer.
        taken, given: shapes of its input and its output, the batch first.
    """
    if isinstance(layer, BASE_TRANSPOSED):
        return _count(taken[1:-1])
    return _count(given[1:-1]) if isinstance(layer, WITH_KERNEL) else 0


def _count(shape: Any) -> int:
    return int(np.prod([int(n or 1) for n in shape], dtype=np.int64))


def model_cost(model: keras.Model) -> Cost:
    """The cost of a functional or sequential model; batch norm counts as folded (one bias a channel)."""
    graph = read_graph(model)
    return calls_cost(graph, graph.calls, lambda layer: [tuple(weight.shape) for weight in layer.weights])


def calls_cost(graph: Graph, calls: Iterable[Call], weights_of: Callable[[Any], Sequence[tuple[int, ...]]]) -> Cost:
    """The cost of some calls of a graph, when each layer's weights have these shapes."""
    parameters = macs = channels = operators = 0
    seen: set[int] = set()
    for call in calls:
        layer, name = call.operation, type(call.operation).__name__
        counts = isinstance(layer, keras.Layer) and name != "BatchNormalization"
        kernels = [shape for shape in weights_of(layer) if len(shape) > 1] if counts else []
        elements = sum(_count(shape) for shape in kernels)
        macs += kernel_positions(layer, graph.shapes[call.inputs[0]], graph.shapes[call.outputs[0]]) * elements
        operators += bool(kernels) or name in OPERATORS
        # A layer that is called twice computes twice, but has its weights once.
        if kernels and id(layer) not in seen:
            made = _made(name, kernels[-1])
            parameters += elements + made
            channels += made
        seen.add(id(layer))
    size = parameters + (BYTES_PER_CHANNEL - 1) * channels + BYTES_PER_OP * operators + BYTES_FRAME
    return Cost(parameters, macs, size)


def _made(name: str, kernel: tuple[int, ...]) -> int:
    """How many channels a kernel makes: it is (..., in, out) as a rule."""
    *_, before, last = kernel
    if name.startswith("Depthwise"):
        return before * last  # (h, w, in, multiplier)
    return before if name.endswith("Transpose") else last
