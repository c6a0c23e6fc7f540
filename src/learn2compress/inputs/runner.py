"""Running a model over many images: in batches, through a compiled function where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Images
from learn2compress.core.errors import InputError
from learn2compress.inputs.preprocessing import Preprocessing
from learn2compress.inputs.wording import shortened

# Preprocessed images (n, height, width, channels) to outputs (n, ...), as NumPy arrays.
Runner = Callable[[NDArray[np.float32]], NDArray[Any]]

_BATCH_PIXELS = 2**21  # of activations' first layer: 256 images at 64 px, 41 at 224 px
_BATCH_LIMIT = 256
# A model is first tried on a few images: compiling it for these takes longer than running it layer by layer.
_UNCOMPILED_IMAGES = 8


def run_all(run: Runner, preprocess: Preprocessing, images: Images, channels: int) -> NDArray[np.float32]:
    """Outputs for uint8 RGB images (n, height, width, 3), in batches of one size; shape (n, ...)."""
    batch = max(1, min(_BATCH_LIMIT, _BATCH_PIXELS // max(1, images.shape[1] * images.shape[2])))
    outputs = []
    for start in range(0, len(images), batch):
        outputs.append(run(preprocess.apply(images[start : start + batch], channels)))
    return np.concatenate(outputs).astype(np.float32, copy=False)


def keras_runner(model: Any, image_shape: tuple[int, int, int], name: str) -> Runner:
    """A forward pass of a Keras model in inference mode, compiled when more than a few images have come.

    Args:
        model: a `keras.Model` with one input and one output.
        image_shape: (height, width, channels).
        name: what to call it in errors.

    Returns:
        A function that raises `teacher.call_failed` when the model can't be run.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        forward = _tensorflow_forward(model, image_shape)
    else:
        forward = _other_forward(model)

    def run(images: NDArray[np.float32]) -> NDArray[Any]:
        try:
            outputs = keras.tree.flatten(forward(images))
            if len(outputs) != 1:
                raise ValueError(f"it gives {len(outputs)} outputs")
            return _as_outputs(outputs[0], len(images))
        except Exception as error:
            raise InputError(
                "teacher.call_failed",
                f"{name} can't be run on images of shape {images.shape[1:]} ({shortened(error)}).",
                "call it once yourself on such images: model(np.zeros((1, height, width, channels))).",
            ) from error

    return run


def _tensorflow_forward(model: Any, image_shape: tuple[int, int, int]) -> Callable[[NDArray[np.float32]], Any]:
    import tensorflow as tf

    # A signature with an open batch size is traced once, whatever the last batch's size.
    signature = [tf.TensorSpec((None, *image_shape), tf.float32)]
    function = tf.function(lambda images: model(images, training=False), input_signature=signature)
    seen = 0

    def forward(images: NDArray[np.float32]) -> Any:
        nonlocal seen
        seen += len(images)
        if seen <= _UNCOMPILED_IMAGES:
            return model(tf.convert_to_tensor(images), training=False)
        return function(tf.convert_to_tensor(images))

    return forward


def _other_forward(model: Any) -> Callable[[NDArray[np.float32]], Any]:
    largest = 0

    def forward(images: NDArray[np.float32]) -> Any:
        # JAX compiles for each shape: the last, smaller batch is filled up to the others' size.
        nonlocal largest
        largest = max(largest, len(images))
        filled = np.concatenate([images, np.repeat(images[-1:], largest - len(images), axis=0)])
        return np.asarray(model.predict_on_batch(filled))[: len(images)]

    return forward


def callable_runner(function: Callable[..., Any], size: tuple[int, int], name: str) -> Runner:
    """A runner for a Python callable, which is tried with float32 images and, where that fails, with uint8.

    Where it takes neither, it is tried with the channels first, as PyTorch has them.

    Args:
        function: takes images (n, height, width, 3) with values 0..255 and returns scores (n, classes).
        size: (height, width).
        name: what to call it in errors.

    Raises:
        InputError: `teacher.call_failed` when it accepts neither.
    """
    blank = np.zeros((2, *size, 3), np.float32)
    try:
        _as_outputs(function(blank), len(blank))
    except Exception as first:  # noqa: BLE001 - the user's code may raise anything; the reason is told below
        try:
            _as_outputs(function(blank.astype(np.uint8)), len(blank))
        except Exception as second:
            if _takes_channels_first(function, blank):
                return _guarded(lambda images: function(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), name)
            raise InputError(
                "teacher.call_failed",
                f"{name} can't be called on images of shape (n, {size[0]}, {size[1]}, 3): with float32 it "
                f"says {shortened(first)}; with uint8 {shortened(second)}.",
                "it must take such an array, with values 0..255, and return an array of scores (n, classes).",
            ) from second
        return _guarded(lambda images: function(np.clip(np.rint(images), 0, 255).astype(np.uint8)), name)
    return _guarded(function, name)


def _takes_channels_first(function: Callable[..., Any], blank: NDArray[np.float32]) -> bool:
    try:
        _as_outputs(function(np.ascontiguousarray(blank.transpose(0, 3, 1, 2))), len(blank))
    except Exception:  # noqa: BLE001 - the user's code may raise anything
        return False
    return True


def _guarded(function: Callable[..., Any], name: str) -> Runner:
    def run(images: NDArray[np.float32]) -> NDArray[Any]:
        try:
            return _as_outputs(function(images), len(images))
        except Exception as error:
            raise InputError(
                "teacher.call_failed",
                f"{name} failed on a batch of shape {images.shape} ({shortened(error)}).",
                "it must take float32 images of any number and return an array of scores (n, classes).",
            ) from error

    return run


def _as_outputs(value: Any, examples: int) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"it returns {array.dtype} values, not scores")
    if array.ndim == 0 or len(array) != examples:
        raise ValueError(f"for {examples} images it returns an array of shape {array.shape}")
    return array
