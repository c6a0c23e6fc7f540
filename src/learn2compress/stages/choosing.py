"""Members are chosen by estimates, and anew for as long as what is written and measured breaks a bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from learn2compress.core.errors import TargetsUnmetError
from learn2compress.core.options import Options
from learn2compress.core.progress import Stage
from learn2compress.core.target import Target
from learn2compress.plan.budget import affordable_doubtful
from learn2compress.plan.members import (
    PLANNED,
    Candidate,
    bounds_work_and_size,
    choose_members,
    largest_with_room,
    leave_bytes_unused,
    widest_member,
    within,
)
from learn2compress.sources.protocol import MemberSource
from learn2compress.stages.rehearsal import MeasuredCosts, Rehearsal

# What a rehearsed file says of a member.
FILED = ("size", "macs")
# By this share what is interpolated of a member's time or memory may be too high: members of other depths and
# proportions were seen to take up to 14 % less than their MACs say. Those that a bound then lets in are measured.
DOUBT = 0.15
# For the metric and the candidate's name: what the file takes over what was estimated, where it broke a bound.
Over = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Choice:
    """What is chosen of a source's members.

    Their sizes and MACs are estimates, and what is interpolated of time and memory may be on the low side.

    Attributes:
        members: the chosen ones, widest first.
        even: all that can be trained with the widest, each of which contains what is smaller.
        uneven: those of other proportions.
        wides: all that could have been the widest.
        filed: the chosen ones with the sizes and MACs of their files; empty before they are written.
    """

    members: list[Candidate]
    even: list[Candidate]
    uneven: list[Candidate]
    wides: list[Candidate]
    filed: tuple[Candidate, ...] = ()


class Chooser:
    """Chooses members of one source within the bounds.

    Args:
        source: of the members.
        options: the bounds, how many members are asked for, how they are written, and the budget.
        rehearsal: writes members untrained.
        costs: measures what is bounded of them, beside size and MACs.
        largest_bytes: size of the largest member as a rule.
        nearest: take what is least beyond the bounds where nothing is within them.

    Raises:
        InputError, ConversionError: as the source's `candidates` and the rehearsal.
    """

    def __init__(
        self,
        source: MemberSource,
        options: Options,
        rehearsal: Rehearsal,
        costs: MeasuredCosts,
        largest_bytes: float,
        *,
        nearest: bool = False,
    ) -> None:
        self._source, self._rehearsal, self._costs, self._nearest = source, rehearsal, costs, nearest
        self._targets, self._students = options.targets, options.recipe.students
        # By doubted costs another would look nearest; and what could be within the bounds was tried before.
        tries = costs.measures and not nearest
        self._tries = affordable_doubtful(options.budget_seconds) if tries else 0
        # Estimates are of int8; where a size is bounded, they start from what the precision asked for takes.
        bounded = any(target.metric == "size" for target in options.targets)
        self._weight = options.formats[0].kind.bytes_per_weight if bounded else 1.0
        self._over: Over = {}
        self._families: dict[str, tuple[list[Candidate], list[Candidate]]] = {}
        self._wides = source.candidates()
        costs.survey([*self._wides, _least(source, self._wides)])
        self._largest = largest_with_room(
            self._wides,
            lambda base: source.narrower(base, self._wides),
            self._targets,
            self._students,
            largest_bytes,
        )

    def choose(self, stage: Stage) -> Choice:
        """The members, each of them written and, where time or memory is bounded, measured.

        First those are tried that keep the bounds only if they take less than is interpolated of them, as often as
        the budget allows. Where an estimate was too low, what the file really takes decides in the next round.

        Args:
            stage: counts the files that are looked at.

        Raises:
            TargetsUnmetError: `targets.out_of_reach`, unless the nearest are taken.
            ConversionError: a member can't be written.
        """
        doubts = self._doubts()
        while True:
            doubt = next(doubts, 0.0)
            try:
                choice = self._by_estimates(doubt)
            except TargetsUnmetError:
                if not doubt:
                    raise
                # None is left to try. How far off the nearest is, is told by what it takes, not by what it might.
                doubts = iter(())
                continue
            # The others are only written when those that may have to be chosen anew are settled.
            if self._keeps_bounds(choice, stage):
                return replace(choice, filed=tuple(self._written(choice.members, stage)))

    def _doubts(self) -> Iterator[float]:
        """By what share less than is interpolated a member may take, in one try after the other."""
        # Where all members have the same proportions, those next to a miss miss too: half as far beyond the bound is
        # tried after it.
        proportions = any(self._source.uneven(wide) for wide in self._wides)
        for number in range(self._tries):
            yield DOUBT if proportions else DOUBT / 2**number

    def _by_estimates(self, doubt: float) -> Choice:
        """What to take by all that is known so far; for `doubt` see `MeasuredCosts.of`.

        Raises:
            TargetsUnmetError: `targets.out_of_reach`, unless the nearest are taken.
        """
        wides = self._estimated(self._wides, doubt)
        widest = widest_member(wides, self._targets, self._largest)
        even, uneven = (self._estimated(some, doubt) for some in self._family(widest.spec.name))
        wanted = bounds_work_and_size(self._targets) or leave_bytes_unused(even, self._targets)
        offered = uneven if wanted else []
        members = choose_members(even, self._targets, self._students, self._largest, offered, nearest=self._nearest)
        return Choice(members, even, uneven, wides)

    def _family(self, widest: str) -> tuple[list[Candidate], list[Candidate]]:
        """The members that can be trained with the widest of this name, and those of other proportions."""
        if widest not in self._families:
            base = next(c for c in self._wides if c.spec.name == widest)
            self._families[widest] = self._source.narrower(base, self._wides), self._source.uneven(base)
        return self._families[widest]

    def _estimated(self, candidates: Sequence[Candidate], doubt: float) -> list[Candidate]:
        return [self._costs.of(_estimated(candidate, self._over, self._weight), doubt) for candidate in candidates]

    def _keeps_bounds(self, choice: Choice, stage: Stage) -> bool:
        """Whether the members that are there for a bound keep it; what is found otherwise is remembered."""
        bounded = [candidate for candidate in choice.members if candidate.spec.targets]
        filed = self._written(bounded, stage)
        found = _over_target(bounded, filed, self._targets, [*choice.even, *choice.uneven])
        self._over |= {key: self._over.get(key, 1.0) * factor for key, factor in found.items()}
        return not found and all(_holds(self._costs.of(candidate), self._targets) for candidate in bounded)

    def _written(self, members: Sequence[Candidate], stage: Stage) -> list[Candidate]:
        """The members with the sizes and MACs of their files; what else is bounded is measured."""
        filed = [self._rehearsal.filed(candidate) for candidate in stage.track(members)]
        self._costs.measure(members)
        return filed


def _least(source: MemberSource, wides: list[Candidate]) -> Candidate:
    """Of all members the one with the least work: the narrowest base can be narrowed further."""
    narrowest = min(wides, key=lambda c: c.cost.macs)
    return min([*source.narrower(narrowest, wides), *source.uneven(narrowest)], key=lambda c: c.cost.macs)


def _over_target(
    chosen: Sequence[Candidate],
    filed: Sequence[Candidate],
    targets: Sequence[Target],
    candidates: Sequence[Candidate],
) -> Over:
    """For the candidates whose file breaks a bound on size or MACs, what it takes over what was estimated."""
    names = {c.spec.identity: c.spec.name for c in candidates}
    found: Over = {}
    for candidate, real in zip(chosen, filed, strict=True):
        own = [t for t in targets if t.text in candidate.spec.targets and t.metric in FILED]
        for metric in {target.metric for target in own if not within(real, target)}:
            value = PLANNED[metric]
            found[metric, names[candidate.spec.identity]] = value(real.cost) / value(candidate.cost)
    return found


def _holds(candidate: Candidate, targets: Sequence[Target]) -> bool:
    """Whether what was measured is within the bounds that the member was chosen for."""
    own = [t for t in targets if t.text in candidate.spec.targets and t.metric in ("latency", "memory")]
    return all(within(candidate, target) for target in own)


def _estimated(candidate: Candidate, over: Over, weight: float) -> Candidate:
    """The candidate with what its file takes: where each weight takes so many bytes, and as others were found to."""
    spec, cost = candidate.spec, candidate.cost
    # Only the weights: the frame, the operators and what each channel carries are as they are in an int8 file.
    size = cost.size_bytes + (weight - 1) * cost.parameters
    return Candidate(
        spec,
        replace(
            cost,
            size_bytes=math.ceil(size * over.get(("size", spec.name), 1.0)),
            macs=math.ceil(cost.macs * over.get(("macs", spec.name), 1.0)),
        ),
    )
