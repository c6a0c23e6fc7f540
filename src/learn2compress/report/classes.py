"""Accuracy class by class: each member beside the teacher, the classes that lose most first."""

from __future__ import annotations

from dataclasses import dataclass

from learn2compress.core.family import Family
from learn2compress.core.units import percent
from learn2compress.report.rows import MISSING, points, rows

SHOWN = 20
# A loss of this many points gets the strongest shade.
_FULL_SHADE = 0.25


@dataclass(frozen=True)
class Cell:
    """One class of one model.

    Attributes:
        text: its accuracy.
        change: the difference from the teacher in points, signed; empty for the teacher.
        shade: -1 (lost most) to 1 (gained most), 0 for no shade.
    """

    text: str
    change: str = ""
    shade: float = 0.0


@dataclass(frozen=True)
class ClassTable:
    """Rows are classes, columns models, the teacher first; `left_out` classes lose less than those shown."""

    models: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    left_out: int


def class_table(family: Family, shown: int = SHOWN) -> ClassTable | None:
    """The accuracy of each class under the teacher and the members; None where it was not measured.

    Classes are ordered by the mean loss over the members, the greatest first.
    """
    names = family.dataset.class_names
    teacher = family.teacher.accuracy.per_class_test
    members = [row.model for row in rows(family) if row.kind == "member"]
    members = [m for m in members if len(m.accuracy.per_class_test) == len(names)]
    if not names or not members:
        return None
    reference = teacher if len(teacher) == len(names) else (None,) * len(names)
    columns = [m.accuracy.per_class_test for m in members]
    order = sorted(range(len(names)), key=lambda i: _mean_loss(reference[i], [c[i] for c in columns]), reverse=True)
    return ClassTable(
        models=(family.teacher.name, *(m.name for m in members)),
        rows=tuple(
            (names[i], (_cell(reference[i], None), *(_cell(c[i], reference[i]) for c in columns)))
            for i in order[:shown]
        ),
        left_out=max(len(names) - shown, 0),
    )


def _mean_loss(reference: float | None, values: list[float | None]) -> float:
    # Without a reference the least accurate classes come first; what was not measured comes last.
    known = [(1.0 if reference is None else reference) - value for value in values if value is not None]
    return sum(known) / len(known) if known else float("-inf")


def _cell(value: float | None, reference: float | None) -> Cell:
    if value is None:
        return Cell(MISSING)
    if reference is None:
        return Cell(percent(value, 0))
    gain = value - reference
    sign = "+" if gain > 0 else ""
    change = f"{sign}{points(gain)}" if abs(gain) >= 0.0005 else "0.0"
    return Cell(percent(value, 0), change, max(-1.0, min(1.0, gain / _FULL_SHADE)))
