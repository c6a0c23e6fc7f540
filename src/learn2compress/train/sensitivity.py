"""Sensitivity: how much of what a model says is left when one group loses half of its channels.

A measure of importance ranks channels one by one, each as if all others stayed. Where many of one group go, it is
wrong by most in the groups that everything passes through; these show here, and are pruned less deeply.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.graph.channels import Channels
from learn2compress.train.importance.protocol import Scores
from learn2compress.train.trainable import scaled

SILENCED_SHARE = 0.5
# A group without half of its channels that leaves this share of the answers as they were may be cut to `LOOSE`; one
# that leaves hardly any, only to `TIGHT`.
HARMLESS, HARMFUL = 0.8, 0.3
LOOSE, TIGHT = 0.2, 0.5
BATCH = 32


def agreements(channels: Channels, scores: Scores, pixels: Any) -> dict[int, float]:
    """For each group, the share of the images whose top class stays when its lowest half is silenced.

    Args:
        channels: of a model from `(pixels - 128) / 128` to logits; its weights are as before afterwards.
        scores: which channels of each group are the lowest.
        pixels: uint8 (n, h, w, 3).
    """
    model, inputs = channels.graph.model, np.asarray(scaled(pixels))
    expected = _top_classes(model, inputs)
    found = {}
    for index, values in scores.items():
        units = np.argsort(values, kind="stable")[: int(SILENCED_SHARE * len(values))]
        with _silenced(channels, index, units):
            found[index] = float((_top_classes(model, inputs) == expected).mean())
    return found


def least_shares(found: dict[int, float]) -> dict[int, float]:
    """The share of its channels that each group has to keep, by its agreement."""
    return {
        index: float(np.interp(agreement, (HARMFUL, HARMLESS), (TIGHT, LOOSE))) for index, agreement in found.items()
    }


@contextmanager
def _silenced(channels: Channels, index: int, units: NDArray[np.int64]) -> Iterator[None]:
    """Within it all weights of the units are zero; afterwards, and after an error, they are what they were."""
    before: dict[int, tuple[Any, NDArray[Any]]] = {}
    try:
        for layer in channels.graph.layers:
            for (position, axis), along in channels.axes.get(id(layer), {}).items():
                places = np.flatnonzero((along.group == index) & np.isin(along.unit, units))
                weight = layer.weights[position]
                if len(places) and not weight.path.endswith("moving_variance"):
                    values = np.asarray(weight)
                    # A kernel that takes and makes channels of one group comes here twice, and is no longer what it
                    # was the second time.
                    before.setdefault(id(weight), (weight, values))
                    silent = values.copy()
                    silent[(slice(None),) * (axis % silent.ndim) + (places,)] = 0
                    weight.assign(silent)
        yield
    finally:
        for weight, values in before.values():
            weight.assign(values)


def _top_classes(model: Any, inputs: Any) -> NDArray[np.int64]:
    parts = [model.predict_on_batch(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
    return np.asarray(np.concatenate(parts).argmax(axis=1), np.int64)
