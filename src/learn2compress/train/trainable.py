"""The form a member is trained in: same graph and weights, faster kernels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from learn2compress.graph import walk

# oneDNN normalizes bfloat16 of other multiples eight times as slowly as float32 (`benchmarks/batch_norm.py`).
_BFLOAT16_CHANNELS = 16


@keras.saving.register_keras_serializable("learn2compress")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm that uses TensorFlow's fused kernel in training.

    Keras 3 composes batch norm of separate reductions and products. On a CPU these are bound by memory: a step of a
    small convnet takes 1.8 times as long as with the fused kernel (measured: `benchmarks/batch_norm.py`). On JAX,
    XLA fuses them by itself.
    """

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """(n, h, w, c) -> the same; updates the moving statistics when training."""
        fused = training and self.trainable and keras.backend.backend() == "tensorflow" and len(inputs.shape) == 4
        if not fused:
            return super().call(inputs, training=training)
        from learn2compress.train.fused_kernel import batch_norm

        outputs, mean, variance = batch_norm(inputs, self.gamma, self.beta, self.epsilon)
        # The kernel gives the unbiased variance (n - 1); Keras tracks that of the batch itself (n).
        count = ops.cast(ops.prod(ops.shape(inputs)[:3]), "float32")
        variance = variance * (ops.maximum(count - 1, 1) / count)
        keep = self.momentum
        self.moving_mean.assign(self.moving_mean * keep + mean * (1 - keep))
        self.moving_variance.assign(self.moving_variance * keep + variance * (1 - keep))
        return outputs


def trainable(model: keras.Model, dtype: str, momentum: float) -> keras.Model:
    """A copy for training, with the same layer names and weights.

    Args:
        model: functional model.
        dtype: dtype policy of its layers, `float32` or `mixed_bfloat16`; the last layer stays float32, and so do
            batch norms that are slow in bfloat16.
        momentum: of the batch-norm statistics.
    """
    last = model.layers[-1].name

    def clone(layer: Any) -> Any:
        config = {**layer.get_config(), "dtype": "float32" if layer.name == last else dtype}
        if _is_fusible(layer):
            if keras.backend.backend() == "tensorflow" and layer.gamma.shape[0] % _BFLOAT16_CHANNELS:
                config["dtype"] = "float32"
            return FusedBatchNormalization.from_config({**config, "momentum": momentum})
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def _is_fusible(layer: Any) -> bool:
    """Whether it is a batch norm that TensorFlow's fused kernel computes: by the channel, with both vectors."""
    return isinstance(layer, keras.layers.BatchNormalization) and bool(
        layer.center and layer.scale and walk.is_by_channel(layer)
    )


def plain(model: keras.Model) -> keras.Model:
    """The float32 copy made of ordinary Keras layers only: what is saved and folded."""

    def clone(layer: Any) -> Any:
        config = {**layer.get_config(), "dtype": "float32"}
        if isinstance(layer, FusedBatchNormalization):
            return keras.layers.BatchNormalization.from_config(config)
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def with_pixels(model: keras.Model, name: str) -> keras.Model:
    """Puts the step from pixels 0..255 to `(pixels - 128) / 128` in front, and probabilities behind."""
    inputs = keras.Input(model.input_shape[1:], name="image")
    outputs = model(keras.layers.Rescaling(1 / 128, offset=-1.0, name="pixels")(inputs))
    if not _gives_probabilities(model):
        outputs = keras.layers.Softmax(name="probabilities")(outputs)
    return keras.Model(inputs, outputs, name=name)


def _gives_probabilities(model: keras.Model) -> bool:
    last = model.outputs[0]._keras_history.operation
    if type(last).__name__ == "QuantActivation":
        last = last._inbound_nodes[-1].input_tensors[0]._keras_history.operation
    return isinstance(last, keras.layers.Softmax)


def resized(pixels: Any, size: tuple[int, int]) -> Any:
    """float32 images -> of this size (height, width), bilinear and without aliasing, as data is on loading.

    No `layers.Resizing`: called without word of training, it tells all layers called after it that they train.
    """
    return ops.image.resize(pixels, size, antialias=True)


def scaled(pixels: Any) -> Any:
    """uint8 pixels -> the float32 input of a member, `(pixels - 128) / 128`."""
    return (ops.cast(pixels, "float32") - 128.0) / 128.0
