"""What lowering rules work with: a layer's new form gets its name, its settings and, once built, its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from learn2compress.graph.calls import Graph, twin_operation
from learn2compress.graph.settings import plain_settings

# Takes what the layer or operation takes, tensors of the new graph.
Lowered = Callable[..., Any]


def set_weights(layer: Any, weights: list[Any]) -> None:
    """Of a layer that is built."""
    layer.set_weights(weights)
    if hasattr(layer, "finalize_state"):
        # Normalization computes with copies of its weights.
        layer.finalize_state()


class Lowering:
    """Names, copies and weights for the layers of one lowered graph, and what rules ask of the graph.

    Args:
        graph: what is lowered.
        gone, turned: see `reversals.needless_reversals`.
    """

    def __init__(self, graph: Graph, gone: frozenset[int], turned: frozenset[int]) -> None:
        self.fills: list[Callable[[], None]] = []
        self._graph = graph
        self._gone, self._turned = gone, turned
        inputs = {tensor._keras_history.operation.name for tensor in graph.model.inputs}
        self._taken = inputs | set(graph.layer_names.values())
        self._ends = {id(call.operation) for call in graph.calls if set(call.outputs) & set(graph.outputs)}

    def same(self, operation: Any, name: str) -> Lowered:
        """A copy of the layer or operation."""
        if not isinstance(operation, keras.Layer):
            return twin_operation(operation, name)
        twin: Lowered = self.filled(type(operation).from_config(settings_of(operation, name)), operation)
        return twin

    def filled(self, twin: Any, layer: Any, weights: Callable[[list[Any]], list[Any]] = list) -> Any:
        """The new layer; gets its part of the old one's weights when it is built."""

        def fill() -> None:
            if layer.weights:
                arrays = [np.asarray(weight) for weight in layer.weights]
                if self.is_turned(layer):
                    arrays[0] = arrays[0][:, :, ::-1]  # (h, w, in, out)
                set_weights(twin, weights(arrays))

        # What the user froze stays so only in the user's own model.
        twin.trainable = True
        self.fills.append(fill)
        return twin

    def new_name(self, name: str, part: str) -> str:
        """A name that nothing has, for a part of the layer of this name."""
        found = f"{name}_{part}"
        while found in self._taken:
            found += "_"
        self._taken.add(found)
        return found

    def is_gone(self, operation: Any) -> bool:
        """Whether it turns channels around that convolutions behind it take as they come."""
        return id(operation) in self._gone

    def is_turned(self, operation: Any) -> bool:
        """Whether it takes channels in the other order than the one it was made for."""
        return id(operation) in self._turned

    def taken(self, operation: Any) -> list[tuple[int | None, ...]]:
        """The shapes of what it takes, at all its calls."""
        calls = [call for call in self._graph.calls if call.operation is operation]
        return [self._graph.shapes[number] for call in calls for number in call.inputs]

    def ranks(self, operation: Any) -> set[int]:
        """How many axes the tensors have that it takes, at all its calls."""
        return {len(shape) for shape in self.taken(operation)}

    def sizes(self, operation: Any) -> set[tuple[int, int]]:
        """(height, width) of the maps that it takes, at all its calls; empty where one is not known."""
        shapes = self.taken(operation)
        if any(len(shape) != 4 or None in shape[1:3] for shape in shapes):
            return set()
        return {(shape[1] or 1, shape[2] or 1) for shape in shapes}

    def is_end(self, operation: Any) -> bool:
        """Whether the model ends in it: there a sigmoid makes probabilities, and is left away later."""
        return id(operation) in self._ends

    def activated(self, kind: str | None, name: str) -> Lowered:
        """The activation by itself, as layers of which the last has this name."""
        if kind in ("linear", None):
            return lambda tensor: tensor
        if kind in ("silu", "hard_silu"):
            gate = self.activated(kind.replace("silu", "sigmoid"), self.new_name(name, "gate"))
            product = layers.Multiply(name=name)
            return lambda tensor: product([tensor, gate(tensor)])
        if kind == "hard_sigmoid":
            steps = [
                layers.Rescaling(1 / 6, offset=0.5, name=self.new_name(name, "line")),
                layers.ReLU(1.0, name=name),
            ]
            return chain(steps)
        rectifier = {"relu": None, "relu6": 6.0}
        found: Lowered = (
            layers.ReLU(rectifier[kind], name=name) if kind in rectifier else layers.Activation(kind, name=name)
        )
        return found


def chain(steps: Sequence[Lowered]) -> Lowered:
    """One after the other."""

    def run(tensor: Any) -> Any:
        for step in steps:
            tensor = step(tensor)
        return tensor

    return run


def settings_of(layer: Any, name: str) -> dict[str, Any]:
    """What a copy of the layer with this name is made of."""
    return {**plain_settings(layer), "name": name}


# function (lowering, layer or operation, its name) -> its lowered form; None where it stays as it is
Rule = Callable[[Lowering, Any, str], Lowered | None]
