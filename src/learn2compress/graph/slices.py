"""Slice maps: where each variable of a member lies inside the shared variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

# Along one axis: the (start, stop) of a run, or the positions one by one.
Along = tuple[int, int] | NDArray[np.int64]
# For the name of a layer, for each of its weights, for each axis: positions in the original, or None for all of them.
Positions = Mapping[str, Sequence[Sequence[NDArray[np.int64] | None]]]


@dataclass(frozen=True)
class Part:
    """A member cut out of a larger model.

    Attributes:
        model: a plain Keras model with weights of its own.
        positions: which of the original's channels its layers keep; a layer that is not named keeps the first.
    """

    model: keras.Model
    positions: Positions = field(default_factory=dict)


@dataclass(frozen=True)
class SliceMap:
    """How one member's trainable variables follow from the shared ones.

    Attributes:
        shared: for each trainable variable of the member, the index of the shared variable it is a slice of, or
            None where the variable is private to the member.
        ranges: for each such variable, what it takes along each axis; empty for a private one.
    """

    shared: tuple[int | None, ...]
    ranges: tuple[tuple[Along, ...], ...]


def is_private(variable: Any) -> bool:
    """Vectors are private to a member: batch-norm terms and biases depend on which channels feed them."""
    return len(variable.shape) < 2


def _keyed(model: keras.Model) -> list[tuple[str, str, int, Any]]:
    """Trainable variables with a key that is equal in every member, layer name, and place in `layer.weights`."""
    return [
        # An attention layer has several of one name.
        (f"{layer.name}/{place}:{variable.name}", layer.name, place, variable)
        for layer in model.layers
        for place, variable in enumerate(layer.weights)
        if variable.trainable and layer.trainable
    ]


def slices_within(
    member: keras.Model,
    widest: keras.Model,
    positions: Positions | None = None,
    widest_positions: Positions | None = None,
) -> SliceMap:
    """The slice map of a member whose layers carry the names of the widest's.

    A layer that the widest lacks (a head of its own, after a cut) is private, as are all vectors.

    Args:
        member, widest: functional models.
        positions: of the member's channels in the original; where there are none it keeps the widest's first.
        widest_positions: of the widest's.

    Raises:
        ValueError: a variable is larger than the one it should be a slice of, or keeps what the widest does not.
    """
    index = {key: (i, v) for i, (key, _, _, v) in enumerate(_keyed(widest))}
    shared: list[int | None] = []
    ranges: list[tuple[Along, ...]] = []
    for key, layer, place, variable in _keyed(member):
        if is_private(variable) or key not in index:
            shared.append(None)
            ranges.append(())
            continue
        number, whole = index[key]
        shape: Sequence[int] = variable.shape
        if len(shape) != len(whole.shape) or any(a > b for a, b in zip(shape, whole.shape, strict=True)):
            raise ValueError(f"{key} of shape {shape} is no slice of shape {whole.shape}")
        nothing = [None] * len(shape)
        inner = (positions or {}).get(layer)
        outer = (widest_positions or {}).get(layer)
        shared.append(number)
        ranges.append(
            tuple(
                _along(key, length, kept, available)
                for length, kept, available in zip(
                    shape, inner[place] if inner else nothing, outer[place] if outer else nothing, strict=True
                )
            )
        )
    return SliceMap(tuple(shared), tuple(ranges))


def _along(key: str, length: int, kept: NDArray[np.int64] | None, available: NDArray[np.int64] | None) -> Along:
    """Where, along one axis of the widest's variable, the member's positions are."""
    if kept is None:
        return (0, length)
    places = kept if available is None else np.searchsorted(available, kept)
    if available is not None and not np.array_equal(available[np.minimum(places, len(available) - 1)], kept):
        raise ValueError(f"{key} keeps channels that the widest member does not have")
    if len(places) == places[-1] - places[0] + 1:
        return (int(places[0]), int(places[-1]) + 1)
    return places


def slices_from(member: Part, source: Part, *, vectors: bool) -> None:
    """Sets the member's matrices, or its vectors, to their slices of the source's; both go by the same positions.

    What the source has no weight of that kind for, as a classifier of another input, stays.

    Raises:
        ValueError: the member keeps what the source does not have.
    """
    theirs = {layer.name: layer for layer in source.model.layers}
    for layer in member.model.layers:
        other = theirs.get(layer.name)
        if other is None or type(other).__name__.removeprefix("Fused") != type(layer).__name__.removeprefix("Fused"):
            continue
        for place, (variable, whole) in enumerate(zip(layer.weights, other.weights, strict=False)):
            shape: Sequence[int] = variable.shape
            smaller = all(a <= b for a, b in zip(shape, whole.shape, strict=False))
            if is_private(variable) != vectors or len(shape) != len(whole.shape) or not smaller:
                continue
            nothing = [None] * len(shape)
            inner = (member.positions or {}).get(layer.name)
            outer = (source.positions or {}).get(layer.name)
            values = np.asarray(whole)
            for axis, (length, kept, available) in enumerate(
                zip(shape, inner[place] if inner else nothing, outer[place] if outer else nothing, strict=True)
            ):
                along = _along(f"{layer.name}/{variable.name}", length, kept, available)
                places = np.arange(*along) if isinstance(along, tuple) else along
                values = np.take(values, places, axis=axis)
            variable.assign(values)


def unshared(member: keras.Model) -> SliceMap:
    """The slice map of a member that shares nothing."""
    count = len(member.trainable_variables)
    return SliceMap((None,) * count, ((),) * count)
