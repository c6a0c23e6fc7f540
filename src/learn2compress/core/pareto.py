"""The Pareto front: what no other candidate beats in every respect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pareto_front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points that no other point dominates, in the order given.

    Args:
        costs: shape (points, criteria); less is better in every criterion.

    A point is dominated when another is no worse in every criterion and better in one.
    """
    points = np.asarray(costs, dtype=float)
    front = []
    for i, point in enumerate(points):
        no_worse = (points <= point).all(axis=1)
        better = (points < point).any(axis=1)
        if not (no_worse & better).any():
            front.append(i)
    return front
