"""The same model for images of another size: what a convolution learnt, it can do on fewer pixels."""

from __future__ import annotations

from typing import Any

import keras

from learn2compress.graph import walk
from learn2compress.graph.calls import UnreadableGraphError, kind_of, read_graph
from learn2compress.graph.lower_layers import ONLY_IN_TRAINING
from learn2compress.graph.slices import Part


def of_fixed_size(model: Any, size: tuple[int, int]) -> Any:
    """A model that takes images of any size, made for this one; a model that says which it takes stays as it is.

    Args:
        model: any; what is no functional or sequential model stays as it is.
        size: (height, width).
    """
    whole = walk.functional(model)
    if not walk.is_functional(whole) or len(whole.inputs) != 1:
        return model
    shape = tuple(whole.inputs[0].shape)
    if len(shape) != 4 or None not in shape[1:3]:
        return model
    image = keras.Input((*size, *shape[3:]), dtype=whole.inputs[0].dtype, name=whole.inputs[0].name)
    return keras.Model(image, whole(image), name=whole.name)


def resized_to(model: Any) -> tuple[int, int] | None:
    """The size (height, width) that a model brings its images to before all else; None where it leaves them as is."""
    try:
        calls = read_graph(model).calls
    except UnreadableGraphError:
        return None
    for call in calls:
        if kind_of(call.operation) == "Resizing":
            return int(call.operation.height), int(call.operation.width)
        if kind_of(call.operation) not in ("Rescaling", "Normalization", *ONLY_IN_TRAINING):
            return None
    return None


def at_size(part: Part, size: tuple[int, int]) -> Part:
    """The member with equal layers and weights, for images of this size; itself where it takes such already.

    Args:
        part: its model is functional, of plain layers.
        size: (height, width).

    Raises:
        ValueError: the layers don't fit images of this size: one flattens a map or pools it to nothing.
    """
    model = part.model
    if tuple(model.input_shape[1:3]) == tuple(size):
        return part
    image = keras.Input((*size, *model.input_shape[3:]), name=model.inputs[0].name)
    # Refuses what does not fit: a map pooled to nothing here, a kernel of another shape when weights are set.
    other = keras.models.clone_model(model, input_tensors=image)
    other.set_weights(model.get_weights())
    return Part(other, part.positions)
