"""Magnitude: a channel whose weights are small, in all kernels that make it or take it, does little.

L1 after Li et al., "Pruning filters for efficient convnets" (2017), summed over the whole group as in DepGraph (Fang
et al., 2023).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from learn2compress.graph.channels import Channels
from learn2compress.train.importance.protocol import Batch, Scores, add_along, zeros


class Magnitude:
    """The L1 or L2 norm of a unit's weights; each kernel counts equally."""

    needs_data = False
    comparable = False

    def __init__(self, order: int) -> None:
        self.order = order
        self.name = f"L{order} magnitude"

    def __call__(self, channels: Channels, batches: Iterator[Batch]) -> Scores:
        """See `Importance`."""
        scores = zeros(channels)
        for layer in channels.graph.layers:
            for (position, axis), units in channels.axes.get(id(layer), {}).items():
                weight = np.asarray(layer.weights[position], np.float64)
                if weight.ndim > 1:
                    others = tuple(other for other in range(weight.ndim) if other != axis % weight.ndim)
                    powers = (np.abs(weight) ** self.order).sum(axis=others)
                    # Relative to the axis: a 1x1 kernel has smaller sums than a 3x3 one, not less of a say.
                    add_along(scores, units, powers / (powers.mean() + 1e-12))
        return {index: found ** (1 / self.order) for index, found in scores.items()}
