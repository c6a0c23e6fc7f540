"""What two members have in common from the input on: it need be computed only once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
from keras import layers

from learn2compress.graph import walk

# Layers whose output channels each depend on the one input channel of the same place.
_CHANNELS_APART = (
    layers.Activation,
    layers.AveragePooling2D,
    # And what it is in training, `train.trainable.FusedBatchNormalization`.
    layers.BatchNormalization,
    layers.DepthwiseConv2D,
    layers.GlobalAveragePooling2D,
    layers.MaxPooling2D,
    layers.ReLU,
    layers.ZeroPadding2D,
)


def common_prefix(member: keras.Model, widest: keras.Model) -> frozenset[str]:
    """Names of the member's layers that the widest has too, with equal settings, shapes and inputs.

    Layers of one name are the same layer (see `graph.slices`); with equal weights they give equal outputs.
    """
    theirs = {layer.name: (layer, _names(producers)) for layer, producers in walk.nodes(widest)}
    common: set[str] = set()
    for layer, producers in walk.nodes(member):
        other, inputs = theirs.get(layer.name, (None, []))
        if other is not None and inputs == _names(producers) and common.issuperset(inputs) and _equal(layer, other):
            common.add(layer.name)
    return frozenset(common)


def leading_prefix(member: keras.Model, widest: keras.Model) -> dict[str, int | None]:
    """The layers whose output is the widest's, or the first channels of the widest's, and how many; None for all.

    A convolution with fewer filters over the same input gives the first channels of the wider one's output, and so do
    the layers after it that keep channels apart. The first layer that mixes them is no part of it. Batch norm is:
    its statistics are of the same values.

    Args:
        member, widest: functional models; kernels and vectors of the member are the first of the widest's.
    """
    theirs = {layer.name: (layer, _names(producers)) for layer, producers in walk.nodes(widest)}
    found: dict[str, int | None] = dict.fromkeys(common_prefix(member, widest))
    for layer, producers in walk.nodes(member):
        other, inputs = theirs.get(layer.name, (None, []))
        if layer.name in found or other is None or inputs != _names(producers) or not found.keys() >= set(inputs):
            continue
        kept = {found[name] for name in inputs}
        channels = layer.output.shape[-1]
        cut_here = _is_dense(layer) and kept == {None} and _same_but(layer, other, "filters")
        apart = isinstance(layer, _CHANNELS_APART) and kept == {channels} and _same_but(layer, other, "dtype")
        if cut_here or apart:
            found[layer.name] = channels
    return found


def frontier(member: keras.Model, prefix: Collection[str]) -> list[str]:
    """Names of the layers in the prefix whose outputs the rest of the member takes, in graph order."""
    found: dict[str, None] = {}
    for layer, producers in walk.nodes(member):
        if layer.name not in prefix:
            found.update({name: None for name in _names(producers) if name in prefix})
    return list(found)


def _names(found: list[Any]) -> list[str]:
    return [layer.name for layer in found]


def _equal(layer: Any, other: Any) -> bool:
    shapes, others = ([tuple(w.shape) for w in one.weights] for one in (layer, other))
    return shapes == others and _same_but(layer, other)


def _is_dense(layer: Any) -> bool:
    return isinstance(layer, layers.Conv2D) and layer.groups == 1


def _same_but(layer: Any, other: Any, *names: str) -> bool:
    """Whether two layers are of one kind and, but for these, of the same settings."""
    free = dict.fromkeys(names)
    return type(layer) is type(other) and {**layer.get_config(), **free} == {**other.get_config(), **free}
