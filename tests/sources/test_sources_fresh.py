"""Students of our own: what is planned with them can be trained together."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from learn2compress.core.target import Target, bound_sets
from learn2compress.plan.members import choose_members, leave_bytes_unused, widest_member, within

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module")
def source() -> Any:
    from learn2compress.sources.fresh import FreshStudents

    teacher: Any = SimpleNamespace(input_size=(32, 32))
    dataset: Any = SimpleNamespace(classes=10)
    return FreshStudents(teacher, dataset, "a test")


@given(
    sizes=st.lists(st.integers(14_000, 300_000), min_size=1, max_size=3),
    macs=st.lists(st.integers(2_200_000, 30_000_000), min_size=1, max_size=3),
    count=st.integers(1, 8),
    width=st.integers(0, 44),
)
@example(sizes=[27_000], macs=[10_000_000], count=6, width=0)
@example(sizes=[27_000], macs=[10_000_000], count=2, width=0)
def test_all_members_nest_in_the_first_and_are_as_many_as_without_other_proportions(
    source: Any, sizes: list[int], macs: list[int], count: int, width: int
) -> None:
    wides = source.candidates()
    candidates, uneven = source.narrower(wides[width], wides), source.uneven(wides[width])
    bounds = [Target.parse(text) for text in (*(f"size<={n}" for n in sizes), *(f"macs<={n}" for n in macs))]
    chosen = choose_members(candidates, bounds, count, 1e5, uneven)
    assert all(chosen[0].spec.contains(c.spec) for c in chosen)
    assert len(chosen) >= min(count, len(candidates))
    for together in bound_sets(bounds):
        holders = [c for c in chosen if {bound.text for bound in together} <= set(c.spec.targets)]
        assert any(all(within(c, bound) for bound in together) for c in holders)


@given(size=st.integers(60_000, 1_900_000))
def test_the_widest_member_makes_use_of_the_bytes_it_may_take(source: Any, size: int) -> None:
    widest = widest_member(source.candidates(), [Target.parse(f"size<={size}")], 1e5)
    assert 0.79 * size <= widest.cost.size_bytes <= size


@given(size=st.integers(50_000, 280_000))
@example(size=98_496)
def test_a_narrower_member_makes_use_of_the_bytes_it_may_take(source: Any, size: int) -> None:
    wides, bounds = source.candidates(), [Target.parse("size<=316000"), Target.parse(f"size<={size}")]
    widest = widest_member(wides, bounds, 1e5)
    candidates, uneven = source.narrower(widest, wides), source.uneven(widest)
    offered = uneven if leave_bytes_unused(candidates, bounds) else []
    chosen = choose_members(candidates, bounds, 2, 1e5, offered)
    # Of two of nearly one size the one that does more work is taken.
    assert 0.85 * size <= chosen[-1].cost.size_bytes <= size
    assert chosen[0].cost == widest.cost


def test_planning_leaves_what_the_caller_has_set_in_keras(source: Any) -> None:
    import keras

    with keras.saving.custom_object_scope({"mine": object}):
        source.narrower(source.candidates()[20], source.candidates())
        assert keras.saving.get_registered_object("mine") is object


def test_a_candidate_costs_what_the_built_member_costs(source: Any) -> None:
    from learn2compress.graph.cost import model_cost
    from learn2compress.graph.walk import weight_layers

    for candidate in source.uneven(source.candidates()[20])[:2]:
        model = source.build(candidate.spec).model
        assert model_cost(model) == candidate.cost
        assert weight_layers(model) == candidate.spec.depth
