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


@settings(max_examples=50, deadline=None)
@given(scores=all_scores, multiple=st.sampled_from([4, 8]), data=st.data())
def test_whatever_may_be_given_back_leaves_multiples(
    scores: dict[int, np.ndarray], multiple: int, data: st.DataObject
) -> None:
    blocks = [("early", 0.5), ("late", 5.0)]
    order = pruning_order(
        scores, fewest=dict.fromkeys(scores, 8), multiple=dict.fromkeys(scores, multiple), blocks=blocks
    )
    count, sizes = data.draw(st.integers(1, len(order.removals))), dict(order.sizes)
    given_back: tuple[int, ...] = ()
    for _ in range(count):
        free = [number for number in range(count) if number not in given_back]
        allowed = [number for number in free if order.may_be_given_back(number, count, given_back)]
        # There always is one: the last that is taken.
        given_back = (*given_back, data.draw(st.sampled_from(allowed)))
        left = units_left(order.choice(count, given_back), sizes)
        assert all(len(left[i]) % multiple == 0 or len(left[i]) == size for i, size in sizes.items())
    assert order.choice(count, given_back) == Choice({}, frozenset())


def test_a_step_is_not_given_back_while_a_later_one_of_its_group_is_taken() -> None:
    # 44 channels: the first step takes 4, the others 8.
    order = pruning_order({0: np.arange(44.0)}, fewest={0: 8}, multiple={0: 8}, blocks=[("block", 100.0)])
    assert [len(removal.units) for removal in order.removals[:3]] == [4, 8, 8]
    assert order.removals[-1].block == "block"
    count = len(order.removals)
    assert [n for n in range(count) if order.may_be_given_back(n, count, ())] == [count - 2, count - 1]
    assert order.may_be_given_back(0, 3, (1, 2))
    assert not order.may_be_given_back(0, 3, (1,))
