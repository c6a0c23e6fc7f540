"""Slice maps: where each variable of a member lies inside the shared variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class SliceMap:
    """How one member's trainable variables follow from the shared ones.

    Attributes:
        shared: for each trainable variable of the member, the index of the shared variable it is a slice of, or
            None where the variable is private to the member.
        ranges: for each such variable, one (start, stop) per axis; empty for a private one.
    """

    shared: tuple[int | None, ...]
    ranges: tuple[tuple[tuple[int, int], ...], ...]


def is_private(variable: Any) -> bool:
    """Vectors are private to a member: batch-norm terms and biases depend on which channels feed them."""
    return len(variable.shape) < 2


def _keyed(model: keras.Model) -> list[tuple[str, Any]]:
    """Trainable variables with a name that is equal in every member: layer name and variable name."""
    return [
        (f"{layer.name}/{variable.name}", variable)
        for layer in model.layers
        for variable in layer.trainable_variables
    ]


def leading_slices(member: keras.Model, widest: keras.Model) -> SliceMap:
    """The slice map of a member whose layers carry the names of the widest's and keep its first channels.

    A layer that the widest lacks (a head of its own, after a cut) is private, as are all vectors.

    Raises:
        ValueError: a variable is larger than the one it should be a slice of, or the widths do not nest.
    """
    index = {key: (i, v) for i, (key, v) in enumerate(_keyed(widest))}
    shared: list[int | None] = []
    ranges: list[tuple[tuple[int, int], ...]] = []
    for key, variable in _keyed(member):
        if is_private(variable) or key not in index:
            shared.append(None)
            ranges.append(())
            continue
        position, whole = index[key]
        shape: Sequence[int] = variable.shape
        if len(shape) != len(whole.shape) or any(a > b for a, b in zip(shape, whole.shape, strict=True)):
            raise ValueError(f"{key} of shape {shape} is no slice of shape {whole.shape}")
        shared.append(position)
        ranges.append(tuple((0, n) for n in shape))
    return SliceMap(tuple(shared), tuple(ranges))


def unshared(member: keras.Model) -> SliceMap:
    """The slice map of a member that shares nothing."""
    count = len(member.trainable_variables)
    return SliceMap((None,) * count, ((),) * count)
