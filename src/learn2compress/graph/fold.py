"""Batch-norm folding: the affine map of a batch norm moves into the convolution before it.

It has to happen *before* fake quantization: a batch norm left after a fake-quantized convolution makes the converter
emit a float convolution, silently.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.graph import walk

Array = NDArray[np.float32]


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A new model with the same outputs in inference and no batch norm.

    A batch norm that follows a Conv2D, DepthwiseConv2D or Dense (alone) is folded into it, through a max-pool in
    between if no scale is negative; any other becomes a 1x1 depthwise convolution, which computes the same affine
    map. A ReLU that follows such a norm moves before the pool too: there int8 kernels fuse it. Layer names stay.
    """
    users = walk.consumers(model)
    producers_of = {layer.name: producers for layer, producers in walk.nodes(model)}
    absorbed: dict[str, Any] = {}
    # The name of a ReLU -> the name of the pool that comes after it now.
    swapped: dict[str, str] = {}
    for layer, producers in walk.nodes(model):
        if type(layer).__name__ != "BatchNormalization":
            continue
        before = producers[0]
        pool = before if _passes(before, layer) and len(users[before.name]) == 1 else None
        if pool is not None:
            before = producers_of[pool.name][0]
        foldable = (
            type(before).__name__ in walk.WEIGHT_LAYERS
            and walk.activation_name(before) in ("linear", None)
            and len(users[before.name]) == 1
        )
        if foldable:
            absorbed[before.name] = layer
            follow = users[layer.name]
            if pool is not None and len(follow) == 1 and walk.is_rectifier(follow[0]):
                swapped[follow[0].name] = pool.name
    gone = {layer.name for layer in absorbed.values()}
    waiting: dict[str, Any] = {}

    def clone(layer: Any) -> Any:
        if layer.name in absorbed:
            return type(layer).from_config({**layer.get_config(), "use_bias": True})
        if type(layer).__name__ == "BatchNormalization" and layer.name not in gone:
            return _lone(layer)
        return type(layer).from_config(layer.get_config())

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("mask", None)  # clone_model passes it to every layer, also to those that take none
        if layer.name in swapped.values():
            waiting[layer.name] = layer
            return args[0]
        outputs = args[0] if layer.name in gone else layer(*args, **kwargs)
        return waiting[swapped[layer.name]](outputs) if layer.name in swapped else outputs

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name in gone or not layer.weights:
            continue
        target = folded.get_layer(layer.name)
        if layer.name in absorbed:
            target.set_weights(_folded_weights(layer, absorbed[layer.name]))
        elif type(layer).__name__ == "BatchNormalization":
            scale, shift = _affine(layer)
            vectors = len(layer.output.shape) == 2
            target.set_weights([np.diag(scale) if vectors else scale.reshape(1, 1, -1, 1), shift])
        else:
            target.set_weights(layer.get_weights())
    return folded


def _passes(layer: Any, norm: Any) -> bool:
    """Whether the norm may move before the layer: a max-pool commutes with a map that nowhere turns it around."""
    return type(layer).__name__ == "MaxPooling2D" and bool((_affine(norm)[0] >= 0).all())


def _lone(norm: Any) -> Any:
    """What computes the affine map of a batch norm that nothing can absorb, on maps or on vectors."""
    shape = norm.output.shape
    return (
        keras.layers.Dense(shape[-1], name=norm.name)
        if len(shape) == 2
        else keras.layers.DepthwiseConv2D(1, name=norm.name)
    )


def _affine(norm: Any) -> tuple[Array, Array]:
    """Scale and shift (channels,) that a batch norm applies in inference."""
    mean = np.asarray(norm.moving_mean, np.float32)
    variance = np.asarray(norm.moving_variance, np.float32)
    gamma = np.asarray(norm.gamma, np.float32) if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta, np.float32) if norm.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _folded_weights(layer: Any, norm: Any) -> list[Array]:
    scale, shift = _affine(norm)
    weights = [np.asarray(w, np.float32) for w in layer.get_weights()]
    kernel = weights[0]
    bias = weights[1] if layer.use_bias else np.zeros_like(shift)
    # A depthwise kernel is (h, w, channels, multiplier): its output channels are its last two axes.
    depthwise = type(layer).__name__ == "DepthwiseConv2D"
    shape = kernel.shape[2:] if depthwise else (1, kernel.shape[-1])
    factor = scale.reshape(shape) if len(kernel.shape) == 4 else scale
    return [kernel * factor, bias * scale + shift]
