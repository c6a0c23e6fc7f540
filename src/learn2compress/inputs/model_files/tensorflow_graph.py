"""What frozen graphs and SavedModels have in common once TensorFlow has loaded them: tensors are ports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import InputError
from learn2compress.inputs.model_files.black_box import BlackBox, box_runner
from learn2compress.inputs.model_files.ports import ImageForm, Port
from learn2compress.inputs.preprocessing import RAW
from learn2compress.inputs.runner import Runner
from learn2compress.inputs.wording import shortened

# In what TensorFlow says where it has no operation for channels first: "only supports the NHWC tensor format".
_LAST_ONLY = "NHWC"


def port_of(tensor: Any, name: str) -> Port:
    """A tensor, or its `TensorSpec`, as an input or output of that name."""
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return Port(name, shape, tensor.dtype.name)


def graph_box(
    kind: str, name: str, function: Callable[[Any], Any], form: ImageForm, digest: str, parameters: int | None
) -> BlackBox:
    """A TensorFlow function as a black box.

    Args:
        kind, digest, parameters: see `BlackBox`.
        name: of the model, for errors.
        function: from a tensor as the model takes it to its scores.
        form: what it takes.
    """
    import tensorflow as tf

    def call(stored: NDArray[Any]) -> Any:
        return function(tf.constant(stored))

    def symbolic(images: Any) -> Any:
        dtype = tf.dtypes.as_dtype(form.port.dtype)
        values = tf.transpose(images, (0, 3, 1, 2)) if form.channels_first else images
        if not dtype.is_floating:
            values = tf.clip_by_value(tf.round(values), dtype.min, min(dtype.max, 255))
        outputs = function(tf.cast(values, dtype))
        # (n, 1, 1, classes), as a last convolution gives, or (n,), of a single score.
        classes = outputs.shape[-1] if outputs.shape.rank > 1 else 1
        return tf.reshape(outputs, (-1, classes)) if outputs.shape.rank != 2 else outputs

    return BlackBox(
        kind,
        form,
        digest,
        _telling_of_layout(box_runner(call, form, name), name),
        preprocess=None if np.dtype(form.port.dtype).kind == "f" else RAW,
        parameters=parameters,
        # The converter wants a batch of one.
        symbolic=symbolic if form.batch in (None, 1) else None,
    )


def _telling_of_layout(run: Runner, name: str) -> Runner:
    """The same, which says so where operations have the channels first and TensorFlow can't run them."""

    def told(images: NDArray[np.float32]) -> NDArray[Any]:
        try:
            return run(images)
        except InputError as error:
            cause = error.__cause__
            if cause is None or _LAST_ONLY not in str(cause):
                raise
            raise InputError(
                "teacher.channels_first",
                f"{name} computes with the channels first (NCHW), which TensorFlow can't do on this processor "
                f"({shortened(cause)}).",
                "export it to ONNX, which runs in either layout; or export the model with the channels last (NHWC): "
                "data_format='channels_last' in Keras, 'NHWC' in TensorFlow; kernels have the same shape.",
            ) from error

    return told


def load_failed(path: Path, error: Exception) -> InputError:
    """The error for what TensorFlow can't load."""
    import tensorflow as tf

    reason = shortened(error, 300)
    if "Op type not registered" in str(error):
        return InputError(
            "teacher.custom_ops",
            f"{path} needs an operation that TensorFlow {tf.__version__} does not have ({reason}).",
            "export the model with TensorFlow's own operations; or load what it needs in Python, and pass a function "
            "that calls the model to learn2compress.compress(function, ...).",
        )
    return InputError(
        "teacher.load_failed",
        f"TensorFlow {tf.__version__} can't load {path} ({reason}).",
        "load it with the version that wrote it and export it again; or pass a function that calls the model to "
        "learn2compress.compress(function, ...).",
    )
