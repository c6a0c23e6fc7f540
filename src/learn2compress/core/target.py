"""Targets: the bounds a user puts on a member, such as `size<=100KB` or `accuracy>=0.9`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from learn2compress.core import units
from learn2compress.core.errors import InputError

Metric = Literal["size", "macs", "latency", "memory", "accuracy", "drop"]

# metric -> (direction, units, example)
METRICS: dict[str, tuple[str, dict[str, float], str]] = {
    "size": ("<=", units.BYTES, "size<=100KB"),
    "macs": ("<=", units.COUNTS, "macs<=10M"),
    "latency": ("<=", units.MILLISECONDS, "latency<=5ms"),
    "memory": ("<=", units.BYTES, "memory<=1MB"),
    "accuracy": (">=", units.FRACTIONS, "accuracy>=0.92"),
    "drop": ("<=", units.FRACTIONS, "drop<=0.01"),
}

# How right a member is; the others are what it costs.
QUALITY = ("accuracy", "drop")

_EXPRESSION = re.compile(r"\s*([A-Za-z_]+)\s*(<=|>=|==|[<>=](?!=))\s*(.+?)\s*")


@dataclass(frozen=True)
class Target:
    """One bound. `bound` is in bytes, MACs, milliseconds or a fraction of 1, after `metric`."""

    metric: str
    bound: float
    text: str

    def holds(self, value: float) -> bool:
        """Whether `value` (same unit as `bound`) is within the bound."""
        return value <= self.bound if METRICS[self.metric][0] == "<=" else value >= self.bound

    @staticmethod
    def parse(text: str) -> Target:
        """Reads one expression.

        Raises:
            InputError: `target.malformed`, `target.unknown_metric`, `target.direction`,
                `target.unsatisfiable` or `target.bounds_nothing`.
        """
        match = _EXPRESSION.fullmatch(text)
        examples = ", ".join(example for _, _, example in METRICS.values())
        if match is None:
            raise InputError(
                "target.malformed",
                f"The target {text!r} is not of the form METRIC<=VALUE.",
                f"write it like one of {examples} (quote it, or the shell takes the < for a redirection).",
            )
        metric, comparison, value = match.group(1).lower(), match.group(2), match.group(3)
        if metric not in METRICS:
            raise InputError(
                "target.unknown_metric",
                f"The target {text!r} names the metric {metric!r}, which is not known.",
                f"use one of {', '.join(METRICS)}, for example {examples}.",
            )
        direction, unit_table, example = METRICS[metric]
        if comparison != direction:
            raise InputError(
                "target.direction",
                f"The target {text!r} uses {comparison!r}, but {metric} is bounded with {direction!r}.",
                f"write it like {example}.",
            )
        bound = units.quantity(value, unit_table, f"In the target {text!r}, the value", example)
        shares = unit_table is units.FRACTIONS
        # Who writes 90, or a drop of 1, most likely means percent.
        percent = shares and 1 <= bound <= 100 and not value.endswith("%")
        fix = (
            f"did you mean {metric}{direction}{value}%? Else write it like {example}."
            if percent
            else f"write it like {example}."
        )
        if (shares and bound > 1) or bound <= 0:
            expected = "a fraction between 0 and 1" if shares else "more than zero"
            raise InputError(
                "target.unsatisfiable", f"The target {text!r} can't be met: its bound must be {expected}.", fix
            )
        if percent and direction == "<=":
            raise InputError(
                "target.bounds_nothing", f"The target {text!r} allows 100 %: whatever is made meets it.", fix
            )
        return Target(metric, bound, f"{metric}{direction}{value}")


def bound_sets(targets: Sequence[Target]) -> list[tuple[Target, ...]]:
    """What must hold together: bounds on different metrics, for one and the same member.

    Several bounds on one metric ask for several members. The first set has the loosest bound on each cost and the
    strictest on each quality, as the largest member is the best; the next has the next ones. A cost that has fewer
    bounds than another keeps its last; a quality is asked for as often as it stands there.
    """
    by_metric: dict[str, list[Target]] = {}
    for target in targets:
        by_metric.setdefault(target.metric, []).append(target)
    for metric, own in by_metric.items():
        own.sort(key=lambda target: target.bound, reverse=metric != "drop")
    sets = []
    for number in range(max(map(len, by_metric.values()), default=0)):
        chosen = []
        for metric, own in by_metric.items():
            if number < len(own):
                chosen.append(own[number])
            elif metric not in QUALITY:
                chosen.append(own[-1])
        sets.append(tuple(chosen))
    return sets
