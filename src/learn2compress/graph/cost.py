"""What a Keras graph costs: multiply-accumulates, parameters, and the bytes of its int8 file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from learn2compress.core.member import Cost

# Bytes of an int8 .tflite beyond its weights, measured on our own files: an operator with its tensors, and what
# each output channel carries (int32 bias, float32 scale, int64 zero point), and the frame with the metadata.
BYTES_PER_OP = 330
BYTES_PER_CHANNEL = 4 + 4 + 8
BYTES_FRAME = 4500

OPERATORS = (
    "Add",
    "AveragePooling2D",
    "Concatenate",
    "GlobalAveragePooling2D",
    "MaxPooling2D",
    "Multiply",
    "ZeroPadding2D",
)


def layer_macs(layer: Any) -> int:
    """Multiply-accumulates of one layer for one example; 0 for a layer without a kernel."""
    kernel = getattr(layer, "kernel", None)
    if isinstance(layer, keras.layers.SeparableConv2D):
        height, width = layer.output.shape[1:3]
        kernels = np.prod(layer.depthwise_kernel.shape) + np.prod(layer.pointwise_kernel.shape)
        return int(height * width * kernels)
    if kernel is None:
        return 0
    if isinstance(layer, keras.layers.Conv2DTranspose):
        height, width = layer.input.shape[1:3]
    elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
        height, width = layer.output.shape[1:3]
    elif isinstance(layer, keras.layers.Dense):
        height, width = int(np.prod(layer.output.shape[1:-1], dtype=int)), 1
    else:
        return 0
    return int(np.prod(kernel.shape)) * int(height) * int(width)


def _flat_layers(model: Any) -> list[Any]:
    layers = []
    for layer in model.layers:
        layers += _flat_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def model_cost(model: keras.Model) -> Cost:
    """The cost of a functional or sequential model; batch norm counts as folded (one bias a channel)."""
    parameters = macs = channels = operators = 0
    for layer in _flat_layers(model):
        macs += layer_macs(layer)
        name = type(layer).__name__
        if name == "BatchNormalization":
            continue
        kernels = sum(int(np.prod(w.shape)) for w in layer.weights if len(w.shape) > 1)
        if kernels:
            out = int(layer.output.shape[-1])
            parameters += kernels + out
            channels += out
            operators += 1
        elif name in OPERATORS:
            operators += 1
    size = parameters + (BYTES_PER_CHANNEL - 1) * channels + BYTES_PER_OP * operators + BYTES_FRAME
    return Cost(parameters, macs, size)
