"""The order in which a model is pruned."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learn2compress.core.choice import Choice
from learn2compress.plan.pruning import LEAST_SHARE, pruning_order

scores_of_a_group = st.integers(9, 70).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(0, 10)))
all_scores = st.lists(scores_of_a_group, min_size=1, max_size=4).map(lambda found: dict(enumerate(found)))


def units_left(choice: Choice, sizes: dict[int, int]) -> dict[int, set[int]]:
    return {i: set(choice.kept[i].tolist()) if i in choice.kept else set(range(n)) for i, n in sizes.items()}


@settings(max_examples=50, deadline=None)
@given(scores=all_scores, multiple=st.sampled_from([1, 4, 8]))
def test_each_choice_of_the_order_lies_inside_the_one_before_and_keeps_the_least(
    scores: dict[int, np.ndarray], multiple: int
) -> None:
    order = pruning_order(scores, fewest=dict.fromkeys(scores, 8), multiple=dict.fromkeys(scores, multiple))
    sizes = {index: len(values) for index, values in scores.items()}
    before = units_left(order.choice(0), sizes)
    assert before == {index: set(range(n)) for index, n in sizes.items()}
    for count in range(1, len(order.removals) + 1):
        now = units_left(order.choice(count), sizes)
        assert all(now[i] <= before[i] for i in sizes)
        assert sum(map(len, now.values())) < sum(map(len, before.values()))
        for index, kept in now.items():
            assert len(kept) >= max(8, LEAST_SHARE * sizes[index])
            assert len(kept) == sizes[index] or len(kept) % multiple == 0
        before = now


@settings(max_examples=50, deadline=None)
@given(values=scores_of_a_group)
def test_within_a_group_the_lowest_scores_go_first(values: np.ndarray) -> None:
    order = pruning_order({3: values}, fewest={3: 8}, multiple={3: 1}, least_shares={3: 0.0})
    gone = [unit for removal in order.removals for unit in removal.units]
    assert len(gone) == len(values) - 8
    assert values[gone].tolist() == sorted(values)[: len(gone)]


def test_what_saves_more_goes_before_what_saves_less() -> None:
    scores = {0: np.full(16, 1.0), 1: np.full(16, 1.0)}
    order = pruning_order(scores, fewest={0: 8, 1: 8}, multiple={0: 8, 1: 8}, worth={0: 1.0, 1: 4.0})
    assert [removal.group for removal in order.removals] == [1, 0]


def test_blocks_take_their_place_by_priority() -> None:
    order = pruning_order(
        {0: np.full(16, 2.0)}, fewest={0: 8}, multiple={0: 8}, blocks=[("early", 1.0), ("late", 3.0)]
    )
    assert [removal.block for removal in order.removals] == ["early", "", "late"]
    assert order.choice(1).removed == {"early"}
    assert order.choice(3).removed == {"early", "late"}
