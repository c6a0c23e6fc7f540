"""Whether the finished family gives what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from learn2compress.core.family import Family, Member, Model
from learn2compress.core.target import Target, bound_sets
from learn2compress.plan.wording import missed

# A member is of use while it keeps at least this share of the way from chance to the teacher's accuracy. The tiniest
# members that were measured, 50 times smaller than their teachers, keep more than four fifths of it; what loses a
# quarter was cut deeper than its training could mend.
LEAST_SKILL = 0.75


def collapses(members: Sequence[Member], teacher: Model, classes: int, larger: str = "") -> list[str]:
    """For each member, where too little is left of it, a sentence that says so and names the nearest that holds.

    It is empty of those that hold. Where none does, it says what would take more and was not trained.

    Args:
        members: measured; judged by their accuracy on the validation split.
        teacher: likewise.
        classes: how many there are; chance is one in so many.
        larger: what the next larger member that could be built would take; empty where there is none.
    """
    floor = 1 / classes + LEAST_SKILL * (teacher.accuracy.validation - 1 / classes)
    holding = [member for member in members if member.accuracy.validation >= floor]
    return ["" if member in holding else _collapsed(member, holding, teacher, floor, larger) for member in members]


def _collapsed(member: Member, holding: Sequence[Member], teacher: Model, floor: float, larger: str) -> str:
    asked = f" (asked for: {', '.join(member.targets)})" if member.targets else ""
    said = (
        f"{member.name}{asked} has collapsed: it is right on {member.accuracy.validation:.1%} of the validation "
        f"images, the teacher on {teacher.accuracy.validation:.1%}; of use would be {floor:.1%}, which is "
        f"{LEAST_SKILL:.0%} of the way there from chance."
    )
    size = member.size_bytes or 0
    nearest = min(holding, key=lambda other: abs((other.size_bytes or 0) - size), default=None)
    if nearest:
        return (
            f"{said} The nearest member that holds is {nearest.name}: {nearest.size_bytes:,} bytes, "
            f"{nearest.accuracy.validation:.1%}."
        )
    if larger:
        return (
            f"{said} No member holds. The next larger one that can be built would have {larger}; it was not trained: "
            "ask for it, or give a larger --budget."
        )
    return f"{said} No member holds, and no larger one can be built: give a larger --budget, or another --from."


def value_of(member: Member, metric: str) -> float:
    """The measured value that a target of this metric is held against; what was not measured is beyond all bounds."""
    unknown = float("inf")
    values: dict[str, float] = {
        "size": member.size_bytes or 0,
        "macs": member.macs or 0,
        "latency": member.latency_ms.median if member.latency_ms else unknown,
        "memory": unknown if member.peak_memory_bytes is None else member.peak_memory_bytes,
        "accuracy": member.accuracy.test,
        "drop": member.accuracy_drop,
    }
    return values[metric]


def unmet_targets(family: Family, targets: Sequence[Target]) -> str:
    """A sentence for each set of bounds that no member meets; empty when all are met."""
    return " ".join(filter(None, (_unmet(family, bounds) for bounds in bound_sets(targets))))


def _unmet(family: Family, bounds: Sequence[Target]) -> str:
    """Empty where a member is within all of the bounds; else how far the nearest is off."""

    def beyond(member: Member) -> list[tuple[Target, float]]:
        values = [(target, value_of(member, target.metric)) for target in bounds]
        return [(target, value) for target, value in values if not target.holds(value)]

    def distance(member: Member) -> float:
        return sum(abs(value / target.bound - 1) for target, value in beyond(member))

    nearest = min(family.members, key=distance)
    off = beyond(nearest)
    if not off:
        return ""
    texts = " and ".join(target.text for target in bounds)
    said = "; ".join(missed(target, value) for target, value in off)
    return f"No member meets {texts}{' at once' if len(bounds) > 1 else ''}: the nearest, {nearest.name}, has {said}."
