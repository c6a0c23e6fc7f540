"""A teacher as one computation, from pixels to probabilities: what its baseline files contain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from learn2compress.core.dataset import LUMA
from learn2compress.inputs.teacher import Teacher


def pixels_to_probabilities(teacher: Teacher) -> Callable[[Any], Any]:
    """A function of tensors: float32 pixels 0..255 (n, height, width, 3) to probabilities (n, classes)."""
    from keras import ops

    from learn2compress.graph.lower import without_reversals

    preprocess = teacher.preprocess
    model = None if teacher.keras_model is None else without_reversals(teacher.keras_model)

    def call(pixels: Any) -> Any:
        if teacher.channels == 1:
            grey = ops.round(ops.sum(pixels * ops.array(LUMA, "float32"), axis=-1, keepdims=True))
            values = grey * preprocess.scale[0] + preprocess.offset[0]
        else:
            values = pixels[..., ::-1] if preprocess.bgr else pixels
            if preprocess.name != "raw":
                values = values * ops.array(preprocess.scale, "float32") + ops.array(preprocess.offset, "float32")
        outputs = ops.cast(_answers(teacher, model, values), "float32")
        if teacher.outputs == "logits":
            return ops.softmax(outputs, axis=-1)
        if teacher.outputs == "scores":
            outputs = ops.maximum(outputs, 1e-7)  # as `Teacher.predict` does
            return outputs / ops.sum(outputs, axis=-1, keepdims=True)
        return outputs

    return call


def can_be_traced(teacher: Teacher) -> bool:
    """Whether the teacher is a graph of tensors, which `pixels_to_probabilities` needs."""
    return teacher.keras_model is not None or (teacher.box is not None and teacher.box.symbolic is not None)


def _answers(teacher: Teacher, model: Any, values: Any) -> Any:
    if model is not None:
        return model(values, training=False)
    assert teacher.box is not None  # `can_be_traced` was asked
    assert teacher.box.symbolic is not None
    return teacher.box.symbolic(values)
