"""Batch-norm folding: affine maps, of batch norm above all, move into the convolution before them.

It has to happen *before* fake quantization: a batch norm left after a fake-quantized convolution makes the converter
emit a float convolution, silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.graph import walk

Array = NDArray[np.float32]


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A new model with the same outputs in inference, without batch norm and other affine layers.

    One that follows a Conv2D, DepthwiseConv2D or Dense (alone) is folded into it, through a max-pool in between if no
    scale is negative; any other becomes a 1x1 depthwise convolution, which computes the same affine map. A ReLU that
    follows a folded one moves before the pool too: there int8 kernels fuse it. Layer names stay.
    """
    found = _foldings(model)
    absorbed, absorber, swapped = found.absorbed, found.absorber, found.swapped
    waiting: dict[str, Any] = {}

    def clone(layer: Any) -> Any:
        if layer.name in absorbed:
            return type(layer).from_config({**layer.get_config(), "use_bias": True})
        if _is_affine(layer) and layer.name not in absorber:
            return keras.layers.DepthwiseConv2D(1, name=layer.name)
        return type(layer).from_config(layer.get_config())

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("mask", None)  # clone_model passes it to every layer, also to those that take none
        if layer.name in swapped.values():
            waiting[layer.name] = layer
            return args[0]
        if layer.name in absorber:
            outputs = args[0]
        elif isinstance(layer, keras.layers.DepthwiseConv2D) and len(args[0].shape) < 4:
            outputs = _on_vectors(layer, args[0])
        else:
            outputs = layer(*args, **kwargs)
        return waiting[swapped[layer.name]](outputs) if layer.name in swapped else outputs

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name in absorbed:
            weights = _folded_weights(layer, absorbed[layer.name])
        elif _is_affine(layer) and layer.name not in absorber:
            scale, shift = _affine(layer)
            weights = [scale.reshape(1, 1, -1, 1), shift]
        else:
            weights = [] if layer.name in absorber else layer.get_weights()
        if weights:
            folded.get_layer(layer.name).set_weights(weights)
    return folded


@dataclass
class _Foldings:
    """Which affine layers go into which layer with a kernel.

    Attributes:
        absorbed: the name of a layer with a kernel -> what is folded into it, in order.
        absorber: the name of a folded layer -> the layer that it is folded into.
        moved: names of folded layers that get there through a pool.
        swapped: the name of a ReLU -> the name of the pool that comes after it now.
    """

    absorbed: dict[str, list[Any]] = field(default_factory=dict)
    absorber: dict[str, Any] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    swapped: dict[str, str] = field(default_factory=dict)


def _foldings(model: keras.Model) -> _Foldings:
    users = walk.consumers(model)
    producers_of = {layer.name: producers for layer, producers in walk.nodes(model)}
    found = _Foldings()
    for layer, producers in walk.nodes(model):
        if not _is_affine(layer):
            continue
        before = producers[0]
        pool = before if _passes(before, layer) and len(users[before.name]) == 1 else None
        if pool is not None:
            before = producers_of[pool.name][0]
        alone = len(users[before.name]) == 1
        through_pool = pool is not None or before.name in found.moved
        target = found.absorber.get(before.name, before)
        foldable = (
            alone
            and (not through_pool or _keeps_order(layer))
            and type(target).__name__ in walk.WEIGHT_LAYERS
            and walk.activation_name(target) in ("linear", None)
        )
        if not foldable:
            continue
        found.absorbed.setdefault(target.name, []).append(layer)
        found.absorber[layer.name] = target
        if through_pool:
            found.moved.add(layer.name)
        follow = users[layer.name]
        if pool is not None and len(follow) == 1 and walk.is_rectifier(follow[0]):
            found.swapped[follow[0].name] = pool.name
    return found


def _is_affine(layer: Any) -> bool:
    return type(layer).__name__ in walk.AFFINE_LAYERS and walk.is_by_channel(layer)


def _passes(layer: Any, affine: Any) -> bool:
    """Whether the affine map may move before the layer: a max-pool commutes with one that nowhere turns it around."""
    return type(layer).__name__ == "MaxPooling2D" and _keeps_order(affine)


def _keeps_order(affine: Any) -> bool:
    return bool((_affine(affine)[0] >= 0).all())


def _on_vectors(depthwise: Any, vectors: Any) -> Any:
    """A depthwise convolution of (n, channels) or (n, places, channels), as maps one pixel high."""
    shape = vectors.shape[1:]
    maps = keras.layers.Reshape((1,) * (3 - len(shape)) + shape, name=f"{depthwise.name}_map")(vectors)
    return keras.layers.Reshape(shape, name=f"{depthwise.name}_vector")(depthwise(maps))


def _affine(layer: Any) -> tuple[Array, Array]:
    """Scale and shift (channels,) that an affine layer applies in inference."""
    kind, channels = type(layer).__name__, layer.output.shape[-1]
    ones = np.ones(channels, np.float32)
    if kind == "LayerScale":
        return np.asarray(layer.gamma, np.float32), 0 * ones
    if kind == "Rescaling":
        return np.asarray(layer.scale, np.float32) * ones, np.asarray(layer.offset, np.float32) * ones
    mean = np.asarray(layer.moving_mean, np.float32)
    variance = np.asarray(layer.moving_variance, np.float32)
    gamma = np.asarray(layer.gamma, np.float32) if layer.scale else ones
    beta = np.asarray(layer.beta, np.float32) if layer.center else 0 * ones
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


def _folded_weights(layer: Any, followers: Sequence[Any]) -> list[Array]:
    """Kernel and bias of a layer with the affine layers that follow it."""
    weights = [np.asarray(w, np.float32) for w in layer.get_weights()]
    kernel = weights[0]
    # A depthwise kernel is (h, w, channels, multiplier): its output channels are its last two axes.
    depthwise = type(layer).__name__ == "DepthwiseConv2D"
    shape = kernel.shape[2:] if depthwise else kernel.shape[-1:]
    bias = weights[1] if layer.use_bias else np.zeros(np.prod(shape), np.float32)
    for follower in followers:
        scale, shift = _affine(follower)
        kernel, bias = kernel * scale.reshape(shape), bias * scale + shift
    return [kernel, bias]
