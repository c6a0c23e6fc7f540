"""What the search after joint training looked at, as the manifest keeps it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from learn2compress.core.family import Record

Fraction = Annotated[float, Field(ge=0, le=1)]


class LookedAt(Record):
    """A member that was judged on validation images, before quantization.

    `size_bytes` and `macs` are those of its file, written untrained; `latency_ms` and `peak_memory_bytes` are there
    where a bound asks for them. `trained` is whether it was trained jointly, not cut out of the others' weights.
    `on_front` is whether no other is at least as good in all of this and in accuracy. `taken_for` are the bounds that
    it is the smallest to hold together; empty where it was not taken.
    """

    name: str
    input_size: tuple[int, int]
    trained: bool
    size_bytes: int
    macs: int
    latency_ms: float | None = None
    peak_memory_bytes: float | None = None
    accuracy_validation: Fraction
    on_front: bool
    taken_for: tuple[str, ...] = ()


class Searched(Record):
    """A search: on how many images members were judged, the teacher's accuracy on these, and the members.

    `spares` is how many there were to look at beside the trained ones; fewer are among `members` where there was no
    time for all.
    """

    images: int
    teacher_accuracy: Fraction
    spares: int
    members: tuple[LookedAt, ...]
