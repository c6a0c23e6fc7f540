"""The same model for images of another size: what a convolution learnt, it can do on fewer pixels."""

from __future__ import annotations

import keras

from learn2compress.graph.slices import Part


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
