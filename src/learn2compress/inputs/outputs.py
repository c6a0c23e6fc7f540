"""What a teacher's outputs are, and probabilities made of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Probabilities

Outputs = Literal["probabilities", "scores", "logits"]


def as_probabilities(outputs: NDArray[np.float32], kind: Outputs) -> Probabilities:
    """Outputs (n, classes) of the given kind as probabilities that sum to 1 in each row."""
    if kind == "logits":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
    if kind == "scores":
        positive = np.maximum(outputs, 1e-7)
        return np.asarray(positive / positive.sum(axis=1, keepdims=True), np.float32)
    return outputs


def outputs_kind(keras_model: Any, outputs: NDArray[np.float32]) -> Outputs:
    """Told by the outputs on real images, and by the last activation where they leave a doubt.

    Logits may happen to lie in 0..1 too: there a model is believed whose end can be read and is no sigmoid.

    Args:
        keras_model: the model, or None for a callable.
        outputs: finite, shape (examples, classes).
    """
    activation = last_activation(keras_model)
    never_negative = outputs.min() >= -1e-6
    sums_to_one = np.abs(outputs.sum(axis=1) - 1).max() < 1e-3
    if activation == "softmax" or (never_negative and sums_to_one):
        return "probabilities"
    in_unit_range = never_negative and outputs.max() <= 1 + 1e-6
    if in_unit_range and activation in ("sigmoid", None):
        return "scores"
    return "logits"


def last_activation(keras_model: Any) -> str | None:
    """`softmax` for `Dense(10, activation="softmax")` or a Softmax layer at the end, `linear` where there is none.

    None where it can't be told: there is no model to read, or what ends it is code.
    """
    if keras_model is None:
        return None
    from learn2compress.graph.calls import UnreadableGraphError, read_graph

    try:
        graph = read_graph(keras_model)
    except UnreadableGraphError:
        return None
    makers = graph.producers()
    number = graph.outputs[0]
    while number in makers:
        call = graph.calls[makers[number]]
        kind, name = type(call.operation).__name__, _activation(call.operation)
        # What is put behind a sigmoid to give float32 where the model computes in float16.
        if kind in ("Identity", "Dropout") or (kind == "Activation" and name == "linear"):
            number = call.inputs[0]
            continue
        return name
    return "linear"


def _activation(operation: Any) -> str | None:
    """Name of what an operation does last, in lower case; None where that is up to code of the user's own."""
    # An operation without an activation may be one itself.
    function = getattr(operation, "activation", None) or type(operation)
    name = str(getattr(function, "__name__", "")).lower()
    if name in ("softmax", "sigmoid"):
        return name
    own = str(function.__module__).partition(".")[0] not in ("keras", "tensorflow", __name__.partition(".")[0])
    return None if own else name
