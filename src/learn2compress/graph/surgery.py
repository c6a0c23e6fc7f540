"""Surgery: the model that a choice of channels and blocks leaves, and where its weights lie in the whole one's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.core.choice import Choice
from learn2compress.graph.calls import Call, Graph, rebuild, resolve, twin_operation
from learn2compress.graph.channels import AxisUnits, Channels, sizes_of
from learn2compress.graph.settings import plain_settings
from learn2compress.graph.slices import Part
from learn2compress.graph.walk import activation_name, is_rectifier

Indices = NDArray[np.int64]


def copied(
    graph: Graph,
    calls: Sequence[Call],
    *,
    changed: Callable[[Any], dict[str, Any]],
    taken: Callable[[Any], list[list[Indices | None]]],
    aliases: Mapping[int, int] | None = None,
    name: str | None = None,
) -> keras.Model:
    """A new model from some calls of a graph, with its part of the weights.

    Args:
        graph, calls, aliases, name: see `calls.rebuild`.
        changed: for a layer, the settings that differ.
        taken: for a layer, for each of its weights and each axis, the positions to keep, or None for all.
    """

    def clone(operation: Any) -> Any:
        unique = graph.layer_names[id(operation)]
        if not isinstance(operation, keras.Layer):
            return twin_operation(operation, unique)
        return type(operation).from_config({**plain_settings(operation), "name": unique, **changed(operation)})

    model, twins = rebuild(graph, calls, clone, aliases, name)
    for operation in {id(call.operation): call.operation for call in calls}.values():
        if isinstance(operation, keras.Layer) and operation.weights:
            _fill(twins[id(operation)], operation, taken(operation))
    return model


def prune(channels: Channels, choice: Choice, name: str | None = None) -> Part:
    """Builds what a choice keeps, with its part of the model's weights.

    Raises:
        ValueError: the choice is not legal for the model.
    """
    channels.check(choice)
    graph = channels.graph
    kept_calls, aliases = remaining_calls(channels, choice)
    first_calls: dict[int, Call] = {}
    for call in kept_calls:
        first_calls.setdefault(id(call.operation), call)
    operations = [call.operation for call in first_calls.values() if isinstance(call.operation, keras.Layer)]
    indices = {graph.layer_names[id(layer)]: _indices(channels, layer, choice) for layer in operations}
    model = copied(
        graph,
        kept_calls,
        changed=lambda layer: _changed(channels, layer, choice, first_calls[id(layer)]),
        taken=lambda layer: indices[graph.layer_names[id(layer)]],
        aliases=aliases,
        name=name,
    )
    return Part(model, indices)


def whole(layer: Any) -> list[list[Indices | None]]:
    """All of a layer's weights."""
    return [[None] * len(weight.shape) for weight in layer.weights]


def _fill(twin: Any, layer: Any, indices: list[list[Indices | None]]) -> None:
    """Gives the twin of a layer its part of the weights."""
    weights = [np.asarray(weight) for weight in layer.weights]
    twin.set_weights([_take(weight, axes) for weight, axes in zip(weights, indices, strict=True)])
    if hasattr(twin, "finalize_state"):
        # Normalization computes with copies of its weights.
        twin.finalize_state()
    # What the user froze stays so only in the user's own model.
    twin.trainable = True


def remaining_calls(channels: Channels, choice: Choice) -> tuple[list[Call], dict[int, int]]:
    """The calls that are left without the removed blocks, and which tensors stand for those that are gone."""
    blocks = [channels.block(name) for name in choice.removed]
    gone = {position for block in blocks for position in block.calls}
    # A block inside a removed one is gone with it: only what still has a reader needs a stand-in, others do no harm.
    aliases = {block.output: block.shortcut for block in blocks}
    kept: list[Call] = []
    rectified: dict[int, Any] = {}
    for position, call in enumerate(channels.graph.calls):
        if position in gone:
            continue
        if is_rectifier(call.operation):
            # Where a block went, its ReLU may come to stand behind the ReLU of the block before: once is enough.
            taken = resolve(call.inputs[0], aliases)
            if taken in rectified and rectified[taken] == _ceiling(call.operation):
                aliases[call.outputs[0]] = taken
                continue
            rectified[call.outputs[0]] = _ceiling(call.operation)
        kept.append(call)
    return kept, aliases


def _ceiling(rectifier: Any) -> float | None:
    """The largest value that a ReLU gives; None where there is none."""
    if type(rectifier).__name__ == "ReLU":
        return rectifier.max_value
    return 6.0 if activation_name(rectifier) == "relu6" else None


def _indices(channels: Channels, layer: Any, choice: Choice) -> list[list[Indices | None]]:
    found = whole(layer)
    for (position, axis), units in channels.axes.get(id(layer), {}).items():
        kept = channels.kept_along(units, choice)
        if len(kept) < len(units.group):
            found[position][axis] = kept
    return found


def _take(weight: NDArray[Any], axes: list[Indices | None]) -> NDArray[Any]:
    for axis, kept in enumerate(axes):
        if kept is not None:
            weight = np.take(weight, kept, axis=axis)
    return weight


def _changed(channels: Channels, layer: Any, choice: Choice, call: Call) -> dict[str, Any]:
    """The settings of a layer that a choice changes."""
    sizes = sizes_of(choice)
    shapes = channels.shapes(layer, sizes)
    kind = type(layer).__name__
    made = channels.tensors.get(call.outputs[0])
    if made is not None:
        return _changed_counts(channels, layer, made, sizes)
    if shapes == [tuple(weight.shape) for weight in layer.weights]:
        return {}

    def size(attribute: str, axis: int) -> int:
        position = next(i for i, weight in enumerate(layer.weights) if weight is getattr(layer, attribute))
        return shapes[position][axis]

    if kind.endswith("Transpose"):
        return {"filters": size("kernel", -2)}
    if kind.startswith("SeparableConv"):
        return {"filters": size("pointwise_kernel", -1)}
    if kind == "Dense":
        return {"units": size("kernel", -1)}
    if kind.startswith("Conv") and hasattr(layer, "filters"):
        filters = size("kernel", -1)
        # Groups of a grouped convolution go whole.
        return {"filters": filters, "groups": layer.groups * filters // layer.filters if layer.groups > 1 else 1}
    if kind == "Embedding":
        return {"output_dim": size("_embeddings", -1)}
    if kind == "LayerScale":
        return {"projection_dim": size("gamma", 0)}
    return {}


def _changed_counts(channels: Channels, layer: Any, made: AxisUnits, sizes: Mapping[int, int]) -> dict[str, Any]:
    """The settings that count channels, of a layer that gives these."""
    length = channels.length(made, sizes)
    if type(layer).__name__ == "Reshape":
        target = tuple(layer.target_shape)
        return {} if target[-1] == -1 else {"target_shape": (*target[:-1], length)}
    return {} if layer.groups == -1 else {"groups": layer.groups * length // len(made.group)}
