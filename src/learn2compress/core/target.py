"""Targets: the bounds a user puts on a member, such as `size<=100KB` or `accuracy>=0.9`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from learn2compress.core import units
from learn2compress.core.errors import InputError

Metric = Literal["size", "macs", "accuracy", "drop"]

# metric -> (direction, units, example)
METRICS: dict[str, tuple[str, dict[str, float], str]] = {
    "size": ("<=", units.BYTES, "size<=100KB"),
    "macs": ("<=", units.COUNTS, "macs<=10M"),
    "accuracy": (">=", units.FRACTIONS, "accuracy>=0.92"),
    "drop": ("<=", units.FRACTIONS, "drop<=0.01"),
}

_EXPRESSION = re.compile(r"\s*([A-Za-z_]+)\s*(<=|>=|==|[<>=](?!=))\s*(.+?)\s*")


@dataclass(frozen=True)
class Target:
    """One bound. `bound` is in bytes, MACs or a fraction of 1, after `metric`."""

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
            InputError: `target.malformed`, `target.unknown_metric`, `target.direction` or `target.unsatisfiable`.
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
        if (unit_table is units.FRACTIONS and bound > 1) or bound <= 0:
            expected = "a fraction between 0 and 1" if unit_table is units.FRACTIONS else "more than zero"
            raise InputError(
                "target.unsatisfiable",
                f"The target {text!r} can't be met: its bound must be {expected}.",
                f"write it like {example}.",
            )
        return Target(metric, bound, f"{metric}{direction}{value}")
