"""What is written of a trained member, and when it stays int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learn2compress.core.family import Mixed, Verification
from learn2compress.core.member import MemberSpec
from learn2compress.manifest import WrittenMember

INT8 = {"int8_size_bytes": 100_000, "int8_latency_ms": 1.0, "int8_peak_memory_bytes": 200_000}
WIDENED = {"size_bytes": 120_000, "latency_ms": 1.2, "peak_memory_bytes": 240_000}


def member(*targets: str, **changed: Any) -> WrittenMember:
    """One that was widened, and chosen for these bounds."""
    mixed = Mixed(
        kept=(),
        most_loss=0.01,
        int8_loss=0.04,
        loss=0.005,
        images=300,
        sensitivity={},
        **{**INT8, **WIDENED, **changed},
    )
    agreed = Verification(images=300, top1_agreement=1.0, max_probability_difference=0.0)
    spec = MemberSpec("small", "fresh", 1.0, (32, 32), targets=targets)
    return WrittenMember(spec, Path("small.tflite"), 0.9, 0.9, agreed, 0.0, mixed=mixed)


@pytest.mark.parametrize(
    ("targets", "broken"),
    [
        (("size<=110KB", "latency<=2"), "size<=110KB"),
        (("latency<=1.1",), "latency<=1.1"),
        (("memory<=220KB",), "memory<=220KB"),
        (("size<=110KB", "memory<=220KB"), "size<=110KB and memory<=220KB"),
        (("size<=130KB", "latency<=1.3", "memory<=250KB", "accuracy>=0.8"), ""),
        (("size<=90KB",), ""),  # broken as int8 already: staying int8 would not help
        ((), ""),
    ],
)
def test_a_member_is_not_widened_beyond_the_bounds_it_was_chosen_for(targets: tuple[str, ...], broken: str) -> None:
    from learn2compress.stages.export import bounds_broken_by_widening

    assert bounds_broken_by_widening(member(*targets)) == broken
