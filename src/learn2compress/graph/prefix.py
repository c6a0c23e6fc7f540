"""What two members have in common from the input on: it need be computed only once."""

from __future__ import annotations

from typing import Any

import keras

from learn2compress.graph import walk


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


def frontier(member: keras.Model, prefix: frozenset[str]) -> list[str]:
    """Names of the layers in the prefix whose outputs the rest of the member takes, in graph order."""
    found: dict[str, None] = {}
    for layer, producers in walk.nodes(member):
        if layer.name not in prefix:
            found.update({name: None for name in _names(producers) if name in prefix})
    return list(found)


def _names(layers: list[Any]) -> list[str]:
    return [layer.name for layer in layers]


def _equal(layer: Any, other: Any) -> bool:
    shapes, others = ([tuple(w.shape) for w in one.weights] for one in (layer, other))
    return type(layer) is type(other) and shapes == others and layer.get_config() == other.get_config()
