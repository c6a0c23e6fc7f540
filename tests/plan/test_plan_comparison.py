"""Families are compared size for size."""

from __future__ import annotations

import pytest

from learn2compress.core.member import Cost
from learn2compress.core.target import Target
from learn2compress.plan.comparison import scores, taken


def test_a_family_that_is_better_at_every_size_wins_whatever_sizes_it_has() -> None:
    # The second has larger members only, and a higher mean; at equal size it is behind.
    better = ([100.0, 300.0, 900.0], [0.70, 0.80, 0.90])
    larger = ([400.0, 900.0], [0.80, 0.89])
    ahead, behind = scores([better, larger])
    assert ahead > behind
    assert sum(larger[1]) / 2 > sum(better[1]) / 3


def test_equal_families_score_alike_and_members_may_stand_in_any_order() -> None:
    one = scores([([100.0, 200.0], [0.5, 0.7]), ([200.0, 100.0], [0.7, 0.5])])
    assert one[0] == pytest.approx(one[1]) == pytest.approx(0.6, abs=1e-9)


def test_where_sizes_do_not_meet_the_nearest_members_count() -> None:
    small, large = scores([([10.0, 20.0], [0.5, 0.6]), ([100.0, 200.0], [0.7, 0.9])])
    assert small == pytest.approx(0.6)
    assert large == pytest.approx(0.7)


def test_single_members_are_compared_as_they_are() -> None:
    assert scores([([10.0], [0.5]), ([11.0], [0.6])]) == [pytest.approx(0.5), pytest.approx(0.6)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [([], [5, 50]), (["size<=9KB"], [5, 50]), (["macs<=1M"], [70, 7]), (["size<=9KB", "latency<=2ms"], [70, 7])],
)
def test_members_are_compared_by_size_or_by_what_bounds_are_on(texts: list[str], expected: list[int]) -> None:
    costs = [Cost(parameters=1, macs=70, size_bytes=5), Cost(parameters=1, macs=7, size_bytes=50)]
    assert taken(costs, [Target.parse(text) for text in texts]) == expected


def test_for_equal_work_the_family_wins_that_keeps_a_bound_better() -> None:
    # Both keep the bound of 23 M: a cut in few bytes, a pruning in many; its least member is as small as the cut.
    bound = [Target.parse("macs<=23M")]
    cuts = [Cost(1, 22_000_000, 250_000), Cost(1, 15_000_000, 120_000)], [0.80, 0.60]
    prunings = [Cost(1, 23_000_000, 1_000_000), Cost(1, 5_000_000, 220_000)], [0.90, 0.70]
    cut, pruned = scores([(taken(costs, bound), right) for costs, right in (cuts, prunings)])
    assert pruned > cut
    cut, pruned = scores([(taken(costs, []), right) for costs, right in (cuts, prunings)])
    assert pruned < cut
