"""Fake quantization: the trained graph with int8 rounding put in where LiteRT's int8 kernels will round.

Weights: symmetric, per output channel (per tensor for Dense and Conv2DTranspose, whose per-channel form the converter
refuses).
Activations: asymmetric, per tensor, ranges tracked as moving averages of each batch's minimum and maximum
(Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
from keras import ops
from keras.quantizers import fake_quant_with_min_max_vars

from learn2compress.graph import walk

PACKAGE = "learn2compress"

# Pixels 0..255 enter as (p - 128) / 128: exactly representable, so the uint8 pixel *is* the quantized value.
INPUT_SCALE = 1 / 128
INPUT_RANGE = (-1.0, 127 / 128)
# LiteRT's int8 SOFTMAX has the fixed output scale 1/256.
PROBABILITY_RANGE = (0.0, 255 / 256)
# So have the kernels of these.
FIXED_RANGES = {"sigmoid": (0.0, 255 / 256), "softmax": PROBABILITY_RANGE, "tanh": (-1.0, 127 / 128)}
# Their kernels take no activation in.
NEVER_FUSED = ("LeakyReLU", "PReLU")
# What int8 can't hold beyond it is cut off: no kernel need do it.
CLIPPED_RANGE = (0.0, 1.0)
SMALLEST_RANGE = 1e-4


def _per_channel(kernel: Any) -> Any:
    """Fake-quantizes (h, w, in, out) with one symmetric scale per output channel."""
    largest = ops.max(ops.abs(ops.stop_gradient(kernel)), axis=(0, 1, 2))
    largest = ops.maximum(largest, SMALLEST_RANGE)
    return fake_quant_with_min_max_vars(kernel, -largest, largest, num_bits=8, narrow_range=True, axis=3)


def _per_tensor(kernel: Any) -> Any:
    """Fake-quantizes with one symmetric scale."""
    largest = ops.maximum(ops.max(ops.abs(ops.stop_gradient(kernel))), SMALLEST_RANGE)
    return fake_quant_with_min_max_vars(kernel, -largest, largest, num_bits=8, narrow_range=True)


@keras.saving.register_keras_serializable(PACKAGE)
class QuantConv2D(keras.layers.Conv2D):
    """Conv2D, grouped or not, whose kernel is rounded to int8, per output channel."""

    def call(self, inputs: Any) -> Any:
        """(n, h, w, in) -> (n, h', w', out)."""
        kernel = _per_channel(self.kernel)
        outputs = ops.conv(inputs, kernel, self.strides, self.padding, dilation_rate=self.dilation_rate)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


@keras.saving.register_keras_serializable(PACKAGE)
class QuantDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D whose kernel is rounded to int8, per output channel."""

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', c * multiplier)."""
        height, width, channels, multiplier = self.kernel.shape
        # Per-channel ranges go along the last axis only, so the channels are brought there and back.
        flat = ops.reshape(self.kernel, (height, width, 1, channels * multiplier))
        kernel = ops.reshape(_per_channel(flat), self.kernel.shape)
        outputs = ops.depthwise_conv(
            inputs, kernel, strides=self.strides, padding=self.padding, dilation_rate=self.dilation_rate
        )
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


@keras.saving.register_keras_serializable(PACKAGE)
class QuantConv2DTranspose(keras.layers.Conv2DTranspose):
    """Conv2DTranspose whose kernel is rounded to int8, per tensor."""

    def call(self, inputs: Any) -> Any:
        """(n, h, w, in) -> (n, h', w', out)."""
        kernel = _per_tensor(self.kernel)
        outputs = ops.conv_transpose(
            inputs, kernel, self.strides, self.padding, self.output_padding, dilation_rate=self.dilation_rate
        )
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


@keras.saving.register_keras_serializable(PACKAGE)
class QuantDense(keras.layers.Dense):
    """Dense whose kernel is rounded to int8, per tensor."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """(n, in) -> (n, out)."""
        outputs = ops.matmul(inputs, _per_tensor(self.kernel))
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


@keras.saving.register_keras_serializable(PACKAGE)
class QuantActivation(keras.layers.Layer):
    """Rounds activations to 8 bits in a range that is fixed or tracked.

    Args:
        fixed: (low, high), or None to track the range while `rate` is above zero.
    """

    def __init__(self, fixed: tuple[float, float] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fixed = tuple(fixed) if fixed is not None else None

    def build(self, input_shape: Any) -> None:
        """Creates the range's variables (scalars)."""
        low, high = self.fixed or (0.0, 0.0)
        constant = keras.initializers.Constant
        self.low = self.add_weight(name="low", shape=(), initializer=constant(low), trainable=False)
        self.high = self.add_weight(name="high", shape=(), initializer=constant(high), trainable=False)
        # Share of a batch's range that goes into the tracked one; a variable, so that a phase of training can
        # change it without building the step anew.
        self.rate = self.add_weight(name="rate", shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Any shape -> the same."""
        if self.fixed is not None:
            return fake_quant_with_min_max_vars(inputs, *self.fixed, num_bits=8)
        if training:
            values = ops.stop_gradient(inputs)
            # Zero must be in the range: padding and ReLU need it exactly.
            low = ops.minimum(ops.min(values), 0.0)
            high = ops.maximum(ops.max(values), SMALLEST_RANGE)
            self.low.assign(self.low + self.rate * (low - self.low))
            self.high.assign(self.high + self.rate * (high - self.high))
        high = ops.maximum(self.high, self.low + SMALLEST_RANGE)
        return fake_quant_with_min_max_vars(inputs, self.low, high, num_bits=8)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "fixed": self.fixed}


QUANTIZED: dict[str, Any] = {
    "Conv2D": QuantConv2D,
    "Conv2DTranspose": QuantConv2DTranspose,
    "DepthwiseConv2D": QuantDepthwiseConv2D,
    "Dense": QuantDense,
}


def is_rounded(layer: Any, users: dict[str, list[Any]]) -> bool:
    """Whether int8 kernels write a tensor of its own for the layer.

    Args:
        layer: of a folded graph.
        users: its `walk.consumers`.
    """
    if type(layer).__name__ in walk.SAME_SCALE_LAYERS:
        return False
    # An int8 kernel clamps and rounds once, after the ReLU.
    return not _fused(layer, users)


def _fused(layer: Any, users: dict[str, list[Any]]) -> bool:
    following = users[layer.name]
    plain = not walk.is_rectifier(layer) and walk.activation_name(layer) in ("linear", None)
    plain = plain and not walk.float_reason(layer) and type(layer).__name__ not in NEVER_FUSED
    return len(following) == 1 and walk.is_rectifier(following[0]) and plain


def _clips(layer: Any) -> bool:
    return walk.is_rectifier(layer) and getattr(layer, "max_value", None) == CLIPPED_RANGE[1]


def _fixed_range(layer: Any) -> tuple[float, float] | None:
    """The range of the layer's output that is known without looking; None where it has to be tracked."""
    return CLIPPED_RANGE if _clips(layer) else FIXED_RANGES.get(walk.activation_name(layer) or "")


def float_by_nature(folded: keras.Model) -> dict[str, str]:
    """The layers that an integer file computes in float32, between rounded tensors, by their names, and why."""
    return {layer.name: reason for layer in folded.layers if (reason := walk.float_reason(layer))}


def computed_in_float(folded: keras.Model, wide: Collection[str]) -> frozenset[str]:
    """Names of the layers that the converter leaves in float32 where these tensors are not rounded.

    A tensor that is not rounded is written, and read, in float32: by the layer itself, by a layer that is fused into
    it, and by all that take it, through those that only move values.

    Args:
        folded: the graph that is fake-quantized.
        wide: names of the layers whose outputs are not rounded.
    """
    users = walk.consumers(folded)
    producers = {layer.name: inputs for layer, inputs in walk.nodes(folded)}
    found: set[str] = set()

    def read_by(name: str) -> None:
        for user in users[name]:
            found.add(user.name)
            if type(user).__name__ in walk.SAME_SCALE_LAYERS:
                read_by(user.name)
            elif _fused(user, users):
                found.add(users[user.name][0].name)

    for name in wide:
        found.add(name)
        found.update(producer.name for producer in producers[name] if _fused(producer, users))
        read_by(name)
    return frozenset(found)


def fake_quantize(folded: keras.Model, wide: Collection[str] = ()) -> keras.Model:
    """The fake-quantized twin of a folded graph that ends in logits.

    Args:
        folded: functional model without batch norm; input float (n, h, w, 3) as `(pixels - 128) / 128`.
        wide: names of the layers whose outputs are not rounded; see `computed_in_float` for what becomes float32.

    Returns:
        A functional model with the same layer names and weights, and `NAME_quant` layers after every layer whose
        int8 kernel writes a tensor of its own, or whose float32 kernel is followed by int8 ones.

    Raises:
        ValueError: a layer has no int8 kernel that we know.
    """
    reasons = [reason for layer in folded.layers if (reason := walk.unsupported_reason(layer))]
    if reasons:
        raise ValueError("no int8 kernel is known: " + "; ".join(reasons))
    users = walk.consumers(folded)
    unrounded = computed_in_float(folded, wide)

    def clone(layer: Any) -> Any:
        # A layer that computes in float32 has its kernel in float32 too.
        kind: Any = type(layer) if layer.name in unrounded else QUANTIZED.get(type(layer).__name__, type(layer))
        return kind.from_config(layer.get_config())

    input_quant = QuantActivation(INPUT_RANGE, name="input_quant")
    rounded: dict[str, Any] = {}

    def rounded_input(tensor: Any) -> Any:
        if type(tensor._keras_history.operation).__name__ != "InputLayer":
            return tensor
        if tensor.name not in rounded:
            rounded[tensor.name] = input_quant(tensor)
        return rounded[tensor.name]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        args = keras.tree.map_structure(rounded_input, args)
        kwargs.pop("mask", None)  # clone_model passes it to every layer, also to those that take none
        # Rounding clips by itself.
        clipped = _clips(layer) and layer.name not in unrounded
        outputs = args[0] if clipped else layer(*args, **kwargs)
        if layer.name in wide or not is_rounded(layer, users):
            return outputs
        return QuantActivation(_fixed_range(layer), name=f"{layer.name}_quant")(outputs)

    model = keras.models.clone_model(folded, clone_function=clone, call_function=call)
    for layer in folded.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    return model


def set_tracking(model: keras.Model, rate: float) -> None:
    """Sets how much of each batch's range the activation ranges take up; 0 freezes them."""
    for layer in model.layers:
        if isinstance(layer, QuantActivation) and layer.fixed is None:
            layer.rate.assign(rate)
