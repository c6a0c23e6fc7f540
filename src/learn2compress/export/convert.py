"""Trained Keras models become LiteRT files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from learn2compress.core.dataset import Images
from learn2compress.core.errors import ConversionError, InputError, out_of_memory
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.core.silence import silenced

IDENTIFIER = b"TFL3"
# Operators that scale float32 pixels carry this in their names, so that verification knows them.
PIXELS_SCOPE = "pixels"


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
        if out_of_memory(error):  # that says nothing of the model
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ConversionError("export.failed", f"The converter refused {what}: {lines[0][:300]}") from error
    return model


def to_int8(quantized: keras.Model, size: tuple[int, int], written: FileFormat = FULL_INT8) -> bytes:
    """Writes a fake-quantized model (see `train.fake_quant`) as int8; by default uint8 goes in and out.

    Args:
        quantized: maps `(pixels - 128) / 128` to probabilities or logits, with fake quantization on input and output.
        size: (height, width) of the input.
        written: the types of input and output. An integer input holds the pixels themselves: the scale lies in its
            quantization parameters. In front of a float32 input the scale is two operators in float32.
    """
    import tensorflow as tf

    floats = written.input_type == "float32"
    converter = _converter(from_pixels(quantized) if floats else lambda x: quantized(x, training=False), size)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.inference_input_type = getattr(tf, written.input_type)
    converter.inference_output_type = getattr(tf, written.output_type)
    return _convert(converter, "the quantized member")


def from_pixels(model: keras.Model) -> Callable[[Any], Any]:
    """The function from pixels 0.0 to 255.0 that puts their scale in front of a member's model."""
    import tensorflow as tf

    def call(pixels: Any) -> Any:
        with tf.name_scope(PIXELS_SCOPE):
            scaled = pixels * (1 / 128) - 1.0
        return model(scaled, training=False)

    return call


def to_unrounded(model: keras.Model, size: tuple[int, int], written: FileFormat, samples: Images | None) -> bytes:
    """Writes a member that was not trained with rounding, as float32, float16, dynamic or int16x8.

    Args:
        model: maps `(pixels - 128) / 128` to probabilities or logits; without fake quantization.
        size: (height, width) of the input.
        written: its precision; float32 pixels 0..255 go in, float32 comes out.
        samples: uint8 (n, height, width, 3), what the ranges of int16x8 are calibrated on; None for the others.
    """
    import tensorflow as tf

    converter = _converter(from_pixels(model), size)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if written.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if written.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if written.precision == "int16x8":
        assert samples is not None  # the stages bring them
        # Without the second set, a single operator that has no int16 kernel would be refused; verification names it.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in samples)
    return _convert(converter, f"the member as {written.precision}")


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
