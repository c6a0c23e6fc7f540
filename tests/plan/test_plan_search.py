"""Members that were not trained: looked at between those that were, and the smallest that holds is taken."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.target import Target
from learn2compress.plan.members import DEFAULT_SPREAD, Candidate
from learn2compress.plan.search import (
    LOOKED_AT,
    Judged,
    asks_for_search,
    between,
    front,
    of_other_proportions,
    smaller_inputs,
    smallest_that_holds,
    spread,
)

LADDER = [
    Candidate(MemberSpec(f"w{n}", "fresh", 1.0, (8, 8), channels=(n, n)), Cost(n, n, 1000 * n)) for n in range(1, 101)
]


def test_only_bounds_on_quality_ask_for_a_search() -> None:
    assert not asks_for_search([Target.parse("size<=1KB"), Target.parse("latency<=1ms")])
    assert asks_for_search([Target.parse("size<=1KB"), Target.parse("drop<=0.1")])


@given(st.sets(st.integers(0, 99), min_size=1, max_size=5))
def test_what_is_looked_at_lies_in_the_gaps_and_below_the_smallest(places: set[int]) -> None:
    chosen = [LADDER[place] for place in places]
    found = between(LADDER, chosen)
    sizes = [c.cost.size_bytes for c in found]
    taken = {c.cost.size_bytes for c in chosen}
    assert sizes == sorted(set(sizes), reverse=True)
    assert not taken & set(sizes)
    assert all(min(taken) / DEFAULT_SPREAD <= size < max(taken) for size in sizes)
    gaps = sorted(taken)
    for small, large in pairwise(gaps):
        inside = [size for size in sizes if small < size < large]
        assert len(inside) <= LOOKED_AT
        assert bool(inside) == (large - small > 1000)
    below = [size for size in sizes if size < gaps[0]]
    assert len(below) <= LOOKED_AT * (1 + (len(chosen) == 1))
    assert bool(below) == (gaps[0] > 1000)


def test_below_a_single_member_sizes_are_looked_at_evenly_down_to_a_fifth_of_it() -> None:
    sizes = [100_000, *(c.cost.size_bytes for c in between(LADDER, LADDER[99:]))]
    assert len(sizes) == 1 + 2 * LOOKED_AT
    assert sizes[-1] == 100_000 / DEFAULT_SPREAD
    assert all(1.25 < large / small < 1.37 for large, small in pairwise(sizes))


def test_the_smallest_that_can_be_built_is_looked_at() -> None:
    assert [c.cost.size_bytes for c in between(LADDER, LADDER[2:3])] == [2000, 1000]
    assert between(LADDER, LADDER[:1]) == []


@pytest.mark.parametrize(
    ("chosen", "others", "expected"),
    [
        # With many channels at its end a shallow cut has a large head, and may take more bytes than a deeper one.
        (
            MemberSpec("a", "teacher", 1.0, (8, 8), cut="a", depth=3),
            [
                MemberSpec("b", "teacher", 1.0, (8, 8), cut="b", depth=5),
                MemberSpec("c", "teacher", 1.0, (8, 8), cut="c", depth=2),
            ],
            ["c"],
        ),
        # What was given back in one has gone in the other.
        (
            MemberSpec("a", "teacher", 1.0, (8, 8), removals=10, depth=3),
            [
                MemberSpec("b", "teacher", 1.0, (8, 8), removals=12, given_back=(3,), depth=3),
                MemberSpec("c", "teacher", 1.0, (8, 8), removals=12, given_back=(11,), depth=3),
            ],
            ["c"],
        ),
    ],
)
def test_what_can_not_be_cut_out_of_a_trained_member_is_not_looked_at(
    chosen: MemberSpec, others: list[MemberSpec], expected: list[str]
) -> None:
    candidates = [Candidate(spec, Cost(1, 1, 900 - 100 * n)) for n, spec in enumerate([chosen, *others])]
    assert [c.spec.name for c in between(candidates, candidates[:1])] == expected
    assert [c.spec.name for c in of_other_proportions(candidates, candidates[:1])] == expected


# Each fits into the member of the ladder that takes as many bytes.
UNEVEN = [
    Candidate(
        MemberSpec(f"u{size}-{share}", "fresh", 1.0, (8, 8), channels=(size, size // share)),
        Cost(size, size if share == 3 else 3 * size, 1000 * size),
    )
    for size in range(5, 100, 5)
    for share in (2, 3)
]


@given(st.sets(st.integers(0, 99), min_size=1, max_size=5))
def test_members_of_other_proportions_are_looked_at_over_the_whole_range_of_macs(places: set[int]) -> None:
    chosen = [LADDER[place] for place in places]
    found = of_other_proportions(UNEVEN, chosen)
    sizes = [c.cost.size_bytes for c in chosen]
    inside = [c for c in UNEVEN if min(sizes) / DEFAULT_SPREAD <= c.cost.size_bytes < max(sizes)]
    assert len(found) <= LOOKED_AT * max(2, len(chosen))
    assert len({c.spec.name for c in found}) == len(found)
    assert {c.spec.name for c in found} <= {c.spec.name for c in inside}
    assert bool(found) == bool(inside)
    if len(found) > 2:
        reached, macs = [c.cost.macs for c in found], [c.cost.macs for c in inside]
        assert max(reached) / min(reached) > (max(macs) / min(macs)) ** 0.4


def test_a_member_of_other_proportions_that_is_trained_is_not_looked_at_under_another_name() -> None:
    twin, other = UNEVEN[10:12]
    trained = replace(twin, spec=replace(twin.spec, name="small", targets=("size<=30KB",)))
    assert of_other_proportions([twin, other], [LADDER[99], trained, LADDER[0]]) == [other]
    elsewhere = replace(twin, spec=replace(twin.spec, input_size=(4, 4)))
    assert of_other_proportions([elsewhere], [LADDER[99], trained, LADDER[0]]) == [elsewhere]


FOUND = [
    Judged(Cost(1, 10, 300_000), 0.92),
    Judged(Cost(1, 5, 100_000), 0.85),
    Judged(Cost(1, 8, 200_000), 0.91),
    Judged(Cost(1, 9, 150_000), 0.91),
]


def fitting(*texts: str) -> int | None:
    return smallest_that_holds(FOUND, [Target.parse(text) for text in texts], 0.93)


def test_the_smallest_that_is_within_all_bounds_is_taken() -> None:
    assert fitting("accuracy>=0.9") == 3
    assert fitting("drop<=0.021") == 3
    assert fitting("drop<=0.021", "macs<=8") == 2
    assert fitting("drop<=0.0105") == 0
    assert fitting("accuracy>=0.8") == 1
    assert fitting("accuracy>=0.9", "size<=120KB") is None


def test_one_that_holds_for_sure_goes_before_one_that_only_just_does() -> None:
    found = [
        Judged(Cost(1, 10, size), accuracy, 1000) for size, accuracy in ((300, 0.93), (200, 0.915), (100, 0.905))
    ]
    bound = [Target.parse("accuracy>=0.9")]
    assert smallest_that_holds(found, bound, 0.95) == 1  # the standard error is 0.9 points
    assert smallest_that_holds(found, [Target.parse("drop<=0.045")], 0.95) == 1
    assert smallest_that_holds(found[2:], bound, 0.95) == 0
    assert smallest_that_holds(found, [Target.parse("accuracy>=0.94")], 0.95) is None


@given(st.lists(st.integers(), max_size=40))
def test_members_are_looked_at_from_all_over_and_each_once(members: list[int]) -> None:
    assert sorted(spread(members)) == sorted(members)
    first = spread(range(30))[:6]
    assert max(first) - min(first) > 15


def test_of_equally_large_ones_that_of_the_least_work_is_taken() -> None:
    found = [Judged(Cost(1, macs, 100_000 + more), 0.9) for macs, more in ((100, 0), (56, 40), (25, 5000))]
    assert smallest_that_holds(found, [Target.parse("accuracy>=0.9")], 0.9) == 1


def test_on_the_front_is_what_no_other_beats_in_all_that_is_known() -> None:
    assert front([*FOUND, Judged(Cost(1, 10, 310_000), 0.92)]) == [0, 1, 2, 3]
    slow = Judged(Cost(1, 10, 300_000, latency_ms=2.0), 0.9)
    assert front([slow, Judged(Cost(1, 10, 310_000, latency_ms=1.0), 0.9)]) == [0, 1]
    assert front([slow, Judged(Cost(1, 10, 310_000, latency_ms=2.0), 0.9)]) == [0]
    assert front([slow, Judged(Cost(1, 10, 310_000, latency_ms=2.0), 0.91)]) == [0, 1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((224, 224), [(168, 168), (112, 112)]),
        ((96, 160), [(72, 120), (48, 80)]),
        ((32, 32), [(24, 24)]),
        ((28, 28), [(24, 24)]),
        ((24, 24), []),
    ],
)
def test_smaller_images_have_sides_that_halve_well(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert smaller_inputs(size) == expected
