"""Trained Keras models become LiteRT files."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from learn2compress.core.dataset import Images
from learn2compress.core.errors import ConversionError

IDENTIFIER = b"TFL3"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the converter's chatter (Python and C++ level) off the terminal."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    stdout = io.StringIO()
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings(), contextlib.redirect_stdout(stdout):
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            logger.setLevel(level)


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


def _convert(converter: Any, what: str) -> bytes:
    try:
        with _quiet():
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

    function = _concrete(lambda x: quantized(x, training=False), size)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return _convert(converter, "the quantized member")


def to_float32(call: Callable[[Any], Any], size: tuple[int, int]) -> bytes:
    """Writes `call` (float32 pixels 0..255 -> probabilities) as a float32 file."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_concrete(call, size)])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return _convert(converter, "the teacher")


def to_post_training_int8(call: Callable[[Any], Any], size: tuple[int, int], samples: Images) -> bytes:
    """Writes `call` as int8 after training, calibrated on `samples` (n, height, width, 3): the usual baseline."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_concrete(call, size)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return _convert(converter, "the teacher (post-training int8)")
