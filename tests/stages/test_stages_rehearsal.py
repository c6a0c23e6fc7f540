"""What is measured of members before they are trained: a slow moment of the host makes none of them slower."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learn2compress.core.member import Cost, MemberSpec
from learn2compress.plan.members import Candidate

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

MILLION = 10**6
SLOW = 1.3


def candidate(millions: int) -> Candidate:
    spec = MemberSpec(f"w{millions}", "fresh", 1.0, (32, 32), channels=(millions,))
    return Candidate(spec, Cost(millions, millions * MILLION, millions))


SURVEYED = [candidate(millions) for millions in (10, 20, 30, 40, 50)]


class Files:
    """Stands for a rehearsal: a file's name is its millions of MACs."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def file(self, spec: MemberSpec) -> Path:
        self.written.append(str(spec.channels[0]))
        return Path(self.written[-1])


class Host:
    """Takes a millisecond for a million MACs, and in the calls given by number so many times that."""

    def __init__(self, slow: dict[int, float]) -> None:
        self.slow = slow
        self.calls: list[list[str]] = []

    def latencies(self, files: list[Path], **_: Any) -> list[Any]:
        slow = self.slow.get(len(self.calls), 1.0)
        self.calls.append([file.name for file in files])
        return [SimpleNamespace(median=slow * float(file.name)) for file in files]


@pytest.fixture
def surveyed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Host, Files]]:
    """Costs after a survey, on a host that is slow in some calls; a file takes a byte for a million MACs."""
    from learn2compress.stages import rehearsal

    def make(slow: dict[int, float] | None = None, metrics: tuple[str, ...] = ("latency",)) -> Any:
        host, files = Host(slow or {}), Files()
        monkeypatch.setattr(rehearsal, "latencies", host.latencies)
        monkeypatch.setattr(rehearsal, "peak_memory_bytes", lambda file: int(file.name))
        stand_in: Any = files
        costs = rehearsal.MeasuredCosts(stand_in, metrics)
        costs.survey(SURVEYED)
        return costs, host, files

    return make


def milliseconds(costs: Any, millions: int, doubt: float = 0.0) -> float:
    from learn2compress.stages.rehearsal import SAFETY

    return costs.of(candidate(millions), doubt).cost.latency_ms / SAFETY


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_a_slow_moment_of_the_survey_does_not_count(surveyed: Callable[..., Any], slow: int) -> None:
    costs, host, _ = surveyed({slow: SLOW})
    assert len(host.calls) == 3
    for known in SURVEYED:
        assert milliseconds(costs, known.cost.macs // MILLION) == pytest.approx(known.cost.macs / MILLION)


@pytest.mark.parametrize(
    ("later", "beside"),
    [([24], "20"), ([26], "30"), ([14], "10"), ([60], "50"), ([12, 31, 44], "30")],
)
def test_a_slow_moment_does_not_make_a_later_member_slower(
    surveyed: Callable[..., Any], later: list[int], beside: str
) -> None:
    costs, host, _ = surveyed({3: SLOW})
    costs.measure([candidate(millions) for millions in later])
    assert host.calls[3] == [beside, *map(str, later)]
    for millions in later:
        assert milliseconds(costs, millions) == pytest.approx(millions)
    # Nor does it change what was known of the one beside it.
    assert milliseconds(costs, int(beside)) == pytest.approx(int(beside))
    # What is known is not timed again but beside others.
    costs.measure([candidate(millions) for millions in (*later, int(beside))])
    assert len(host.calls) == 4


def test_a_member_that_takes_less_than_its_macs_say_is_found_to_in_a_slow_moment(
    surveyed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    costs, _, _ = surveyed()

    def timed(files: list[Path], **_: Any) -> list[Any]:
        return [SimpleNamespace(median=SLOW * {"24": 21.0}.get(file.name, float(file.name))) for file in files]

    assert milliseconds(costs, 24) == pytest.approx(24)
    monkeypatch.setattr("learn2compress.stages.rehearsal.latencies", timed)
    costs.measure([candidate(24)])
    assert milliseconds(costs, 24) == pytest.approx(21)


def test_where_the_survey_was_slow_throughout_a_quicker_moment_sets_it_right(surveyed: Callable[..., Any]) -> None:
    costs, _, _ = surveyed({0: SLOW, 1: SLOW, 2: SLOW})
    assert milliseconds(costs, 20) == pytest.approx(20 * SLOW)
    costs.measure([candidate(24)])
    assert milliseconds(costs, 24) == pytest.approx(24)
    assert milliseconds(costs, 20) == pytest.approx(20)


def test_what_is_interpolated_is_lowered_by_the_doubt_and_what_is_measured_is_not(
    surveyed: Callable[..., Any],
) -> None:
    costs, _, _ = surveyed(metrics=("latency", "memory"))
    assert milliseconds(costs, 24) == pytest.approx(24)
    assert milliseconds(costs, 24, 0.15) == pytest.approx(0.85 * 24)
    assert milliseconds(costs, 20, 0.15) == pytest.approx(20)
    whole, lowered = costs.of(candidate(24)).cost, costs.of(candidate(24), 0.15).cost
    assert lowered.memory_bytes == pytest.approx(0.85 * whole.memory_bytes)
    assert (lowered.macs, lowered.size_bytes) == (whole.macs, whole.size_bytes)


def test_where_memory_alone_is_bounded_nothing_is_timed(surveyed: Callable[..., Any]) -> None:
    costs, host, _ = surveyed(metrics=("memory", "size"))
    assert costs.measures
    costs.measure([candidate(24)])
    assert not host.calls
    cost = costs.of(candidate(24)).cost
    assert cost.memory_bytes == pytest.approx(24, rel=0.03)
    assert cost.latency_ms == 0


def test_where_neither_is_bounded_nothing_is_written(surveyed: Callable[..., Any]) -> None:
    costs, host, files = surveyed(metrics=("size", "macs", "accuracy"))
    costs.measure([candidate(24)])
    assert not costs.measures
    assert not host.calls
    assert not files.written
    assert costs.of(candidate(24), 0.15) == candidate(24)
