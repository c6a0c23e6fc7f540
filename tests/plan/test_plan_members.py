"""Which members are chosen for what was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from learn2compress.core.errors import TargetsUnmetError
from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.target import Target, bound_sets
from learn2compress.plan.members import (
    DEFAULT_SPREAD,
    LEAST_STEP,
    Candidate,
    bounds_work,
    bounds_work_and_size,
    choose_members,
    largest_by_default,
    largest_with_room,
    largest_within,
    leave_bytes_unused,
    next_larger,
    widest_member,
    within,
)


def candidate(number: int, size: int, macs: int) -> Candidate:
    spec = MemberSpec(f"w{number}", "fresh", float(number), (32, 32), channels=(number,))
    return Candidate(spec, Cost(size, macs, size))


@st.composite
def ladders(draw: st.DrawFn) -> list[Candidate]:
    """Candidates as a backbone gives them: the wider, the more bytes and MACs."""
    steps = draw(st.lists(st.tuples(st.integers(1, 50_000), st.integers(1, 10**6)), min_size=1, max_size=30))
    found, size, macs = [], 5_000, 10_000
    for number, (more_size, more_macs) in enumerate(steps, 1):
        size, macs = size + more_size, macs + more_macs
        found.append(candidate(number, size, macs))
    return found


LADDER = [candidate(n, 10_000 * n, 10**6 * n) for n in range(1, 41)]
targets = st.lists(
    st.one_of(
        st.integers(5_000, 10**6).map(lambda n: f"size<={n}"),
        st.integers(10_000, 10**7).map(lambda n: f"macs<={n}"),
        st.sampled_from(["accuracy>=0.9", "drop<=0.01"]),
    ),
    max_size=4,
)


def parsed(texts: Sequence[str]) -> list[Target]:
    return [Target.parse(text) for text in texts]


@given(candidates=ladders(), texts=targets, count=st.integers(1, 8), largest=st.floats(1e3, 1e6))
def test_every_bound_gets_a_member_and_members_come_widest_first(
    candidates: list[Candidate], texts: list[str], count: int, largest: float
) -> None:
    bounds = parsed(texts)
    sets = bound_sets([bound for bound in bounds if bound.metric in ("size", "macs")])
    assume(all(any(all(within(c, b) for b in together) for c in candidates) for together in sets))
    chosen = choose_members(candidates, bounds, count, largest)
    sizes = [c.cost.size_bytes for c in chosen]
    assert sizes == sorted(sizes, reverse=True)
    assert len({c.spec.name for c in chosen}) == len(chosen)
    assert len({c.spec.channels for c in chosen}) == len(chosen)
    for together in sets:
        (holder,) = [c for c in chosen if {b.text for b in together} <= set(c.spec.targets)][-1:]
        assert all(within(holder, bound) for bound in together)
        # The largest that is within: nothing between it and the bounds is left unused.
        bigger = [c for c in candidates if c.cost.size_bytes > holder.cost.size_bytes]
        assert not any(all(within(c, bound) for bound in together) for c in bigger)
    assert {c.spec.channels for c in chosen} <= {c.spec.channels for c in candidates}


@given(count=st.integers(1, 8), largest=st.floats(2e5, 4e5))
def test_there_are_as_many_members_as_asked_for(count: int, largest: float) -> None:
    chosen = choose_members(LADDER, [], count, largest)
    assert len(chosen) == count
    assert chosen[0].cost.size_bytes <= largest < chosen[0].cost.size_bytes + 10_000


@given(candidates=ladders(), count=st.integers(1, 8), largest=st.floats(1e3, 1e6))
def test_only_a_lack_of_candidates_makes_them_fewer(candidates: list[Candidate], count: int, largest: float) -> None:
    assert len(choose_members(candidates, [], count, largest)) == min(count, len(candidates))


@given(candidates=ladders(), count=st.integers(1, 8))
def test_without_targets_no_member_is_beyond_the_largest_while_there_are_smaller_ones(
    candidates: list[Candidate], count: int
) -> None:
    smallest = min(c.cost.size_bytes for c in candidates)
    for largest in (smallest - 1, smallest, 3 * smallest):
        chosen = choose_members(candidates, [], count, largest)
        assert len(chosen) <= count
        fitting = [c for c in candidates if c.cost.size_bytes <= max(largest, smallest)]
        if count <= len(fitting):
            assert max(c.cost.size_bytes for c in chosen) <= max(largest, smallest)


def test_three_members_spread_from_large_to_tiny() -> None:
    chosen = choose_members(LADDER, [], 3, 360_000)
    assert [c.spec.name for c in chosen] == ["large", "small", "tiny"]
    sizes = [c.cost.size_bytes for c in chosen]
    assert sizes[0] / sizes[-1] == pytest.approx(DEFAULT_SPREAD, rel=0.2)
    assert sizes[0] / sizes[1] == pytest.approx(sizes[1] / sizes[2], rel=0.2)


def test_of_cuts_the_deepest_comes_first_even_when_a_shallow_one_is_the_bigger_file() -> None:
    sizes = {1: 75_000, 2: 14_000, 3: 25_000}
    cuts = [
        Candidate(
            MemberSpec(f"cut{depth}", "teacher", 1.0, (32, 32), cut=f"cut{depth}", depth=depth), Cost(1, 1, size)
        )
        for depth, size in sizes.items()
    ]
    assert [c.spec.cut for c in choose_members(cuts, [], 3, 10**6)] == ["cut3", "cut2", "cut1"]


def test_two_bounds_on_one_member_stand_both_beside_it() -> None:
    chosen = choose_members(LADDER, parsed(["size<=100KB", "macs<=10M"]), 1, 360_000)
    assert [c.spec.targets for c in chosen] == [("size<=100KB", "macs<=10M")]


@given(
    candidates=ladders(),
    uneven=st.lists(st.tuples(st.integers(5_000, 10**6), st.integers(10_000, 10**7)), max_size=8),
    size=st.integers(5_000, 10**6),
    macs=st.integers(10_000, 10**7),
)
def test_within_bounds_on_size_and_work_the_member_with_most_of_both_is_taken(
    candidates: list[Candidate], uneven: list[tuple[int, int]], size: int, macs: int
) -> None:
    bounds = parsed([f"size<={size}", f"macs<={macs}"])
    others = [candidate(100 + n, *cost) for n, cost in enumerate(uneven)]
    fitting = [c for c in (*candidates, *others) if all(within(c, bound) for bound in bounds)]
    assume(fitting)
    (chosen,) = choose_members(candidates, bounds, 1, 1e5, others)
    assert all(within(chosen, bound) for bound in bounds)
    worth = chosen.cost.size_bytes * chosen.cost.macs
    assert all(worth >= c.cost.size_bytes * c.cost.macs for c in fitting)


def test_a_member_of_other_proportions_stands_alone_where_no_other_is_within_the_bounds() -> None:
    bounds = parsed(["size<=20KB", "macs<=2M"])
    even, thin = [candidate(2, 30_000, 10**6), candidate(3, 50_000, 3 * 10**6)], candidate(1, 20_000, 10**6)
    (chosen,) = choose_members(even, bounds, 3, 1e5, [thin])
    assert chosen.cost == thin.cost
    with pytest.raises(TargetsUnmetError):
        choose_members(even, bounds, 3, 1e5)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["size<=1MB"], False),
        (["macs<=5M", "latency<=1ms"], False),
        (["size<=1MB", "accuracy>=0.9"], False),
        (["size<=1MB", "latency<=1ms"], True),
        (["size<=1MB", "size<=100KB", "macs<=5M"], True),
    ],
)
def test_other_proportions_are_looked_at_only_for_bounds_on_size_and_work(texts: list[str], expected: bool) -> None:
    assert bounds_work_and_size(parsed(texts)) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["size<=1MB"], False),  # larger than all that can be built: nothing would fill it
        (["size<=100KB"], True),
        (["size<=54KB"], False),
        (["size<=54KB", "size<=100KB"], True),
        (["size<=10KB"], False),  # nothing is within it
        (["macs<=500K"], False),
    ],
)
def test_a_bound_on_size_leaves_bytes_unused_where_the_next_smaller_member_is_far_below(
    texts: list[str], expected: bool
) -> None:
    ladder = [candidate(1, 20_000, 10**5), candidate(2, 50_000, 10**6), candidate(3, 200_000, 10**7)]
    assert leave_bytes_unused(ladder, parsed(texts)) == expected


@pytest.mark.parametrize(
    ("text", "has", "enough", "excess"),
    [
        ("size<=8KB", "size 10 kB, 1.25 times that", "size<=10KB", 0.25),
        ("macs<=500K", "1 M MACs, 2 times that", "macs<=1M", 1.0),
    ],
)
def test_a_bound_below_the_smallest_candidate_is_refused_with_what_is_possible(
    text: str, has: str, enough: str, excess: float
) -> None:
    with pytest.raises(TargetsUnmetError) as caught:
        choose_members(LADDER, parsed([text]), 3, 360_000)
    assert caught.value.code == "targets.out_of_reach"
    assert caught.value.what == (
        f"The target {text} can't be met: the smallest member that can be built here has {has}."
    )
    assert f"ask for at least {enough}, " in caught.value.fix
    assert caught.value.excess == pytest.approx(excess)
    assert largest_within(LADDER, Target.parse(enough)).spec.name == "w1"


def test_bounds_that_can_be_kept_one_by_one_and_not_together_are_refused_with_the_nearest_member() -> None:
    thin = candidate(1, 10_000, 9 * 10**6)
    near = candidate(2, 23_456, 2_200_000)
    flat = candidate(3, 90_000, 10**6)
    assert largest_within([thin, near, flat], *parsed(["size<=95KB", "macs<=2M"])) is flat
    with pytest.raises(TargetsUnmetError) as caught:
        choose_members([thin, near, flat], parsed(["size<=20KB", "macs<=2M"]), 1, 1e6)
    error = caught.value
    assert error.code == "targets.out_of_reach"
    assert error.what == (
        "No member that can be built here is within size<=20KB and macs<=2M at once: the nearest, w2, has "
        "size 23.5 kB, off by 3.46 kB; 2.2 M MACs, off by 200 k MACs."
    )
    assert error.fix == "ask for size<=23.5KB and macs<=2.2M or so."
    assert error.excess == pytest.approx(0.1728 + 0.1)


def test_of_the_nearest_member_a_bound_that_it_keeps_stays_as_it_is() -> None:
    thin, flat = candidate(1, 10_000, 3 * 10**6), candidate(2, 90_000, 10**6)
    with pytest.raises(TargetsUnmetError) as caught:
        largest_within([thin, flat], *parsed(["size<=20KB", "macs<=2M", "accuracy>=0.9"]))
    assert "the nearest, w1, has size 10 kB; 3 M MACs, off by 1 M MACs." in caught.value.what
    assert caught.value.fix == "ask for size<=20KB and macs<=3M or so."


def test_the_nearest_member_may_be_of_other_proportions() -> None:
    thin, flat, near = candidate(1, 10_000, 9 * 10**6), candidate(2, 90_000, 10**6), candidate(3, 21_000, 2 * 10**6)
    with pytest.raises(TargetsUnmetError, match="the nearest, w3, has size 21 kB, off by 1 kB; 2 M MACs"):
        choose_members([thin, flat], parsed(["size<=20KB", "macs<=2M"]), 1, 1e6, [near])


@given(found=ladders(), texts=targets, count=st.integers(1, 5))
def test_the_nearest_are_taken_where_nothing_is_within_the_bounds_and_only_there(
    found: list[Candidate], texts: list[str], count: int
) -> None:
    asked = parsed(texts)
    chosen = choose_members(found, asked, count, 1e5, nearest=True)
    by_text = {target.text: target for target in asked}
    assert all(within(c, by_text[text]) for c in chosen for text in c.spec.targets)
    kept = [t for t in asked if t.metric in ("size", "macs") and any(within(c, t) for c in found)]
    try:
        assert [c.cost for c in choose_members(found, asked, count, 1e5)] == [c.cost for c in chosen]
    except TargetsUnmetError:
        # A set of bounds is beyond all; the smallest is nearest to it.
        assert min(found, key=lambda c: c.cost.size_bytes).cost in [c.cost for c in chosen]
        kept = []
    assert {t.text for t in kept} <= {text for c in chosen for text in c.spec.targets} or kept == []


def test_the_nearest_member_says_which_bounds_it_keeps() -> None:
    thin, flat = candidate(1, 10_000, 3 * 10**6), candidate(2, 90_000, 10**6)
    (chosen,) = choose_members([thin, flat], parsed(["size<=20KB", "macs<=2M"]), 1, 1e6, nearest=True)
    assert chosen.cost == thin.cost
    assert chosen.spec.targets == ("size<=20KB",)


@given(
    costs=st.lists(st.tuples(*[st.integers(1, 10**9)] * 3), min_size=1, max_size=5),
    bounds=st.tuples(*[st.integers(1, 10**9)] * 3),
)
def test_the_bounds_that_are_named_instead_are_kept_by_a_candidate(
    costs: list[tuple[int, ...]], bounds: tuple[int, ...]
) -> None:
    found = [
        Candidate(candidate(number, size, macs).spec, Cost(size, macs, size, latency_ms=thousandths / 1000))
        for number, (size, macs, thousandths) in enumerate(costs, 1)
    ]
    size, macs, thousandths = bounds
    asked = parsed([f"size<={size}", f"macs<={macs}", f"latency<={thousandths / 1000}ms"])
    for _ in range(4):  # each of the bounds by itself, and all together
        try:
            assert largest_within(found, *asked) in found
            return
        except TargetsUnmetError as error:
            named = {target.metric: target for target in parsed(re.findall(r"[a-z]+<=[0-9.e+]+[A-Za-z]*", error.fix))}
            assert named
            asked = [named.get(target.metric, target) for target in asked]
    assert largest_within(found, *asked) in found


def test_a_member_is_within_a_measured_bound() -> None:
    timed = [replace(c, cost=replace(c.cost, latency_ms=c.cost.macs / 1e7)) for c in LADDER]
    (large, small) = choose_members(timed, parsed(["latency<=2.05ms", "size<=300KB", "size<=40KB"]), 2, 1e6)
    assert (large.spec.channels, small.spec.channels) == ((20,), (4,))
    with pytest.raises(TargetsUnmetError, match=r"has latency 0\.1 ms, 2 times that\.") as caught:
        choose_members(timed, parsed(["latency<=50us"]), 1, 1e6)
    assert "latency<=0.1ms" in caught.value.fix


def test_the_largest_member_is_a_tenth_of_a_known_teacher() -> None:
    assert largest_by_default(1_000_000) < 400_000
    assert largest_by_default(2_000_000) == pytest.approx(2 * largest_by_default(1_000_000))
    assert largest_by_default(None) == largest_by_default(0) > 0
    assert largest_by_default(1_000_000, [Target.parse("drop<=0.01")]) == 2 * largest_by_default(1_000_000)


def test_the_widest_member_is_the_largest_that_any_bound_lets_in() -> None:
    assert widest_member(LADDER, [], 123_456).spec.name == "w12"
    assert widest_member(LADDER, parsed(["size<=100KB", "size<=200KB", "accuracy>=0.9"]), 1e6).spec.name == "w20"
    assert widest_member(LADDER, parsed(["size<=100KB", "macs<=15M"]), 1e6).spec.name == "w10"
    assert widest_member(LADDER, parsed(["size<=9999"]), 1e6).spec.name == "w1"


def smaller_of(candidates: Sequence[Candidate]) -> Callable[[Candidate], list[Candidate]]:
    """Each candidate contains all that are smaller."""
    return lambda base: [c for c in candidates if c.cost.size_bytes <= base.cost.size_bytes]


@given(candidates=ladders(), count=st.integers(1, 8), largest=st.floats(1e3, 1e6))
def test_where_there_is_too_little_choice_below_the_largest_it_is_as_much_larger_as_it_must_be(
    candidates: list[Candidate], count: int, largest: float
) -> None:
    within_one = smaller_of(candidates)

    def spread(base: Candidate) -> float:
        sizes = [c.cost.size_bytes for c in within_one(base)]
        return max(sizes) / min(sizes) if len(sizes) >= count else 0.0

    found = largest_with_room(candidates, within_one, [], count, largest)
    base = widest_member(candidates, [], found)
    enough = LEAST_STEP ** (count - 1)
    assert found >= largest
    if found == largest:
        assert spread(base) >= enough or base is widest_member(candidates, [], 1e9)
    else:
        before = [c for c in candidates if c.cost.size_bytes < found]
        assert all(spread(c) < enough for c in before)
        assert spread(base) >= enough or base is candidates[-1]
    chosen = choose_members(within_one(base), [], count, found)
    assert len(chosen) == min(count, len(candidates))


def test_members_of_a_teacher_that_can_hardly_be_pruned_are_spread_over_what_can_be() -> None:
    lean = [candidate(n, 100_000 + 1_000 * n, 10**6 + n) for n in range(100)]
    largest = largest_with_room(lean, smaller_of(lean), [], 3, 80_000)
    sizes = [c.cost.size_bytes for c in choose_members(smaller_of(lean)(lean[44]), [], 3, largest)]
    assert sizes[0] == largest == 144_000
    assert sizes[1:] == [120_000, 100_000]


def test_a_bound_on_cost_says_how_large_members_may_be() -> None:
    lean = [candidate(n, 100_000 + 1_000 * n, 10**6 + n) for n in range(100)]
    assert largest_with_room(lean, smaller_of(lean), parsed(["size<=101KB"]), 3, 80_000) == 80_000
    assert largest_with_room(lean, smaller_of(lean), parsed(["drop<=0.01"]), 3, 80_000) == 144_000


def test_where_all_can_be_trained_with_any_the_largest_stays_as_it_is() -> None:
    cuts = [candidate(n, 10_000 + n, 10**6) for n in range(2)]
    assert largest_with_room(cuts, lambda base: cuts, [], 3, 10_000) == 10_000


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], False),
        (["size<=100KB", "drop<=1%"], False),
        (["macs<=10M"], True),
        (["size<=100KB", "latency<=5ms"], True),
        (["memory<=1MB"], True),
    ],
)
def test_time_and_memory_go_with_the_work_and_size_does_not(texts: list[str], expected: bool) -> None:
    assert bounds_work(parsed(texts)) is expected


@pytest.mark.parametrize("metric", ["size", "macs"])
def test_the_next_larger_one_takes_a_step_more_than_all_that_were_chosen(metric: str) -> None:
    assert next_larger(LADDER, [LADDER[7], LADDER[3]], metric) is LADDER[9]
    assert next_larger(LADDER, [LADDER[38]], metric) is LADDER[39]
    assert next_larger(LADDER, [LADDER[39]], metric) is None
    # More of the one and less of the other is no larger one.
    assert next_larger([candidate(50, 900_000, 1_000)], [LADDER[38]], metric) is None
    assert next_larger([candidate(50, 1_000, 90_000_000)], [LADDER[38]], metric) is None
