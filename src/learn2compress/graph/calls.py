"""A Keras graph as a flat list of calls: nested models are opened, and every tensor has a number."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from learn2compress.graph import walk


class UnreadableGraphError(ValueError):
    """The model is no graph of layers; the message says what is in the way."""


@dataclass(frozen=True)
class Call:
    """One call of a layer or of another Keras operation.

    Attributes:
        operation: the layer, or the operation (`x + y` in a functional model is one).
        name: unique in the graph; a layer that is called twice has one name a call, as it has one `operation`.
        node: Keras' record of the call, which holds its other arguments.
        inputs: numbers of the tensors it takes.
        outputs: numbers of the tensors it gives.
    """

    operation: Any
    name: str
    node: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The calls of a functional model, inputs before their users.

    Attributes:
        calls: without those of `InputLayer`.
        shapes: of every tensor, with None for the batch, by its number.
        inputs, outputs: numbers of the model's own.
        layer_names: for `id(operation)`, a name that is unique in the flat graph.
        model: what was read.
    """

    calls: tuple[Call, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    layer_names: Mapping[int, str]
    model: Any

    @property
    def layers(self) -> list[Any]:
        """The layers, each once, in the order of their first call."""
        operations = {id(call.operation): call.operation for call in self.calls}
        return [operation for operation in operations.values() if isinstance(operation, keras.Layer)]

    def consumers(self) -> dict[int, list[int]]:
        """For each tensor, the positions of the calls that take it."""
        found: dict[int, list[int]] = {number: [] for number in range(len(self.shapes))}
        for position, call in enumerate(self.calls):
            for number in dict.fromkeys(call.inputs):
                found[number].append(position)
        return found

    def producers(self) -> dict[int, int]:
        """For each tensor but the inputs, the position of the call that gives it."""
        return {number: position for position, call in enumerate(self.calls) for number in call.outputs}


class _Reader:
    def __init__(self, names: Iterable[str]) -> None:
        self.calls: list[Call] = []
        self.shapes: list[tuple[int | None, ...]] = []
        self.layer_names: dict[int, str] = {}
        self._taken = set(names)

    def number(self, tensor: Any) -> int:
        self.shapes.append(tuple(tensor.shape))
        return len(self.shapes) - 1

    def read(self, model: Any, inputs: Sequence[int], prefix: str) -> tuple[int, ...]:
        numbers = {id(tensor): number for tensor, number in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                taken = tuple(numbers[id(tensor)] for tensor in node.arguments.keras_tensors)
                given = self._call(node, taken, prefix)
                numbers.update({id(tensor): number for tensor, number in zip(node.outputs, given, strict=True)})
        return tuple(numbers[id(tensor)] for tensor in model.outputs)

    def _call(self, node: Any, taken: tuple[int, ...], prefix: str) -> tuple[int, ...]:
        operation = node.operation
        inner = _opened(operation)
        if inner is not None:
            taken = _as_inputs(inner, node, taken)
        if inner is not None and len(inner.inputs) == len(taken):
            return self.read(inner, taken, f"{prefix}{operation.name}_")
        if isinstance(operation, keras.Model | keras.layers.Lambda):
            raise UnreadableGraphError(_is_code(operation))
        if id(operation) not in self.layer_names:
            self.layer_names[id(operation)] = self._unique(operation.name, prefix)
        given = tuple(self.number(tensor) for tensor in self._given(node, taken))
        name = self.layer_names[id(operation)]
        repeats = sum(call.operation is operation for call in self.calls)
        self.calls.append(Call(operation, f"{name}#{repeats + 1}" if repeats else name, node, taken, given))
        return given

    def _given(self, node: Any, taken: tuple[int, ...]) -> Sequence[Any]:
        """What a call gives, in the shapes that it has here: a nested model may be made for images of any size."""
        tensors = node.arguments.keras_tensors
        shapes = [self.shapes[number] for number in taken]
        if all(tuple(tensor.shape) == shape for tensor, shape in zip(tensors, shapes, strict=True)):
            return node.outputs
        here = {id(t): keras.KerasTensor(shape, t.dtype) for t, shape in zip(tensors, shapes, strict=True)}
        args, kwargs = node.arguments.fill_in(here)
        return keras.tree.flatten(node.operation.compute_output_spec(*args, **_accepted(kwargs)))

    def _unique(self, name: str, prefix: str) -> str:
        found, count = name, 1
        if found in self._taken:
            found = f"{prefix}{name}"
        while found in self._taken:
            found, count = f"{prefix}{name}_{count}", count + 1
        self._taken.add(found)
        return found


def kind_of(operation: Any) -> str:
    """The class name of a layer or operation of Keras or of ours; empty for the user's own, whatever its name."""
    return type(operation).__name__ if walk.is_known(operation) else ""


def _is_code(operation: Any) -> str:
    return f"{operation.name} is a {type(operation).__name__}, which is code, not a graph"


def _opened(operation: Any) -> Any:
    """A functional or sequential model as the graph that it is, else None."""
    if isinstance(operation, keras.Sequential):
        # A Sequential keeps the functional model it is made of once it knows its input.
        return getattr(operation, "_functional", None) if walk.computes_its_graph(operation) else None
    return operation if isinstance(operation, keras.Model) and walk.is_functional(operation) else None


def _as_inputs(inner: Any, node: Any, taken: tuple[int, ...]) -> tuple[int, ...]:
    """What a nested model takes, in the order of its inputs; of a dict they are found by name, as in Keras."""
    given = [*node.arguments.args, *node.arguments.kwargs.values()][0]
    if not isinstance(given, dict) or isinstance(inner._inputs_struct, dict):
        return taken
    numbers = {id(tensor): number for tensor, number in zip(node.arguments.keras_tensors, taken, strict=True)}
    return tuple(numbers[id(given[tensor.name])] for tensor in inner.inputs)


def read_graph(model: Any) -> Graph:
    """The flat graph of a functional or sequential model.

    Raises:
        UnreadableGraphError: a part of it is a subclassed model or a Lambda, or it is not built.
    """
    if not isinstance(model, keras.Model):
        raise UnreadableGraphError("it is not a Keras model")
    if isinstance(model, keras.Sequential) and not model.built:
        raise UnreadableGraphError(f"{model.name} has no input shape yet")
    whole = _opened(model)
    if whole is None:
        raise UnreadableGraphError(_is_code(model))
    reader = _Reader(layer.name for layer in _input_layers(whole))
    inputs = tuple(reader.number(tensor) for tensor in whole.inputs)
    outputs = reader.read(whole, inputs, "")
    return Graph(tuple(reader.calls), tuple(reader.shapes), inputs, outputs, reader.layer_names, whole)


def rebuild(
    graph: Graph,
    calls: Iterable[Call],
    clone: Callable[[Any], Any],
    aliases: Mapping[int, int] | None = None,
    name: str | None = None,
) -> tuple[keras.Model, dict[int, Any]]:
    """A new functional model from some of the calls.

    Args:
        graph: where the calls are from.
        calls: in order; each must find its inputs.
        clone: gives for a layer, or another operation, its new twin. Asked once for each.
        aliases: tensors that another takes the place of.
        name: of the new model.

    Returns:
        The model, and for `id(operation)` the twin.
    """
    aliases = aliases or {}
    tensors: dict[int, Any] = {
        number: keras.Input(batch_shape=graph.shapes[number], dtype=layer.dtype, name=layer.name)
        for number, layer in zip(graph.inputs, _input_layers(graph.model), strict=True)
    }
    inputs = list(tensors.values())
    twins: dict[int, Any] = {}
    for call in calls:
        key = id(call.operation)
        if key not in twins:
            twins[key] = clone(call.operation)
        taken = call.node.arguments.keras_tensors
        found = [tensors[resolve(number, aliases)] for number in call.inputs]
        args, kwargs = call.node.arguments.fill_in({id(old): new for old, new in zip(taken, found, strict=True)})
        given = keras.tree.flatten(twins[key](*args, **_accepted(kwargs)))
        tensors.update(zip(call.outputs, given, strict=True))
    outputs = [tensors[resolve(number, aliases)] for number in graph.outputs]

    def single(found: list[Any]) -> Any:
        return found[0] if len(found) == 1 else found

    return keras.Model(single(inputs), single(outputs), name=name or graph.model.name), twins


def _accepted(kwargs: dict[str, Any]) -> dict[str, Any]:
    # What Keras fills in by itself; given again as None it upsets layers that take no mask.
    return {key: value for key, value in kwargs.items() if not (key in ("mask", "training") and value is None)}


def resolve(number: int, aliases: Mapping[int, int]) -> int:
    """The tensor that stands for this one."""
    while number in aliases:
        number = aliases[number]
    return number


def _input_layers(model: Any) -> list[Any]:
    return [tensor._keras_history.operation for tensor in model.inputs]


def twin_operation(operation: Any, name: str, **changed: Any) -> Any:
    """A copy of an operation that is no layer: same settings, no connections.

    Args:
        changed: attributes that differ.
    """
    twin = copy.copy(operation)
    twin._inbound_nodes, twin._outbound_nodes, twin.name = [], [], name
    for attribute, value in changed.items():
        setattr(twin, attribute, value)
    return twin
