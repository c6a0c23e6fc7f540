"""The same model for images of another size: what a convolution learnt, it can do on fewer pixels."""

from __future__ import annotations

from typing import Any

import keras

from learn2compress.graph import walk
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
    whole = walk.functional(model)
    if not walk.is_functional(whole):
        return None
    for layer, _ in walk.nodes(whole):
        if type(layer).__name__ == "Resizing":
            return int(layer.height), int(layer.width)
        if type(layer).__name__ not in ("InputLayer", "Rescaling", "Normalization"):
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
