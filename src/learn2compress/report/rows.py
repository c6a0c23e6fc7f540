"""The rows that the table and the page share, and the way their figures are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from learn2compress.core.family import Family, Member, Model
from learn2compress.core.units import milliseconds, percent, show_bytes, show_count

Kind = Literal["teacher", "baseline", "member"]
MISSING = "–"
# Some weights are zero by chance.
SHOWN_ZEROS = 0.05


@dataclass(frozen=True)
class Row:
    """One model with its figures as text; what was not measured is a dash.

    Attributes:
        model: the record the figures come from.
        kind: its part in the comparison.
        detail: what tells it from the others: input size and precision, or its description.
    """

    model: Model
    kind: Kind
    detail: str
    size: str
    zipped: str
    parameters: str
    macs: str
    accuracy_test: str
    accuracy_validation: str
    drop: str
    latency: str
    latency_p90: str
    smaller: str
    faster: str
    memory: str


def rows(family: Family) -> list[Row]:
    """The teacher, the baselines and the members, the largest first in each."""
    listed = [_row(family.teacher, "teacher")]
    listed += [_row(model, "baseline") for model in baselines(family)]
    ordered = sorted(family.members, key=lambda m: m.size_bytes or 0, reverse=True)
    return listed + [_row(model, "member") for model in ordered]


def baselines(family: Family) -> list[Model]:
    """The baselines that are not the teacher's own file over again."""
    teacher = family.teacher
    return [m for m in family.baselines if m.file is None or m.file != teacher.file]


def points(drop: float) -> str:
    """A loss of accuracy as percentage points: `0.0123` as `1.2`, a gain with a minus sign."""
    text = f"{100 * drop:.1f}".replace("-", "−")
    return "0.0" if text == "−0.0" else text


def times(ratio: float) -> str:
    """`38.24` as `38×`, `3.824` as `3.8×`; under 1 with two digits, so that a slower model shows."""
    if ratio >= 9.95:
        return f"{ratio:.0f}×"
    return f"{ratio:.1f}×" if ratio >= 1 else f"{ratio:.2f}×"


def _row(model: Model, kind: Kind) -> Row:
    latency, ratio = model.latency_ms, model.ratio_to_teacher
    return Row(
        model=model,
        kind=kind,
        detail=_detail(model),
        size=_optional(show_bytes, model.size_bytes),
        zipped=_optional(show_bytes, model.zipped_bytes),
        parameters=_optional(show_count, model.parameters),
        macs=_optional(show_count, model.macs),
        accuracy_test=percent(model.accuracy.test),
        accuracy_validation=percent(model.accuracy.validation),
        drop=MISSING if kind == "teacher" else points(model.accuracy_drop),
        latency=milliseconds(latency.median) if latency else MISSING,
        latency_p90=milliseconds(latency.p90) if latency else MISSING,
        smaller=_optional(times, ratio.size),
        faster=_optional(times, ratio.latency),
        memory=_optional(show_bytes, model.peak_memory_bytes),
    )


def _detail(model: Model) -> str:
    if isinstance(model, Member):
        height, width = model.input_size
        zeros = f", {100 * model.zeros:.0f} % zeros" if model.zeros >= SHOWN_ZEROS else ""
        return f"{width}×{height}, {model.precision}{_unusual(model)}{zeros}"
    return model.description


def _unusual(member: Member) -> str:
    """What of an int8 file is not as usual."""
    if member.precision != "int8":
        return ", logits" if member.output == "logits" else ""
    said = [
        f"{kind} {way}" for kind, way in ((member.input_type, "in"), (member.output_type, "out")) if kind != "uint8"
    ]
    said += ["logits"] if member.output == "logits" else []
    said += ["parts float32"] if member.mixed else []
    return "".join(f", {one}" for one in said)


def _optional(show: Callable[[float], str], value: float | None) -> str:
    return MISSING if value is None else show(value)
