"""A classifier without the outputs that nobody asks for: rows of the last layer that stand for classes never seen."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.graph.calls import Graph, read_graph
from learn2compress.graph.surgery import copied, whole

ELEMENTWISE = ("Softmax", "Activation", "Dropout")


def with_outputs(model: Any, kept: NDArray[np.int64]) -> keras.Model:
    """The model with some of its outputs only.

    Args:
        model: functional classifier, logits or probabilities (n, classes).
        kept: indices of the outputs to keep, in the new order.

    Returns:
        A model (n, len(kept)) with weights of its own. Where a softmax ends it, its probabilities sum to 1 again.

    Raises:
        UnreadableGraphError: a part of the model is code.
        ValueError: its outputs are not made by a Dense layer, alone or with an activation behind.
    """
    graph = read_graph(model)
    head = _head(graph)
    if head is None:
        raise ValueError("they are not made by a Dense layer")
    return copied(
        graph,
        graph.calls,
        changed=lambda layer: {"units": len(kept)} if layer is head else {},
        taken=lambda layer: [[*axes[:-1], kept] for axes in whole(layer)] if layer is head else whole(layer),
    )


def _head(graph: Graph) -> Any:
    """The Dense layer that makes the outputs; None where another kind does."""
    producers = graph.producers()
    number = graph.outputs[0]
    while number in producers:
        call = graph.calls[producers[number]]
        if type(call.operation).__name__ == "Dense":
            return call.operation
        if type(call.operation).__name__ not in ELEMENTWISE:
            return None
        number = call.inputs[0]
    return None
