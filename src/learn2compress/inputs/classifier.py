"""Whether a model is what can be compressed: one image in, one score per class out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.class_mapping import imagenet_outputs
from learn2compress.inputs.wording import counted, listed

_EXPECTED = "expected is an image classifier: one input (height, width, 3), one output with a score per class"


@dataclass(frozen=True)
class ClassifierShape:
    """What goes in and comes out.

    Attributes:
        size: (height, width); None where the model takes any.
        channels: 3, or 1 for grey images.
        classes: number of scores; 1 of a yes/no model.
    """

    size: tuple[int, int] | None
    channels: int
    classes: int


def classifier_shape(model: Any, name: str) -> ClassifierShape | None:
    """Reads the shapes off a Keras model.

    Args:
        model: a `keras.Model`.
        name: what to call it in errors.

    Returns:
        None where the model has no symbolic inputs (it is subclassed, or not built yet): try it out.

    Raises:
        InputError: `teacher.many_inputs`, `teacher.many_outputs`, `teacher.not_an_image`,
            `teacher.channels_first`, `teacher.not_a_classifier`.
    """
    try:
        inputs, outputs = list(model.inputs), list(model.outputs)
    except (AttributeError, TypeError, ValueError):  # Keras raises either for a model that is not built
        return None
    if len(inputs) != 1:
        raise InputError("teacher.many_inputs", f"{name} has {len(inputs)} inputs; {_EXPECTED}.", _wrap("input"))
    if len(outputs) != 1:
        raise InputError("teacher.many_outputs", f"{name} has {len(outputs)} outputs; {_EXPECTED}.", _wrap("output"))
    size, channels = _image_shape(tuple(inputs[0].shape), name)
    return ClassifierShape(size, channels, class_count(tuple(outputs[0].shape), name))


def _wrap(end: str) -> str:
    return f"make a model of the one {end} that matters: keras.Model(model.inputs[0], model.outputs[0])."


def _image_shape(shape: tuple[int | None, ...], name: str) -> tuple[tuple[int, int] | None, int]:
    if len(shape) != 4:
        kind = {2: "vectors", 3: "sequences", 5: "volumes or videos"}.get(len(shape), "something else")
        raise InputError(
            "teacher.not_an_image",
            f"{name} takes {kind} (shape {shape}), not images; {_EXPECTED}.",
            "give another model.",
        )
    _, height, width, channels = shape
    if channels not in (1, 3):
        if height in (1, 3):
            raise InputError(
                "teacher.channels_first",
                f"{name} takes images with the channels first (shape {shape}); {_EXPECTED}.",
                "build it with data_format='channels_last' and load the weights into that.",
            )
        raise InputError(
            "teacher.not_an_image",
            f"{name} takes images of {channels} channels (shape {shape}); {_EXPECTED}.",
            "give a model that takes colour (3 channels) or grey (1 channel) images.",
        )
    if height is None or width is None:
        return None, channels
    return (height, width), channels


def class_count(shape: tuple[int | None, ...], name: str) -> int:
    """Number of scores of an output of this shape: (n, classes), or one score (n, 1) or (n,).

    Raises:
        InputError: `teacher.not_a_classifier`.
    """
    if len(shape) == 1:
        return 1
    count = shape[-1] if len(shape) == 2 else None
    if count is not None and count >= 1:
        return count
    raise InputError(
        "teacher.not_a_classifier",
        f"{name} gives outputs of shape {shape}; {_EXPECTED}, so the shape (None, classes).",
        "add what makes one score per class of it, such as GlobalAveragePooling2D() and Dense(classes).",
    )


def kept_outputs(classes: int, dataset: Dataset, name: str, progress: Progress) -> NDArray[np.int64] | None:
    """Which output stands for each class of the data, as far as names tell; None where they are taken as they come.

    The user's own names go before everything; the classes of ImageNet are known. One output more than classes is
    let through: `label_order.find_order` finds out which of them is a background class.

    Raises:
        InputError: `teacher.class_count` when the teacher's classes are not as many as those named, or as the data's
            where none are named beside; `teacher.class_names` where ImageNet's are unclear.
    """
    names = dataset.output_names
    if not names:
        outputs = imagenet_outputs(classes, dataset.class_names, name, progress)
        if outputs is None and classes != dataset.classes + 1:
            refuse_other_class_count(classes, dataset.class_names, name)
        return None if outputs is None or np.array_equal(outputs, np.arange(classes)) else outputs
    if classes != len(names):
        raise InputError(
            "teacher.class_count",
            f"{name} tells {counted(classes, 'class', 'classes')} apart, but the labels name {len(names)}, of "
            f"which the data has {len(dataset.class_names)}.",
            "name with --labels the class of each output of the model, in their order.",
        )
    gone = [one for one in names if one not in dataset.class_names]
    if not gone:
        return None
    progress.warn(
        f"{len(gone)} of the {classes} outputs of {name} stand for classes that the data does not have, such as "
        f"{listed(gone, 5)}: they are left out, and the family will not know these classes."
    )
    return np.array([names.index(one) for one in dataset.class_names])


def refuse_other_class_count(classes: int, class_names: tuple[str, ...], name: str) -> None:
    """Raises `teacher.class_count` when the teacher's classes are not as many as the data's."""
    if classes == len(class_names):
        return
    raise InputError(
        "teacher.class_count",
        f"{name} tells {counted(classes, 'class', 'classes')} apart, but the data has {len(class_names)}.",
        "give the data that the model was trained for, with one folder (or label) per class it knows; a folder that "
        "is no class must not lie among them. Where the data has only some of the model's classes, name them all "
        "with --labels FILE, one a line in the order of the model's outputs.",
    )
