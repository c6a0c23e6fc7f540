"""A classifier with other outputs: without those that nobody asks for, or with two for the one of yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.graph.calls import Graph, read_graph
from learn2compress.graph.surgery import copied, whole
from learn2compress.graph.walk import activation_name

# What may stand between the layer that makes the outputs and the end: each output stays by itself.
PASSING = ("Softmax", "Activation", "Dropout", "ReLU", "GlobalAveragePooling2D", "GlobalMaxPooling2D")


def with_outputs(model: Any, kept: NDArray[np.int64]) -> keras.Model:
    """The model with some of its outputs only: rows of the last layer that stand for classes never seen are gone.

    Args:
        model: functional classifier, logits or probabilities (n, classes).
        kept: indices of the outputs to keep, in the new order.

    Returns:
        A model (n, len(kept)) with weights of its own. Where a softmax ends it, its probabilities sum to 1 again.

    Raises:
        UnreadableGraphError: a part of the model is code.
        ValueError: its outputs are not made by a Dense layer or a convolution, alone or with what keeps them apart
            behind: an activation, global pooling, the reshaping of a 1x1 map.
    """
    graph = read_graph(model)
    head, behind = _head(graph)
    if head is None:
        raise ValueError("they are not made by a Dense layer or a convolution")

    def changed(layer: Any) -> dict[str, Any]:
        if layer is head:
            return {_count(head): len(kept)}
        # Of a 1x1 map only: one axis has all the outputs.
        reshapes = layer in behind and type(layer).__name__ == "Reshape"
        return {"target_shape": _narrowed(layer.target_shape, len(kept))} if reshapes else {}

    return copied(
        graph,
        graph.calls,
        changed=changed,
        taken=lambda layer: [[*axes[:-1], kept] for axes in whole(layer)] if layer is head else whole(layer),
    )


def with_two_outputs(model: Any) -> keras.Model:
    """A model of one output, the score of yes, with one for no before it.

    A logit z becomes the logits [0, z]. The sigmoid p of z becomes the softmax of these, which is [1 - p, p].

    Args:
        model: functional, a logit or a probability (n, 1).

    Returns:
        A model (n, 2) with weights of its own: those of the first output are zero.

    Raises:
        UnreadableGraphError: a part of the model is code.
        ValueError: its output is not made by a Dense layer or a convolution, alone or with a sigmoid and what does
            nothing to it behind.
    """
    graph = read_graph(model)
    head, behind = _head(graph)
    if head is None or not _may_be_two([head, *reversed(behind)]):
        raise ValueError("it is not made by a Dense layer or a convolution")

    def changed(layer: Any) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if layer is head:
            settings[_count(head)] = 2
        elif layer in behind and type(layer).__name__ == "Reshape":
            *before, last = layer.target_shape or (1,)
            settings["target_shape"] = (*before, 2 if last == 1 else last)
        if (layer is head or layer in behind) and activation_name(layer) == "sigmoid":
            settings["activation"] = "softmax"
        return settings

    twice = np.array([0, 0])
    both = copied(
        graph,
        graph.calls,
        changed=changed,
        taken=lambda layer: [[*axes[:-1], twice] for axes in whole(layer)] if layer is head else whole(layer),
    )
    if both.output_shape[1:] != (2,):
        raise ValueError(f"it would become an output of shape {both.output_shape}")
    twin = both.get_layer(graph.layer_names[id(head)])
    twin.set_weights([weight * np.array([0, 1], weight.dtype) for weight in twin.get_weights()])
    return both


def with_two_outputs_behind(model: Any, *, probability: bool) -> keras.Model:
    """What `with_two_outputs` does, for a model of any end, by one more layer: it can be cut, but not pruned.

    Args:
        model: one that knows its inputs and outputs; a part of it may be code.
        probability: whether it gives p, which becomes [1 - p, p]; else a logit z, which becomes [0, z].
    """
    taken = model.inputs[0]
    image = keras.Input(batch_shape=tuple(taken.shape), dtype=taken.dtype)
    score = keras.tree.flatten(model(image))[0]
    if len(score.shape) == 1:
        score = keras.layers.Reshape((1,))(score)
    both = keras.layers.Dense(2, name="both_classes")
    outputs = both(score)
    kernel, bias = ([[-1, 1]], [1, 0]) if probability else ([[0, 1]], [0, 0])
    both.set_weights([np.array(kernel, np.float32), np.array(bias, np.float32)])
    return keras.Model(image, outputs, name=model.name)


def _may_be_two(chain: Sequence[Any]) -> bool:
    """Whether a chain of layers, from the one that makes the output to the end, says the same of two outputs.

    A zero must come through as a zero up to the sigmoid, if there is one; behind it, the two must go on to sum to 1.
    """
    squashed = False
    for layer in chain:
        kind, activation = type(layer).__name__, activation_name(layer)
        if kind in ("Softmax", "ReLU") or activation not in ("linear", "sigmoid", None):
            return False
        if squashed and (activation == "sigmoid" or kind == "GlobalMaxPooling2D"):
            return False
        squashed = squashed or activation == "sigmoid"
    return True


def _count(head: Any) -> str:
    """The setting that says how many outputs a layer makes."""
    return "units" if type(head).__name__ == "Dense" else "filters"


def _head(graph: Graph) -> tuple[Any, list[Any]]:
    """The layer that makes the outputs, None where it is of another kind; and those behind it, the last one first."""
    producers = graph.producers()
    number = graph.outputs[0]
    behind: list[Any] = []
    while number in producers:
        layer = graph.calls[producers[number]].operation
        kind = type(layer).__name__
        if kind == "Dense" or (kind == "Conv2D" and layer.groups == 1 and layer.data_format == "channels_last"):
            return layer, behind
        if kind not in PASSING and not (kind in ("Reshape", "Flatten") and _of_one_pixel(layer)):
            return None, []
        behind.append(layer)
        number = graph.calls[producers[number]].inputs[0]
    return None, []


def _of_one_pixel(layer: Any) -> bool:
    """Whether a layer reshapes the outputs alone: a map (n, 1, 1, outputs), or a vector."""
    shape = layer.input.shape[1:]
    return None not in shape and int(np.prod(shape)) == shape[-1]


def _narrowed(target: tuple[int, ...], outputs: int) -> tuple[int, ...]:
    return tuple(size if size in (1, -1) else outputs for size in target)
