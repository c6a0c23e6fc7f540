"""What a measure of importance is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from learn2compress.graph.channels import AxisUnits, Channels

# For the index of a group, a score for each of its units, not negative.
Scores = dict[int, NDArray[np.float64]]
Batch = tuple[Any, tuple[Any, Any]]


class Importance(Protocol):
    """A measure of how much each channel matters.

    Attributes:
        name: as it stands in tables.
        needs_data: whether it looks at images.
        comparable: whether scores of different groups are of one kind: what the loss would suffer, say.
    """

    name: str
    needs_data: bool
    comparable: bool

    def __call__(self, channels: Channels, batches: Iterator[Batch]) -> Scores:
        """Scores of the prunable groups.

        Args:
            channels: of a model from `(pixels - 128) / 128` to logits.
            batches: `(pixels, (labels, teacher log-probabilities))`, as many as there are to be used.
        """
        ...


def zeros(channels: Channels) -> Scores:
    """A score of zero for every unit of every prunable group."""
    return {group.index: np.zeros(group.size) for group in channels.prunable}


def add_along(scores: Scores, axis: AxisUnits, values: NDArray[np.float64]) -> None:
    """Adds to each unit's score what lies at its positions along an axis, values (length of the axis,)."""
    for index in axis.counts:
        if index in scores:
            here = axis.group == index
            np.add.at(scores[index], axis.unit[here], values[here])


def summed_axis(layer: Any, kernel: Any) -> int:
    """The axis of a kernel (..., in, out) over which it sums what it takes; a transposed one is (..., out, in)."""
    return len(kernel.shape) - (1 if type(layer).__name__.endswith("Transpose") else 2)


def made_axis(layer: Any, weight: Any) -> int:
    """The axis of a layer's weight along which lie the channels that the layer makes."""
    axes = len(weight.shape)
    return axes - 2 if axes > 1 and summed_axis(layer, weight) == axes - 1 else axes - 1


def normalized(scores: Scores) -> Scores:
    """Scores relative to the mean of their group, so that groups compare."""
    return {index: found / (found.mean() + 1e-12) for index, found in scores.items()}
