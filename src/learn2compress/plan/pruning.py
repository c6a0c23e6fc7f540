"""The order in which a model is pruned: one line of ever smaller members, each inside all before it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.choice import Choice

# A group keeps this share of its channels where nothing else is said: a layer that is cut to the bone starves all
# behind it.
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Removal:
    """One step of the order: some units of a group, or a block.

    Attributes:
        group: index of the group, or None for a block.
        units: what goes.
        block: name of the block, or empty.
        priority: how much is lost; the smallest goes first.
    """

    group: int | None
    units: tuple[int, ...]
    block: str
    priority: float


@dataclass(frozen=True)
class PruningOrder:
    """All removals, in order.

    Attributes:
        removals: first those that cost least.
        sizes: for the index of every prunable group, how many units it has.
    """

    removals: tuple[Removal, ...]
    sizes: Mapping[int, int]

    def choice(self, count: int, given_back: Collection[int] = ()) -> Choice:
        """What is left after the first `count` removals, but for those of these numbers."""
        gone: dict[int, list[int]] = {}
        blocks = set()
        for number, removal in enumerate(self.removals[:count]):
            if number in given_back:
                continue
            if removal.group is None:
                blocks.add(removal.block)
            else:
                gone.setdefault(removal.group, []).extend(removal.units)
        kept = {index: np.setdiff1d(np.arange(self.sizes[index]), units) for index, units in gone.items()}
        return Choice(kept, frozenset(blocks))

    def may_be_given_back(self, number: int, count: int, given_back: Collection[int]) -> bool:
        """Whether of the first `count` removals this one can be taken back, where these have been already.

        Of a group only the last that is taken: the first step may be an odd one, which brings it to a multiple, and
        without that none of the later steps ends at one.
        """
        group = self.removals[number].group
        later = (other for other in range(number + 1, count) if other not in given_back)
        return group is None or all(self.removals[other].group != group for other in later)


def pruning_order(
    scores: Mapping[int, NDArray[np.float64]],
    *,
    fewest: Mapping[int, int],
    multiple: Mapping[int, int],
    least_shares: Mapping[int, float] | None = None,
    worth: Mapping[int, float] | None = None,
    blocks: Sequence[tuple[str, float]] = (),
) -> PruningOrder:
    """Ranks everything that can go.

    Args:
        scores: for the index of every prunable group, how much each of its units matters.
        fewest: for each group, units that it always keeps.
        multiple: for each group, it is narrowed to multiples of this many units.
        least_shares: for each group, the share of its channels that it always keeps; by default `LEAST_SHARE`.
        worth: for each group, what dropping one of its units saves; with it, what is lost is weighed against what is
            saved.
        blocks: name and priority of removable blocks, on the scale of one unit of a group.
    """
    removals = [Removal(None, (), name, priority) for name, priority in blocks]
    for index, values in scores.items():
        lowest_first = np.argsort(values, kind="stable")
        size, width = len(values), multiple[index]
        share = least_shares[index] if least_shares else LEAST_SHARE
        least = max(fewest[index], int(np.ceil(share * size / width)) * width)
        start, end = 0, size - least
        reached = 0.0
        # The first step brings the group to a multiple.
        step = size % width or width
        while start + step <= end:
            units = lowest_first[start : start + step]
            # Never below the step before, which a mean of equal values can be by rounding.
            reached = max(reached, float(values[units].mean()) / (worth[index] if worth else 1.0))
            removals.append(Removal(index, tuple(sorted(units.tolist())), "", reached))
            start, step = start + step, width
    removals.sort(key=lambda removal: removal.priority)
    return PruningOrder(tuple(removals), {index: len(values) for index, values in scores.items()})
