"""The result of a run in words, for the top of the page and the caption of the table."""

from __future__ import annotations

import math

from learn2compress.core.family import Family, Member
from learn2compress.core.units import percent, show_bytes
from learn2compress.report.rows import points, times

_WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def headline(family: Family) -> str:
    """One sentence: how many models, how much smaller."""
    members = family.members
    if not members:
        return "No model was made."
    count = _WORDS[len(members)] if len(members) < len(_WORDS) else str(len(members))
    noun = "model" if len(members) == 1 else "models"
    ratios = [m.ratio_to_teacher.size for m in members if m.ratio_to_teacher.size is not None]
    if ratios:
        return f"{count} {noun}, {_span(times(min(ratios)), times(max(ratios)))} smaller than the teacher."
    sizes = [m.size_bytes for m in members if m.size_bytes is not None]
    if sizes:
        return f"{count} {noun} of {_span(show_bytes(min(sizes)), show_bytes(max(sizes)))}."
    return f"{count} small {noun}."


def subline(family: Family) -> str:
    """What the smallness costs: the accuracies of the best and the smallest member beside the teacher's."""
    if not family.members:
        return ""
    teacher = family.teacher.accuracy
    best = most_accurate(family)
    least = min(family.members, key=lambda m: m.size_bytes or 0)
    text = (
        f"The best on validation images, {best.name}, is right on {percent(best.accuracy.test)} of "
        f"{best.accuracy.test_examples:,} test examples where the teacher is right on {percent(teacher.test)}"
        f" ({_change(best.accuracy_drop)})."
    )
    if least is not best:
        size = f" in {show_bytes(least.size_bytes)}" if least.size_bytes is not None else ""
        text += f" The smallest, {least.name}, keeps {percent(least.accuracy.test)}{size}."
    return text


def most_accurate(family: Family) -> Member:
    """The member that is best on validation, as `Family.best` chooses; of equals the smallest."""
    return max(family.members, key=lambda m: (m.accuracy.validation, -(m.size_bytes or 0)))


def fine_print(family: Family) -> str:
    """What the figures are, and where they were taken."""
    accuracy, where = family.teacher.accuracy, family.environment
    own = " (the teacher's: of the model itself, as it has no file)" if family.teacher.file is None else ""
    error = points(sampling_error(accuracy.test, accuracy.test_examples))
    lines = (
        f"Accuracy is that of the .tflite file{own} on {accuracy.test_examples:,} test examples, "
        f"so it is known to about ±{error} points (95 %)."
    )
    timed = [m.latency_ms for m in family.members if m.latency_ms is not None]
    cores = f"{where.cores} {'core' if where.cores == 1 else 'cores'}"
    host = f"{where.processor}, {cores}, {where.system}"
    if not timed:
        return f"{lines} Host: {host}."
    threads = f"{timed[0].threads} {'thread' if timed[0].threads == 1 else 'threads'}"
    return f"{lines} Latency is the median of one inference, {threads}, files interleaved, on {host}."


def sampling_error(fraction: float, examples: int) -> float:
    """How far an accuracy measured on so many examples may be off: the farther end of Wilson's 95 % interval.

    The normal approximation would call an accuracy of 100 % certain, however few the examples.
    """
    if not examples:
        return 1.0
    z2 = 1.96**2 / examples
    middle = (fraction + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * max(fraction * (1 - fraction) + z2 / 4, 0.0)) / (1 + z2)
    return abs(fraction - middle) + half


def _change(drop: float) -> str:
    if abs(drop) < 0.0005:
        return "no points lost"
    return f"{points(abs(drop))} points {'less' if drop > 0 else 'more'}"


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
