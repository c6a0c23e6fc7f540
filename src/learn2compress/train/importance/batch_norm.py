"""Batch-norm scale: a channel that its batch norm multiplies by little is hardly heard.

After Liu et al., "Learning efficient convolutional networks through network slimming" (2017).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from learn2compress.graph.channels import Channels
from learn2compress.train.importance.magnitude import Magnitude
from learn2compress.train.importance.protocol import Batch, Scores, add_along, zeros


class BatchNormScale:
    """The mean of |gamma| over the batch norms of a unit; where a group has none, its magnitude."""

    name = "batch-norm scale"
    needs_data = False
    comparable = True

    def __call__(self, channels: Channels, batches: Iterator[Batch]) -> Scores:
        """See `Importance`."""
        scores, counts = zeros(channels), zeros(channels)
        for layer in channels.graph.layers:
            gamma = getattr(layer, "gamma", None)
            for (position, _), units in channels.axes.get(id(layer), {}).items():
                if gamma is not None and layer.weights[position] is gamma:
                    values = np.abs(np.asarray(gamma, np.float64))
                    add_along(scores, units, values)
                    add_along(counts, units, np.ones_like(values))
        instead = Magnitude(1)(channels, batches)
        return {
            index: found / counts[index] if counts[index].all() else instead[index] / instead[index].mean()
            for index, found in scores.items()
        }
