"""Members that were not trained: which of them to look at, and which is worth finishing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from learn2compress.core.evenly import evenly
from learn2compress.core.member import Cost
from learn2compress.core.pareto import pareto_front
from learn2compress.core.target import QUALITY, Target
from learn2compress.plan.members import DEFAULT_SPREAD, PLANNED, Candidate

# Between two trained members that are next to each other in size, and below the smallest.
LOOKED_AT = 3
# Of a single member so many are looked at below it as are between three.
FEWEST_GAPS = 2
# Of the sides of the data's images.
SHARES = (3 / 4, 1 / 2)
IN_STEPS_OF = 8
SMALLEST_INPUT = 24
ABOUT_EQUAL = 1.01
# Standard errors of the accuracy on validation images.
MARGIN = 1.0
T = TypeVar("T")


@dataclass(frozen=True)
class Judged:
    """A member, trained or cut out of trained weights, and how right it is on validation images.

    Attributes:
        cost: what it takes.
        accuracy: of the float model, as a fraction of 1.
        images: on how many; 0 where the accuracy is known exactly.
    """

    cost: Cost
    accuracy: float
    images: int = 0

    @property
    def standard_error(self) -> float:
        """Of the accuracy, as a fraction of 1."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.images) if self.images else 0.0


def asks_for_search(targets: Sequence[Target]) -> bool:
    """Whether it can't be planned which member is the one: how right it is shows only after training."""
    return any(target.metric in QUALITY for target in targets)


def between(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    """Candidates in the gaps of size between the chosen ones and below the smallest, evenly on a log scale."""
    sizes = sorted((candidate.cost.size_bytes for candidate in chosen), reverse=True)
    free = _cut_out_of(candidates, chosen)
    gaps = [(large, float(small), LOOKED_AT, LOOKED_AT + 1) for large, small in pairwise(sizes)]
    # Nothing is trained at the lower end of the last gap: it is looked at too.
    gaps.append((sizes[-1], _lower_end(free, sizes[-1]), _below(chosen), _below(chosen)))
    found: dict[str, Candidate] = {}
    for large, small, count, parts in gaps:
        inside = [c for c in free if small <= c.cost.size_bytes < large]
        for number in range(1, count + 1):
            wanted = math.log(large) - number / parts * math.log(large / small)
            off = [abs(math.log(c.cost.size_bytes) - wanted) for c in inside]
            if inside:
                nearest = inside[off.index(min(off))]
                found[nearest.spec.name] = nearest
    return sorted(found.values(), key=lambda c: -c.cost.size_bytes)


def of_other_proportions(uneven: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    """As many of the uneven ones as `between` may give, evenly over their MACs on a log scale.

    They are smaller than the largest of the chosen ones, of which some may be uneven themselves, and as small as what
    `between` gives.
    """
    sizes = [candidate.cost.size_bytes for candidate in chosen]
    free = _cut_out_of(uneven, chosen)
    low_end = _lower_end(free, min(sizes))
    inside = sorted((c for c in free if low_end <= c.cost.size_bytes < max(sizes)), key=lambda c: c.cost.macs)
    most = LOOKED_AT * (len(chosen) - 1) + _below(chosen)
    if len(inside) <= most:
        return inside
    low, high = math.log(inside[0].cost.macs), math.log(inside[-1].cost.macs)
    found: dict[str, Candidate] = {}
    for number in range(most):
        wanted = low + (number + 0.5) / most * (high - low)
        nearest = min(inside, key=lambda c: abs(math.log(c.cost.macs) - wanted))
        found[nearest.spec.name] = nearest
    return list(found.values())


def _cut_out_of(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    """Those that are none of the chosen ones and lie inside one of them."""
    taken = {candidate.spec.identity for candidate in chosen}
    return [
        c
        for c in candidates
        if c.spec.identity not in taken
        # Of cuts the depth alone tells: one with fewer channels at its end may be deeper and smaller.
        and any(whole.spec.contains(c.spec) and whole.spec.depth >= c.spec.depth for whole in chosen)
    ]


def _lower_end(candidates: Sequence[Candidate], smallest: int) -> float:
    """Bytes of the smallest member that is looked at, where the smallest that is trained takes so many."""
    return max(smallest / DEFAULT_SPREAD, min((c.cost.size_bytes for c in candidates), default=smallest))


def _below(chosen: Sequence[Candidate]) -> int:
    """How many are looked at that are smaller than all that are trained: the more, the fewer gaps there are."""
    return LOOKED_AT * max(1, FEWEST_GAPS - (len(chosen) - 1))


def spread(members: Sequence[T]) -> list[T]:
    """In an order in which those looked at first are from all over: there may not be time for all."""
    return [members[number] for number in sorted(range(len(members)), key=evenly)]


def smaller_inputs(input_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes (height, width) of smaller images that a member may take, largest first."""
    sizes = [tuple(round(share * length / IN_STEPS_OF) * IN_STEPS_OF for length in input_size) for share in SHARES]
    return [(height, width) for height, width in sizes if SMALLEST_INPUT <= min(height, width) < min(input_size)]


def smallest_that_holds(judged: Sequence[Judged], bounds: Sequence[Target], teacher_accuracy: float) -> int | None:
    """Number of the smallest that is within all the bounds, of equally large ones that of the least work; or None.

    Other images are met later, and rounding: one that holds its bounds on accuracy and drop by a standard error goes
    before those that only just do.

    Args:
        judged: trained ones and others.
        bounds: of one of the `bound_sets`.
        teacher_accuracy: on the same validation images.
    """

    def holds(one: Judged, margin: float) -> bool:
        accuracy = one.accuracy - margin * one.standard_error
        values = {"accuracy": accuracy, "drop": teacher_accuracy - accuracy}
        values |= {metric: value(one.cost) for metric, value in PLANNED.items()}
        return all(target.holds(values[target.metric]) for target in bounds)

    just = [number for number, one in enumerate(judged) if holds(one, 0.0)]
    holding = [number for number in just if holds(judged[number], MARGIN)] or just
    if not holding:
        return None
    # The same layers for images of another size take some bytes more or less.
    least = min(judged[number].cost.size_bytes for number in holding)
    about = [number for number in holding if judged[number].cost.size_bytes <= ABOUT_EQUAL * least]
    return min(about, key=lambda number: (judged[number].cost.macs, judged[number].cost.size_bytes))


def front(judged: Sequence[Judged]) -> list[int]:
    """Numbers of those that no other beats: one as small, as cheap and as right, and better in some of it."""
    return pareto_front(
        [
            (one.cost.size_bytes, one.cost.macs, one.cost.latency_ms, one.cost.memory_bytes, -one.accuracy)
            for one in judged
        ]
    )
