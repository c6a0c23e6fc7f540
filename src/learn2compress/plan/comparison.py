"""Which of several families is the better one, at the sizes that all of them have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learn2compress.core.member import Cost
from learn2compress.core.target import Target
from learn2compress.plan.members import bounds_work

# Where the sizes of all families meet, they are compared at so many sizes.
COMPARED = 5


def taken(costs: Sequence[Cost], targets: Sequence[Target]) -> list[int]:
    """What members are compared by: the bytes of each, or its multiply-accumulates where a bound is on work.

    A bound on work is met by members of very different sizes: at equal size, the least member of one family would be
    held against the one of the other that was asked for.
    """
    return [cost.macs if bounds_work(targets) else cost.size_bytes for cost in costs]


def scores(families: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[float]:
    """The mean accuracy of each family over the range of sizes that all have.

    Between two members the accuracy is taken to be linear in the logarithm of the size. Where ranges do not meet,
    the nearest members count: no family wins by having larger ones only.

    Args:
        families: for each, the sizes of its members, or what else they are compared by, and their accuracies.
    """
    low = max(min(sizes) for sizes, _ in families)
    high = min(max(sizes) for sizes, _ in families)
    at = np.linspace(np.log(min(low, high)), np.log(max(low, high)), COMPARED)
    found = []
    for sizes, accuracies in families:
        order = np.argsort(sizes)
        found.append(float(np.interp(at, np.log(np.array(sizes)[order]), np.array(accuracies)[order]).mean()))
    return found
