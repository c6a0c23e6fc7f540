"""How a bound is written, and what a member has in its place."""

from __future__ import annotations

import math
from collections.abc import Callable

from learn2compress.core.target import Target
from learn2compress.core.units import milliseconds, percent, rounded_up, show_bytes, show_count, show_points

Show = Callable[[float], str]
_MACS = " MACs"


def _show_macs(n: float) -> str:
    return f"{show_count(n)}{_MACS}"


def _show_latency(value: float) -> str:
    return f"{milliseconds(value)} ms"


# How people read a value of a metric, and the difference of two.
SHOWN: dict[str, tuple[Show, Show]] = {
    "size": (show_bytes, show_bytes),
    "macs": (_show_macs, _show_macs),
    "latency": (_show_latency, _show_latency),
    "memory": (show_bytes, show_bytes),
    "accuracy": (lambda value: percent(value, 2), show_points),
    "drop": (show_points, show_points),
}


def told(metric: str, value: float) -> str:
    """What a member has of a metric, such as `size 90 kB` or `1.8 M MACs`."""
    if math.isinf(value):
        return f"no measured {metric}"
    shown = SHOWN[metric][0](value)
    return shown if metric == "macs" else f"{metric} {shown}"


def missed(target: Target, value: float) -> str:
    """The same of a value beyond the bound, and by how much it is: `size 90 kB, off by 10 kB`."""
    gap = abs(value - target.bound)
    off = "" if math.isinf(gap) else f", off by {SHOWN[target.metric][1](gap)}"
    return f"{told(target.metric, value)}{off}"


def cost_bound(metric: str, value: float) -> str:
    """A bound on a cost that the value keeps, in three digits: `size<=23.5KB`."""
    upward = SHOWN[metric][0](rounded_up(value, 0.01 if metric == "latency" else 1))
    return f"{metric}<={upward.removesuffix(_MACS).replace(' ', '').replace('k', 'K')}"
