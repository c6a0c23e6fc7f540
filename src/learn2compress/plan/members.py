"""Which members to train: one within each bound asked for, the others spread evenly between large and tiny."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from learn2compress.core.errors import TargetsUnmetError
from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.target import Target, bound_sets

# Only these bounds are known before training; accuracy and drop are checked on the finished family.
PLANNED: dict[str, Callable[[Cost], float]] = {
    "size": lambda cost: cost.size_bytes,
    "macs": lambda cost: cost.macs,
    "latency": lambda cost: cost.latency_ms,
    "memory": lambda cost: cost.memory_bytes,
}
# What pruning reckons a channel's worth in: time and memory go with the work.
PRICES = {"size": "size", "macs": "macs", "latency": "macs", "memory": "macs"}
SIZE_WORDS = ("large", "medium", "small", "tiny", "micro")
# The tiniest member by default: this many times smaller than the largest. A teacher cut lower than that has lost its
# sight: what its first layers see does not tell classes apart.
DEFAULT_SPREAD = 5.0


@dataclass(frozen=True)
class Candidate:
    """A member that could be trained, and what it would cost."""

    spec: MemberSpec
    cost: Cost


def priced_by(targets: Sequence[Target]) -> frozenset[str]:
    """What a member's cost is reckoned in: the metrics of the bounds, or all that is known where there are none."""
    return frozenset(PRICES[target.metric] for target in targets if target.metric in PRICES) or frozenset(
        PRICES.values()
    )


def within(candidate: Candidate, target: Target) -> bool:
    """Whether the bound holds for what is known before training."""
    return target.metric not in PLANNED or target.holds(PLANNED[target.metric](candidate.cost))


def largest_within(candidates: Sequence[Candidate], *targets: Target) -> Candidate:
    """The largest candidate within all the bounds.

    Raises:
        TargetsUnmetError: `targets.out_of_reach` when even the smallest candidate is beyond one, or none is within
            all: no training would change that.
    """
    fitting = [c for c in candidates if all(within(c, target) for target in targets)]
    if fitting:
        return max(fitting, key=lambda c: c.cost.size_bytes)
    for target in targets:
        if any(within(c, target) for c in candidates):
            continue
        value = min(PLANNED[target.metric](c.cost) for c in candidates)
        least = _shown(target.metric, value)
        raise TargetsUnmetError(
            "targets.out_of_reach",
            f"The target {target.text} can't be met: the smallest member that can be built here has {target.metric} "
            f"{least}, {value / target.bound:.3g} times that. Nothing was trained.",
            f"ask for at least {target.metric}<={least} to get the nearest family, or for a smaller input size.",
        )
    raise TargetsUnmetError(
        "targets.out_of_reach",
        f"No member that can be built here is within {' and '.join(target.text for target in targets)} at once. "
        "Nothing was trained.",
        "loosen one of these bounds.",
    )


def most_within(candidates: Sequence[Candidate], *targets: Target) -> Candidate | None:
    """Of candidates of any proportions the one within all the bounds that has most of both: weights and work."""
    fitting = [c for c in candidates if all(within(c, target) for target in targets)]
    return max(fitting, key=lambda c: c.cost.size_bytes * c.cost.macs, default=None)


def bounds_work_and_size(targets: Sequence[Target]) -> bool:
    """Whether some member must keep to a bound on size and to one on work, which ask for different proportions."""
    return any({"size"} < {target.metric for target in bounds} for bounds in _planned_sets(targets))


def _shown(metric: str, value: float) -> str:
    """A value that is not below what it stands for."""
    return f"{math.ceil(100 * value) / 100:g}ms" if metric == "latency" else f"{math.ceil(value)}"


def widest_member(candidates: Sequence[Candidate], targets: Sequence[Target], largest_bytes: float) -> Candidate:
    """The widest member of the family: the largest that any bound on size or MACs lets in.

    Args:
        candidates: all that could be the widest.
        targets: the bounds.
        largest_bytes: its size where no target says otherwise.
    """
    smallest = min(candidates, key=lambda c: c.cost.size_bytes)
    planned = _planned_sets(targets)
    if not planned:
        return _nearest(candidates, max(largest_bytes, smallest.cost.size_bytes))
    fitting = [c for c in candidates if any(all(within(c, target) for target in bounds) for bounds in planned)]
    return max(fitting, key=lambda c: c.cost.size_bytes, default=smallest)


def choose_members(
    candidates: Sequence[Candidate],
    targets: Sequence[Target],
    count: int,
    largest_bytes: float,
    uneven: Sequence[Candidate] = (),
) -> list[Candidate]:
    """Picks the members, widest first.

    Args:
        candidates: all that can be built.
        targets: bounds; each of the `bound_sets` on size and MACs gets a member of its own.
        count: how many members there should be at least.
        largest_bytes: size of the largest member where no target says otherwise.
        uneven: candidates of other proportions, taken where a member's bounds let in more of these.
    """
    chosen: dict[str, Candidate] = {}
    for bounds in _planned_sets(targets):
        pick = most_within([*candidates, *uneven], *bounds) if uneven else None
        pick = pick or largest_within(candidates, *bounds)
        known = chosen.get(pick.spec.name, pick)
        new = [target.text for target in bounds if target.text not in known.spec.targets]
        spec = replace(known.spec, targets=(*known.spec.targets, *new))
        chosen[pick.spec.name] = Candidate(spec, pick.cost)
    smallest = min(c.cost.size_bytes for c in candidates)
    if not chosen:
        pick = _nearest(candidates, max(largest_bytes, smallest))
        chosen[pick.spec.name] = pick
    top = max(c.cost.size_bytes for c in chosen.values())
    bottom = max(smallest, top / DEFAULT_SPREAD)
    while len(chosen) < min(count, len(candidates)):
        between = _fill_gap(candidates, list(chosen.values()), bottom)
        if between is None:
            break
        chosen[between.spec.name] = between
    # Deeper before wider: a shallow cut with many channels has a large head, and can be the bigger file.
    ordered = sorted(chosen.values(), key=lambda c: (-c.spec.depth, -c.cost.size_bytes))
    return [Candidate(replace(c.spec, name=n), c.cost) for c, n in zip(ordered, names(ordered), strict=True)]


def _planned_sets(targets: Sequence[Target]) -> list[tuple[Target, ...]]:
    """The bounds that are known before training, those together that must hold together."""
    return bound_sets([target for target in targets if target.metric in PLANNED])


def names(ordered: Sequence[Candidate]) -> list[str]:
    """File names, largest first: `large`, `medium`, `tiny`, or numbered where words run out."""
    n = len(ordered)
    words = {1: ["small"], 2: ["large", "small"], 3: ["large", "small", "tiny"]}.get(n)
    if words is None:
        words = list(SIZE_WORDS[:n]) if n <= len(SIZE_WORDS) else [f"member-{i + 1}" for i in range(n)]
    return words


def _nearest(candidates: Sequence[Candidate], size_bytes: float) -> Candidate:
    """The largest candidate of at most this size, else the smallest of all."""
    fitting = [c for c in candidates if c.cost.size_bytes <= size_bytes]
    if not fitting:
        return min(candidates, key=lambda c: c.cost.size_bytes)
    return max(fitting, key=lambda c: c.cost.size_bytes)


def _fill_gap(candidates: Sequence[Candidate], chosen: Sequence[Candidate], bottom: float) -> Candidate | None:
    """A candidate in the widest gap (on a log scale) of the sizes chosen so far; None when there is none left."""
    taken = {c.spec.name for c in chosen}
    sizes = sorted((c.cost.size_bytes for c in chosen), reverse=True)
    if sizes[-1] > 1.5 * bottom:
        wanted = bottom
    else:
        gaps = [(a / b, math.sqrt(a * b)) for a, b in pairwise(sizes)]
        wanted = max(gaps)[1] if gaps else sizes[0]
    free = [c for c in candidates if c.spec.name not in taken]
    if not free:
        return None
    # Larger ones only where nothing smaller is left.
    free = [c for c in free if c.cost.size_bytes < sizes[0]] or free
    return min(free, key=lambda c: abs(math.log(c.cost.size_bytes / wanted)))


def largest_by_default(teacher_parameters: int | None, targets: Sequence[Target] = ()) -> float:
    """Bytes of the largest member where no target bounds its cost: a little under a tenth of the float32 teacher.

    A black-box teacher of unknown size gets students of about 300 kB. Where only accuracy or drop is bounded it is
    twice that: the bound decides how small the member can be, and it may hold for none of the usual ones.
    """
    usual = 4 * teacher_parameters / 10.5 if teacher_parameters else 300_000
    return 2 * usual if targets else usual
