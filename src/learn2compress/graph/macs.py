"""How often a layer multiplies: its multiply-accumulates for one example.

Counted is what is multiplied and summed up: kernels with what they take, and in attention queries with keys and the
shares with the values. What is done to each number by itself (norms, activations, scales) is not. A size that is not
known counts as one, as the batch does.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import keras
from keras import layers

from learn2compress.graph.calls import Call, Graph, UnreadableGraphError, read_graph
from learn2compress.graph.input_size import of_fixed_size

Shape = tuple[int | None, ...]

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_WITH_KERNEL = (
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
    layers.Dense,
)
_CELLS = (layers.GRUCell, layers.LSTMCell, layers.SimpleRNNCell)
_CONV_RECURRENT = (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
# Their weights of several axes are looked up or meet each number by itself.
_NOT_SUMMED = (
    layers.BatchNormalization,
    layers.Embedding,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.Normalization,
    layers.PReLU,
    layers.RMSNormalization,
)
# Operations on tensors (`keras.ops`) that multiply and sum up, and are not counted.
_PRODUCTS = (
    "Conv",
    "ConvTranspose",
    "DepthwiseConv",
    "Dot",
    "DotProductAttention",
    "Inner",
    "SeparableConv",
    "Tensordot",
)


def uncounted(graph: Graph) -> list[str]:
    """Names of the layers and operations of which it is not known how often they multiply."""
    found = (graph.layer_names[id(call.operation)] for call in graph.calls if call_macs(call, graph) is None)
    return list(dict.fromkeys(found))


def call_macs(call: Call, graph: Graph, weights: Sequence[Shape] | None = None) -> int | None:
    """Multiply-accumulates of a call; None where they are not known.

    Args:
        call: of the graph.
        graph: says which shapes its tensors have.
        weights: shapes of the weights of its layer, where they are others than it has.
    """
    operation, shapes = call.operation, graph.shapes
    taken, given = [shapes[number] for number in call.inputs], shapes[call.outputs[0]]
    if not isinstance(operation, keras.Layer):
        return _operation_macs(call, taken, given)
    if isinstance(operation, layers.MultiHeadAttention | layers.GroupQueryAttention):
        named = _by_argument(call, shapes)
        query, value = named["query"], named["value"]
        return _heads_macs(operation, query, named.get("key", value), value)
    if isinstance(operation, layers.Attention):
        # What comes after query, value and key are masks.
        query, value = taken[:2]
        return _places(query) * _size(value[-2]) * (_size(query[-1]) + _size(value[-1]))
    if isinstance(operation, layers.Dot):
        axes = operation.axes if isinstance(operation.axes, int) else operation.axes[0]
        return _count(given) * _size(taken[0][axes])
    return _layer_macs(operation, taken[0], given, _shapes(operation) if weights is None else weights)


def _layer_macs(layer: Any, taken: Shape, given: Shape, weights: Sequence[Shape]) -> int | None:
    """Of a layer that takes one tensor; its weights have these shapes."""
    kernels = [shape for shape in weights if len(shape) > 1]
    if isinstance(layer, _TRANSPOSED):
        return _places(taken, layer) * _elements(kernels)
    if isinstance(layer, _WITH_KERNEL):
        return _places(given, layer) * _elements(kernels)
    if isinstance(layer, layers.EinsumDense):
        return _einsum(layer.equation, [taken, weights[0]])
    if isinstance(layer, layers.Bidirectional):
        ways = [_recurrent_macs(way, taken, given) for way in (layer.forward_layer, layer.backward_layer)]
        return _sum(ways)
    if isinstance(layer, layers.RNN):
        return _recurrent_macs(layer, taken, given)
    if isinstance(layer, layers.TimeDistributed):
        inner = _inner_macs(layer.layer, (taken[0], *taken[2:]), (given[0], *given[2:]))
        return None if inner is None else _size(taken[1]) * inner
    if isinstance(layer, layers.SpectralNormalization):
        return _inner_macs(layer.layer, taken, given)
    return 0 if not kernels or isinstance(layer, _NOT_SUMMED) else None


def _inner_macs(layer: Any, taken: Shape, given: Shape) -> int | None:
    """Of a layer, or a whole model, inside another layer."""
    if not isinstance(layer, keras.Model):
        return _layer_macs(layer, taken, given, _shapes(layer))
    try:
        graph = read_graph(of_fixed_size(layer, (_size(taken[1]), _size(taken[2]))) if len(taken) == 4 else layer)
    except UnreadableGraphError:
        return None
    return _sum([call_macs(call, graph) for call in graph.calls])


def _recurrent_macs(layer: Any, taken: Shape, given: Shape) -> int | None:
    """At each step the kernels meet what comes in and what was remembered."""
    places = 1
    if isinstance(layer, _CONV_RECURRENT):
        places = _places((None, *given[-1 - layer.cell.rank :]), layer.cell)
    elif not all(isinstance(cell, _CELLS) for cell in getattr(layer.cell, "cells", [layer.cell])):
        return None
    kernels = [tuple(weight.shape) for weight in layer.weights if len(weight.shape) > 1 and weight.name != "bias"]
    return _size(taken[1]) * places * _elements(kernels)


def _heads_macs(layer: Any, query: Shape, key: Shape, value: Shape) -> int:
    """Of attention with several heads: its projections, queries times keys, shares times values."""
    parts = {"query": query, "key": key, "value": value, "gate": query, "output": query}
    projections = [(getattr(layer, f"_{part}_dense", None), shape) for part, shape in parts.items()]
    work = sum(_places(shape) * _count(dense.kernel.shape) for dense, shape in projections if dense is not None)
    *_, heads, width = layer._query_dense.kernel.shape
    # Along other axes than these, a query meets the key at its own place only.
    axes = getattr(layer, "_attention_axes", (1,))
    pairs = _places(query) * _count(key[axis] for axis in axes)
    return int(work + pairs * heads * (width + layer._value_dense.kernel.shape[-1]))


def _operation_macs(call: Call, taken: list[Shape], given: Shape) -> int | None:
    """Of an operation on tensors."""
    operation, kind = call.operation, type(call.operation).__name__
    if kind == "Matmul" and len(taken) == 2:
        return _count(given) * _size(taken[0][-1])
    if kind == "Einsum" and operation.subscripts.count(",") == len(taken) - 1:
        return _einsum(operation.subscripts, taken)
    return None if kind in ("Matmul", "Einsum", *_PRODUCTS) else 0


def _einsum(equation: str, operands: Sequence[Shape]) -> int:
    """One product for each value that all indices of an equation, such as `abc,cd->abd`, can have."""
    sizes: dict[str, int] = {}
    terms = equation.replace(" ", "").split("->")[0].split(",")
    for term, shape in zip(terms, operands, strict=True):
        before, _, after = term.partition("...")
        between = len(shape) - len(before) - len(after)
        # Axes that have no letter are the same where they are as far from the last of them.
        indices = [*before, *(f"...{between - i}" for i in range(between)), *after]
        for index, size in zip(indices, shape, strict=True):
            sizes[index] = max(sizes.get(index, 1), _size(size))
    return prod(sizes.values())


def _by_argument(call: Call, shapes: Sequence[Shape]) -> dict[str, Shape]:
    """For the names of a layer's arguments that are tensors, their shapes in this call."""
    arguments = call.node.arguments
    numbers = {id(tensor): n for tensor, n in zip(arguments.keras_tensors, call.inputs, strict=True)}
    names = inspect.signature(call.operation.call).parameters
    given = {**dict(zip(names, arguments.args, strict=False)), **arguments.kwargs}
    return {name: shapes[numbers[id(tensor)]] for name, tensor in given.items() if id(tensor) in numbers}


def _shapes(layer: Any) -> list[Shape]:
    return [tuple(weight.shape) for weight in layer.weights]


def _places(shape: Shape, layer: Any = None) -> int:
    """How many vectors of channels a tensor of this shape holds for one example."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return _count(shape[2:] if first else shape[1:-1])


def _elements(kernels: Iterable[Shape]) -> int:
    return sum(map(_count, kernels))


def _count(shape: Iterable[int | None]) -> int:
    return prod(map(_size, shape))


def _size(size: int | None) -> int:
    return 1 if size is None else int(size)


def _sum(parts: Sequence[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
