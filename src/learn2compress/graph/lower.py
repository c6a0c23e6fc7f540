"""Lowering: a teacher's graph in the few layers that later stages know, with the same outputs.

What Keras computes in one layer, int8 kernels compute in several, and each writes a rounded tensor; training can
only see a rounding that stands between two layers. So a separable convolution becomes its two parts, `silu` a sigmoid
and a product, arithmetic with numbers a `Rescaling`, and an activation that no kernel fuses a layer of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from learn2compress.graph.calls import Graph, kind_of, read_graph, rebuild, twin_operation
from learn2compress.graph.lower_layers import LAYERS
from learn2compress.graph.lower_operations import OPERATIONS
from learn2compress.graph.lowering import Lowered, Lowering, set_weights, settings_of
from learn2compress.graph.reversals import needless_reversals


def lowered(model: Any) -> keras.Model:
    """The model without nested ones, in layers that are simple where they can be; names stay.

    Layers that are made anew carry the name of the old one with what they do behind it. What has no simpler form
    stays as it is.

    Raises:
        UnreadableGraphError: a part of it is code.
    """
    graph = _apart(read_graph(model))
    lowering = Lowering(graph, *needless_reversals(graph))
    copy, _ = rebuild(graph, graph.calls, lambda operation: _lowered_form(lowering, graph, operation))
    for fill in lowering.fills:
        fill()
    return copy


def without_reversals(model: Any) -> Any:
    """A model that answers the same and turns no channels around that convolutions can take as they come.

    TensorFlow's converter gives what `keras.ops.flip` becomes another scale than what it takes, and LiteRT only moves
    the numbers: an integer file of it would answer something else.

    Args:
        model: any; one without such a reversal, with layers of the user's own, or whose graph can't be read or copied
            stays as it is.
    """
    try:
        graph = read_graph(model)
        gone, _ = needless_reversals(graph)
        # The settings of the user's own layers need not be all that it takes to make them anew.
        known = all(kind_of(call.operation) for call in graph.calls)
        return lowered(model) if gone and known else model
    except (TypeError, ValueError, NotImplementedError):
        return model


def _apart(graph: Graph) -> Graph:
    """The graph with a layer of its own for each call: one ReLU may serve all blocks, one convolution two scales.

    What has weights has them twice from then on, and learns them apart: each place has a rounding, and a batch norm
    to be folded in, of its own.
    """
    names, taken, seen = dict(graph.layer_names), set(graph.layer_names.values()), set()
    calls = []
    for call in graph.calls:
        operation, name = call.operation, call.name
        if id(operation) in seen and kind_of(operation):
            base, count = graph.layer_names[id(operation)], 2
            while (name := f"{base}_{count}") in taken:
                count += 1
            operation = _twin(operation, name)
            names[id(operation)] = name
            taken.add(name)
        seen.add(id(operation))
        calls.append(replace(call, operation=operation, name=name))
    return replace(graph, calls=tuple(calls), layer_names=names)


def _twin(operation: Any, name: str) -> Any:
    """The same layer or operation once more, with weights of its own."""
    if not isinstance(operation, keras.Layer):
        return twin_operation(operation, name)
    twin = type(operation).from_config(settings_of(operation, name))
    if operation.weights:
        twin.build_from_config(operation.get_build_config())
        set_weights(twin, operation.get_weights())
    return twin


def _lowered_form(lowering: Lowering, graph: Graph, operation: Any) -> Lowered:
    """What does in the new graph what a layer or operation does."""
    name, kind = graph.layer_names[id(operation)], kind_of(operation)
    rules = LAYERS if isinstance(operation, keras.Layer) else OPERATIONS
    found = rules[kind](lowering, operation, name) if kind in rules else None
    if not isinstance(operation, keras.Layer):
        return found or lowering.same(operation, name)
    return _inputs_first(lowering.same(operation, name)) if found is None else _positional(found)


def _inputs_first(layer: Any) -> Lowered:
    """The layer, called with what it takes in the first place, also where that was given by name."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return layer(*args, **kwargs) if args or "inputs" not in kwargs else layer(kwargs.pop("inputs"), **kwargs)

    return call


def _positional(found: Lowered) -> Lowered:
    """The same for what calls layers with keywords, as in `layer(inputs=x, training=False)`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return found(*args) if args else found(kwargs["inputs"])

    return call
