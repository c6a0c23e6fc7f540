"""The members that the search after joint training looked at, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from learn2compress.core.family import Family
from learn2compress.core.searched import LookedAt, Searched
from learn2compress.core.units import milliseconds, percent, show_bytes, show_count
from learn2compress.report.rows import MISSING


@dataclass(frozen=True)
class SearchRow:
    """A member that was looked at, with its figures as text; `taken_for` is empty where it was not taken."""

    name: str
    detail: str
    size: str
    macs: str
    latency: str
    memory: str
    accuracy: str
    on_front: bool
    taken_for: str


@dataclass(frozen=True)
class SearchTable:
    """All of them, the largest first, and what they are to be held against.

    `measured` is whether latency or memory is known of any; `left_out` is how many there was no time for.
    """

    rows: tuple[SearchRow, ...]
    images: int
    teacher: str
    left_out: int
    measured: bool


def search_table(family: Family) -> SearchTable | None:
    """The table; None where nothing was searched, or another version wrote down what was."""
    try:
        found = Searched.model_validate(family.plan["search"])
    except (KeyError, ValidationError):
        return None
    spares = sum(not one.trained for one in found.members)
    return SearchTable(
        rows=tuple(_row(one) for one in sorted(found.members, key=lambda one: (-one.size_bytes, -one.macs))),
        images=found.images,
        teacher=percent(found.teacher_accuracy),
        left_out=max(0, found.spares - spares),
        measured=any(one.latency_ms is not None or one.peak_memory_bytes is not None for one in found.members),
    )


def _row(one: LookedAt) -> SearchRow:
    height, width = one.input_size
    return SearchRow(
        name=one.name,
        detail=f"{width}×{height}, {'trained' if one.trained else 'cut out'}",
        size=show_bytes(one.size_bytes),
        macs=show_count(one.macs),
        latency=MISSING if one.latency_ms is None else milliseconds(one.latency_ms),
        memory=MISSING if one.peak_memory_bytes is None else show_bytes(one.peak_memory_bytes),
        accuracy=percent(one.accuracy_validation),
        on_front=one.on_front,
        taken_for=", ".join(one.taken_for),
    )
