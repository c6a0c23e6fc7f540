"""The front holds exactly what nothing else beats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.pareto import pareto_front

Point = tuple[int, int, int]
points = st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=20)


def dominates(a: Point, b: Point) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(points)
def test_members_of_the_front_are_not_dominated_and_all_others_are(costs: list[Point]) -> None:
    front = pareto_front(costs)
    for i, point in enumerate(costs):
        dominated = any(dominates(other, point) for other in costs)
        assert (i in front) == (not dominated)


@given(points.filter(bool))
def test_the_front_is_never_empty_and_keeps_the_order(costs: list[Point]) -> None:
    front = pareto_front(costs)
    assert front
    assert front == sorted(front)


def test_equal_points_are_all_on_the_front() -> None:
    assert pareto_front([(1, 2), (1, 2), (2, 2)]) == [0, 1]
