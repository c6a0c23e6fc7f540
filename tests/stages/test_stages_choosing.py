"""How members are chosen that keep bounds on time and memory, and how many files are written on the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learn2compress.core.errors import TargetsUnmetError
from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.progress import SILENT
from learn2compress.core.recipe import Recipe
from learn2compress.plan.members import Candidate
from learn2compress.plan.wording import told

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES, SIZE = 3, 32
MILLION = 10**6
# Of this many candidates the MACs are a million apart.
FEWEST, MOST = 20, 200
SURVEYED = 5


class Chain:
    """Stands for prunings: members that differ by how much is taken out, each a little smaller than the last."""

    def candidates(self) -> list[Candidate]:
        return [self._candidate(removals) for removals in range(MOST - FEWEST + 1)]

    def narrower(self, widest: Candidate, candidates: list[Candidate]) -> list[Candidate]:
        return [c for c in candidates if widest.spec.gone <= c.spec.gone]

    def uneven(self, widest: Candidate) -> list[Candidate]:
        return []

    def _candidate(self, removals: int) -> Candidate:
        macs = (MOST - removals) * MILLION
        spec = MemberSpec(f"pruned-{removals}", "teacher", 1.0, (SIZE, SIZE), removals=removals, depth=9)
        return Candidate(spec, Cost(macs // 100, macs, macs // 100))


def students() -> Any:
    from learn2compress.sources.fresh import FreshStudents

    teacher: Any = SimpleNamespace(input_size=(SIZE, SIZE))
    dataset: Any = SimpleNamespace(classes=CLASSES)
    return FreshStudents(teacher, dataset, "for the test")


class Files:
    """Stands for a rehearsal: a file's name is its MACs."""

    def __init__(self) -> None:
        self.written: set[str] = set()

    def file(self, spec: MemberSpec) -> Path:
        from learn2compress.students.convnet import student_cost

        macs = student_cost(spec, CLASSES)[0].macs if spec.channels else (MOST - spec.removals) * MILLION
        self.written.add(str(macs))
        return Path(str(macs))

    def filed(self, candidate: Candidate) -> Candidate:
        self.file(candidate.spec)
        return candidate


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The choice from a source, and the names of the files that were written for it.

    `taken` is a function (MACs) -> milliseconds, or bytes of memory.
    """
    from learn2compress.stages import rehearsal
    from learn2compress.stages.choosing import Chooser

    def choose(
        source: Any,
        targets: list[str],
        taken: Callable[[int], float],
        budget: str = "1h",
        count: int = 1,
        **more: Any,
    ) -> tuple[Any, set[str]]:
        def timed(files: list[Path], **_: Any) -> list[Any]:
            return [SimpleNamespace(median=taken(int(file.name))) for file in files]

        monkeypatch.setattr(rehearsal, "latencies", timed)
        monkeypatch.setattr(rehearsal, "peak_memory_bytes", lambda file: taken(int(file.name)))
        recipe = Recipe.model_construct(budget=budget, route="fresh", students=count, targets=targets)
        options, files = Options.of(recipe), Files()
        stand_in: Any = files
        costs = rehearsal.MeasuredCosts(stand_in, {target.metric for target in options.targets})
        with SILENT.stage("plan") as stage:
            choice = Chooser(source, options, stand_in, costs, 300_000, **more).choose(stage)
        return choice, files.written

    return choose


def least_work() -> int:
    """MACs of the smallest student."""
    source = students()
    bases = source.candidates()
    return min(c.cost.macs for c in source.narrower(min(bases, key=lambda c: c.cost.macs), bases))


def by_work(macs: int) -> float:
    """A millisecond for a million MACs."""
    return macs / MILLION


def bound(metric: str, value: float) -> str:
    """One that a member keeps that is measured to take so much, with what is added to be sure."""
    return f"{metric}<={1.0205 * value:.4f}{'ms' if metric == 'latency' else ''}"


@pytest.mark.parametrize("metric", ["latency", "memory"])
@pytest.mark.parametrize("count", [1, 3])
def test_where_neighbours_are_alike_few_of_them_are_written_in_vain(
    chosen: Callable[..., Any], metric: str, count: int
) -> None:
    """Nothing takes less than its MACs say: what is beyond the bound stays so."""
    choice, written = chosen(Chain(), [bound(metric, 100)], by_work, count=count)
    assert len(choice.members) == count
    assert choice.filed[0].cost.macs == 100 * MILLION
    # A few to find out, and of the members that are there for no bound each once.
    assert len(written) <= SURVEYED + 5 + (count - 1)


@pytest.mark.parametrize(("budget", "millions"), [("1m", 87), ("1h", 90)])
def test_where_time_falls_faster_than_work_the_largest_within_a_bound_is_found(
    chosen: Callable[..., Any], budget: str, millions: int
) -> None:
    choice, _ = chosen(Chain(), [bound("latency", 81)], lambda macs: by_work(macs) ** 2 / 100, budget)
    assert choice.filed[0].cost.macs == millions * MILLION


@pytest.mark.parametrize("metric", ["latency", "memory"])
@pytest.mark.parametrize(("budget", "doubt", "found"), [("1h", 0.15, True), ("1h", 0.0, False), ("1m", 0.15, False)])
def test_a_student_that_takes_less_than_its_macs_say_is_found_where_there_is_time_to_look(
    chosen: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    metric: str,
    budget: str,
    doubt: float,
    found: bool,
) -> None:
    monkeypatch.setattr("learn2compress.stages.choosing.DOUBT", doubt)
    bases = students().candidates()
    most = max(c.cost.macs for c in bases)
    quick = max((c for c in bases if 2 * c.cost.macs <= most), key=lambda c: c.cost.size_bytes * c.cost.macs)
    share = 0.86

    def taken(macs: int) -> float:
        return by_work(macs) * (share if macs == quick.cost.macs else 1.0)

    limit = share * by_work(quick.cost.macs)
    choice, written = chosen(students(), [bound(metric, 1000 * limit)], lambda macs: 1000 * taken(macs), budget)
    (member,) = choice.members
    assert (member.spec.identity == quick.spec.identity) == found
    assert taken(member.cost.macs) <= 1.001 * limit
    assert len(written) <= SURVEYED + 12 + 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_how_far_off_a_bound_is_is_told_by_what_members_take_and_not_by_what_they_might(
    chosen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    from learn2compress.plan.members import choose_members
    from learn2compress.stages import choosing

    least = 1.02 * by_work(least_work())
    rounds = []

    def counted(*arguments: Any, **named: Any) -> list[Candidate]:
        rounds.append(arguments)
        return choose_members(*arguments, **named)

    monkeypatch.setattr(choosing, "choose_members", counted)
    with pytest.raises(TargetsUnmetError) as caught:
        chosen(students(), [f"latency<={share * least:.5f}ms"], by_work)
    assert told("latency", least) in caught.value.what
    assert caught.value.excess == pytest.approx(1 / share - 1, rel=1e-3)
    # Where none could keep it even then, nothing is tried again and again.
    if share < 0.8:
        assert len(rounds) == 2


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_what_comes_nearest_to_a_bound_is_what_takes_least_and_not_what_might(
    chosen: Callable[..., Any], share: float
) -> None:
    targets = [f"latency<={share * 1.02 * by_work(least_work()):.5f}ms"]
    choice, _ = chosen(students(), targets, by_work, nearest=True)
    assert choice.filed[0].cost.macs == least_work()
    assert not choice.filed[0].spec.targets
