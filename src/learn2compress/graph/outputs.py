"""A classifier without the outputs that nobody asks for: rows of the last layer that stand for classes never seen."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.graph.calls import Graph, read_graph
from learn2compress.graph.surgery import copied, whole

# What may stand between the layer that makes the outputs and the end: each output stays by itself.
PASSING = ("Softmax", "Activation", "Dropout", "ReLU", "GlobalAveragePooling2D", "GlobalMaxPooling2D")


def with_outputs(model: Any, kept: NDArray[np.int64]) -> keras.Model:
    """The model with some of its outputs only.

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
    head, reshaped = _head(graph)
    if head is None:
        raise ValueError("they are not made by a Dense layer or a convolution")
    count = "units" if type(head).__name__ == "Dense" else "filters"

    def changed(layer: Any) -> dict[str, Any]:
        if layer is head:
            return {count: len(kept)}
        # Of a 1x1 map only: one axis has all the outputs.
        return {"target_shape": _narrowed(layer.target_shape, len(kept))} if layer in reshaped else {}

    return copied(
        graph,
        graph.calls,
        changed=changed,
        taken=lambda layer: [[*axes[:-1], kept] for axes in whole(layer)] if layer is head else whole(layer),
    )


def _head(graph: Graph) -> tuple[Any, list[Any]]:
    """The layer that makes the outputs, None where it is of another kind; and the reshapings behind it."""
    producers = graph.producers()
    number = graph.outputs[0]
    reshaped: list[Any] = []
    while number in producers:
        layer = graph.calls[producers[number]].operation
        kind = type(layer).__name__
        if kind == "Dense" or (kind == "Conv2D" and layer.groups == 1 and layer.data_format == "channels_last"):
            return layer, reshaped
        if kind in ("Reshape", "Flatten"):
            if not _of_one_pixel(layer):
                return None, []
            reshaped += [layer] if kind == "Reshape" else []
        elif kind not in PASSING:
            return None, []
        number = graph.calls[producers[number]].inputs[0]
    return None, []


def _of_one_pixel(layer: Any) -> bool:
    """Whether a layer reshapes the outputs alone: a map (n, 1, 1, outputs), or a vector."""
    shape = layer.input.shape[1:]
    return None not in shape and int(np.prod(shape)) == shape[-1]


def _narrowed(target: tuple[int, ...], outputs: int) -> tuple[int, ...]:
    return tuple(size if size in (1, -1) else outputs for size in target)
