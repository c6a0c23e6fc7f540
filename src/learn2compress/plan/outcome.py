"""Whether the finished family gives what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from learn2compress.core.family import Family, Member
from learn2compress.core.target import Target


def value_of(member: Member, metric: str) -> float:
    """The measured value that a target of this metric is held against."""
    values: dict[str, float] = {
        "size": member.size_bytes or 0,
        "macs": member.macs or 0,
        "accuracy": member.accuracy.test,
        "drop": member.accuracy_drop,
    }
    return values[metric]


def unmet_targets(family: Family, targets: Sequence[Target]) -> str:
    """A sentence for each target that no member meets; empty when all are met."""
    sentences = []
    for target in targets:
        values = [value_of(member, target.metric) for member in family.members]
        if any(target.holds(value) for value in values):
            continue
        nearest = max(values) if target.metric == "accuracy" else min(values)
        off = abs(nearest - target.bound)
        sentences.append(f"No member meets {target.text}: the nearest has {nearest:.6g}, off by {off:.3g}.")
    return " ".join(sentences)
