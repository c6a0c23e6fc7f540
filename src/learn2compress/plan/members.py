"""Which members to train: one within each bound asked for, the others spread evenly between large and tiny."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from learn2compress.core.errors import TargetsUnmetError
from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.target import Target, bound_sets
from learn2compress.plan.wording import cost_bound, missed, told

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
# Where nothing bounds their cost, members are this many times smaller than the one before at least, on average.
LEAST_STEP = 1.2
# Of the bytes that a bound on size lets a member have, it should use this share.
WELL_USED = 0.9


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


def bounds_work(targets: Sequence[Target]) -> bool:
    """Whether some bound is on what goes with the work: multiply-accumulates, time or memory."""
    return any(PRICES.get(target.metric) == PRICES["macs"] for target in targets)


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
    if not fitting:
        raise _out_of_reach(candidates, targets)
    return max(fitting, key=_size)


def nearest_to(candidates: Sequence[Candidate], *targets: Target) -> Candidate:
    """The candidate that is least beyond the bounds, and of such ones the largest."""
    return min(candidates, key=lambda c: (_excess(c, targets), -_size(c)))


def _out_of_reach(candidates: Sequence[Candidate], targets: Sequence[Target]) -> TargetsUnmetError:
    """Says which bound none of the candidates keeps, or else of the nearest which ones it does not."""
    nearest = nearest_to(candidates, *targets)
    excess = _excess(nearest, targets)
    for target in targets:
        if any(within(c, target) for c in candidates):
            continue
        value = min(PLANNED[target.metric](c.cost) for c in candidates)
        return TargetsUnmetError(
            "targets.out_of_reach",
            f"The target {target.text} can't be met: the smallest member that can be built here has "
            f"{told(target.metric, value)}, {value / target.bound:.3g} times that.",
            f"ask for at least {cost_bound(target.metric, value)}, or for a smaller input size.",
            excess,
        )
    values = [(target, PLANNED[target.metric](nearest.cost)) for target in targets if target.metric in PLANNED]
    said = "; ".join(told(t.metric, value) if t.holds(value) else missed(t, value) for t, value in values)
    enough = " and ".join(t.text if t.holds(value) else cost_bound(t.metric, value) for t, value in values)
    return TargetsUnmetError(
        "targets.out_of_reach",
        f"No member that can be built here is within {' and '.join(target.text for target in targets)} at once: the "
        f"nearest, {nearest.spec.name}, has {said}.",
        f"ask for {enough} or so.",
        excess,
    )


def _excess(candidate: Candidate, targets: Sequence[Target]) -> float:
    """By what share of the bounds it is beyond them, summed over those that it breaks."""
    return sum(PLANNED[t.metric](candidate.cost) / t.bound - 1 for t in targets if not within(candidate, t))


def most_within(candidates: Sequence[Candidate], *targets: Target) -> Candidate | None:
    """Of candidates of any proportions the one within all the bounds that has most of both: weights and work."""
    fitting = [c for c in candidates if all(within(c, target) for target in targets)]
    return max(fitting, key=_weights_and_work, default=None)


def bounds_work_and_size(targets: Sequence[Target]) -> bool:
    """Whether some member must keep to a bound on size and to one on work, which ask for different proportions."""
    return any({"size"} < {target.metric for target in bounds} for bounds in _planned_sets(targets))


def leave_bytes_unused(candidates: Sequence[Candidate], targets: Sequence[Target]) -> bool:
    """Whether for some bound on size the nearest candidate is far below it, so large are their steps there.

    Args:
        candidates: each of which contains what is smaller.
        targets: the bounds.
    """
    for bounds in _planned_sets(targets):
        most = min((target.bound for target in bounds if target.metric == "size"), default=math.inf)
        sizes = [_size(c) for c in candidates if all(within(c, target) for target in bounds)]
        if sizes and WELL_USED * most > max(sizes) and most < max(map(_size, candidates)):
            return True
    return False


def widest_member(candidates: Sequence[Candidate], targets: Sequence[Target], largest_bytes: float) -> Candidate:
    """The widest member of the family: of those that any bound on size or MACs lets in the one that has most of both.

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
    return max(fitting, key=_weights_and_work, default=smallest)


def largest_with_room(
    candidates: Sequence[Candidate],
    narrower: Callable[[Candidate], Sequence[Candidate]],
    targets: Sequence[Target],
    count: int,
    largest_bytes: float,
) -> float:
    """Size of the largest member, where need be beyond the usual: of a small or lean teacher little can be taken.

    Where a bound says how large members may be, it stays as it is.

    Args:
        candidates: all that could be the widest.
        narrower: the members that can be trained with one of them, itself included.
        targets: the bounds.
        count: how many members are asked for.
        largest_bytes: size of the largest member as a rule.
    """
    if _planned_sets(targets):
        return largest_bytes
    usual = widest_member(candidates, targets, largest_bytes)
    larger = sorted((c for c in candidates if c.cost.size_bytes > usual.cost.size_bytes), key=_size)
    bases = [usual, *larger]
    enough = (base for base in bases if _have_room(narrower(base), count))
    # Where none has room for all, the one that has most to choose from, and of such ones the usual or next to it.
    found = next(enough, None) or max(bases, key=lambda base: len(narrower(base)))
    return largest_bytes if found is usual else found.cost.size_bytes


def _have_room(candidates: Sequence[Candidate], count: int) -> bool:
    """Whether so many can be chosen that differ in size."""
    sizes = [c.cost.size_bytes for c in candidates]
    return len(sizes) >= count and max(sizes) >= LEAST_STEP ** (count - 1) * min(sizes)


def _size(candidate: Candidate) -> int:
    return candidate.cost.size_bytes


def _weights_and_work(candidate: Candidate) -> tuple[float, int]:
    """What a member learns with: of two of nearly one size the one that does more with it is better."""
    return candidate.cost.size_bytes * candidate.cost.macs, candidate.cost.size_bytes


def next_larger(candidates: Sequence[Candidate], chosen: Sequence[Candidate], metric: str) -> Candidate | None:
    """The smallest candidate that takes a step more than all that were chosen, and has more to learn with.

    Where none takes so much more, the one that takes most; None where none takes more.

    Args:
        candidates: all that could be built.
        chosen: what was taken of them.
        metric: one of `PLANNED`.
    """
    most = max(PLANNED[metric](c.cost) for c in chosen)
    top = max(map(_weights_and_work, chosen))
    more = {c: PLANNED[metric](c.cost) / most for c in candidates if _weights_and_work(c) > top}
    larger = sorted((c for c in more if more[c] > 1), key=lambda c: more[c])
    return next((c for c in larger if more[c] >= LEAST_STEP), larger[-1] if larger else None)


def choose_members(
    candidates: Sequence[Candidate],
    targets: Sequence[Target],
    count: int,
    largest_bytes: float,
    uneven: Sequence[Candidate] = (),
    *,
    nearest: bool = False,
) -> list[Candidate]:
    """Picks the members, widest first; the widest contains all others.

    Args:
        candidates: all that can be built, each of which contains what is smaller.
        targets: bounds; each of the `bound_sets` on size and MACs gets a member of its own.
        count: how many members there should be at least.
        largest_bytes: size of the largest member where no target says otherwise.
        uneven: candidates of other proportions, taken where a member's bounds let in more of these. The largest
            candidate contains them; if it is beyond the bounds itself, they may leave too few to train them with.
        nearest: take what is least beyond the bounds where nothing is within them.

    Raises:
        TargetsUnmetError: `targets.out_of_reach`, unless the nearest are taken.
    """
    chosen = _one_for_each_set(targets, candidates, uneven, nearest=nearest)
    if uneven:
        inside = _inside(candidates, list(chosen.values()))
        enough = len(chosen.keys() | {c.spec.name for c in inside or ()}) >= min(count, len(candidates))
        # Where the nearest are taken, these are beyond the bounds whatever is taken.
        if inside is not None and (enough or not (nearest or _within_reach(targets, candidates))):
            candidates = inside or list(chosen.values())
        else:
            chosen = _one_for_each_set(targets, candidates, (), nearest=nearest)
    smallest = min(c.cost.size_bytes for c in candidates)
    if not chosen:
        pick = _nearest(candidates, max(largest_bytes, smallest))
        chosen[pick.spec.name] = pick
    top = max(c.cost.size_bytes for c in chosen.values())
    bottom = max(smallest, top / DEFAULT_SPREAD)
    while len(chosen) < count:
        between = _fill_gap(candidates, list(chosen.values()), bottom)
        if between is None:
            break
        chosen[between.spec.name] = between
    # Deeper before wider: a shallow cut with many channels has a large head, and can be the bigger file.
    ordered = sorted(chosen.values(), key=lambda c: (-c.spec.depth, -c.cost.size_bytes))
    return [Candidate(replace(c.spec, name=n), c.cost) for c, n in zip(ordered, names(ordered), strict=True)]


def _one_for_each_set(
    targets: Sequence[Target], candidates: Sequence[Candidate], uneven: Sequence[Candidate], *, nearest: bool
) -> dict[str, Candidate]:
    """By its name, the candidate to take for each of the bound sets; one may be for several.

    It is marked with those of the bounds that it keeps: all, or, of the nearest, some.

    Raises:
        TargetsUnmetError: `targets.out_of_reach`, unless the nearest are taken.
    """
    chosen: dict[str, Candidate] = {}
    offered = [*candidates, *uneven]
    for bounds in _planned_sets(targets):
        pick = most_within(offered, *bounds) if uneven else None
        if pick is None:
            some = any(all(within(c, target) for target in bounds) for c in offered)
            pick = nearest_to(offered, *bounds) if nearest and not some else largest_within(offered, *bounds)
        known = chosen.get(pick.spec.name, pick)
        new = [t.text for t in bounds if within(pick, t) and t.text not in known.spec.targets]
        spec = replace(known.spec, targets=(*known.spec.targets, *new))
        chosen[pick.spec.name] = Candidate(spec, pick.cost)
    return chosen


def _within_reach(targets: Sequence[Target], candidates: Sequence[Candidate]) -> bool:
    """Whether each of the bound sets is kept by some candidate."""
    return all(
        any(all(within(c, target) for target in bounds) for c in candidates) for bounds in _planned_sets(targets)
    )


def _inside(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate] | None:
    """Those of the candidates that nest in the one of the chosen that contains all others; None if there is none."""
    for widest in chosen:
        if all(widest.spec.contains(c.spec) for c in chosen):
            return [c for c in candidates if widest.spec.contains(c.spec)]
    return None


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
    """The candidate of at most this size that has most of both, weights and work; else the smallest of all."""
    fitting = [c for c in candidates if c.cost.size_bytes <= size_bytes]
    return max(fitting, key=_weights_and_work) if fitting else min(candidates, key=_size)


def _fill_gap(candidates: Sequence[Candidate], chosen: Sequence[Candidate], bottom: float) -> Candidate | None:
    """A candidate in the widest gap (on a log scale) of the sizes chosen so far; None when there is none left."""
    taken = {c.spec.name for c in chosen}
    sizes = sorted((c.cost.size_bytes for c in chosen), reverse=True)
    if sizes[-1] > 1.5 * bottom:
        wanted = bottom
    else:
        gaps = [(a / b, math.sqrt(a * b)) for a, b in pairwise(sizes)]
        wanted = max(gaps)[1] if gaps else bottom
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
