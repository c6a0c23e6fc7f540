"""Trained Keras models become LiteRT files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from learn2compress.core.dataset import Images
from learn2compress.core.errors import ConversionError, InputError
from learn2compress.core.silence import silenced

IDENTIFIER = b"TFL3"


def check_backend() -> None:
    """Refuses a Keras backend whose models can't be written as LiteRT files from here.

    Raises:
        InputError: `backend.unsupported`.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise InputError(
            "backend.unsupported",
            f"Keras runs on {backend}; LiteRT files are written from TensorFlow.",
            "set the environment variable KERAS_BACKEND to tensorflow before Keras is imported.",
        )


def _concrete(call: Callable[[Any], Any], size: tuple[int, int], channels: int = 3) -> Any:
    """A concrete function with a static batch of one: XNNPACK takes only static shapes."""
    import tensorflow as tf

    spec = tf.TensorSpec((1, *size, channels), tf.float32, name="image")

    @tf.function(autograph=False)
    def serve(image: Any) -> Any:
        return tf.identity(call(image), name="probabilities")

    return serve.get_concrete_function(spec)


# The converter gets concrete functions *without* the model beside them. It then freezes the variables into constants
# first, which fake quantization needs (its ranges must be constants), and which Keras 3 models need: handed over
# together with the model they come out without their weights, silently.


def _converter(call: Callable[[Any], Any], size: tuple[int, int]) -> Any:
    import tensorflow as tf

    # absl keeps a handler of its own on the real standard error.
    logging.getLogger("absl").setLevel(logging.ERROR)
    with silenced():
        return tf.lite.TFLiteConverter.from_concrete_functions([_concrete(call, size)])


def _convert(converter: Any, what: str) -> bytes:
    try:
        with silenced():
            model: bytes = converter.convert()
    except Exception as error:  # the converter raises anything, from ValueError to its own ConverterError
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ConversionError("export.failed", f"The converter refused {what}: {lines[0][:300]}") from error
    return model


def to_int8(quantized: keras.Model, size: tuple[int, int]) -> bytes:
    """Writes a fake-quantized model (see `train.fake_quant`) as full-int8, uint8 pixels in, uint8 probabilities out.

    Args:
        quantized: maps `(pixels - 128) / 128` to probabilities, with fake quantization on input and output.
        size: (height, width) of the input.
    """
    import tensorflow as tf

    converter = _converter(lambda x: quantized(x, training=False), size)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return _convert(converter, "the quantized member")


def to_float32(call: Callable[[Any], Any], size: tuple[int, int]) -> bytes:
    """Writes `call` (float32 pixels 0..255 -> probabilities) as a float32 file."""
    import tensorflow as tf

    converter = _converter(call, size)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return _convert(converter, "the teacher")


def to_post_training_int8(call: Callable[[Any], Any], size: tuple[int, int], samples: Images) -> bytes:
    """Writes `call` as int8 after training, calibrated on `samples` (n, height, width, 3): the usual baseline."""
    import tensorflow as tf

    converter = _converter(call, size)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return _convert(converter, "the teacher (post-training int8)")
