"""How the time asked for is spent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.recipe import PRESETS, Recipe
from learn2compress.core.units import duration_seconds
from learn2compress.plan.budget import (
    FEWEST_STEPS,
    LEAST_TRIAL_SECONDS,
    MOST_DOUBTFUL,
    MOST_EPOCHS,
    MOST_VIEWS,
    REHEARSAL_SECONDS,
    SOFT_LABEL_SHARE,
    affordable_doubtful,
    affordable_steps,
    affordable_views,
    fewest_steps_seconds,
    finish_seconds,
    is_short,
    is_spent,
    phases,
    steps_planner,
    trial_seconds,
)

rates = st.floats(0.1, 1e5)


@given(budget=st.floats(30, 1e5), images=st.integers(1, 10**6), rate=rates)
def test_views_stay_within_their_share_of_the_budget_and_are_as_many_as_fit(
    budget: float, images: int, rate: float
) -> None:
    views = affordable_views(budget, images, rate)
    assert 1 <= views <= MOST_VIEWS
    share = SOFT_LABEL_SHARE * budget
    if views > 1:
        assert views * images / rate <= share * (1 + 1e-9)
    if views < MOST_VIEWS:
        assert (views + 1) * images / rate >= share * (1 - 1e-9)


@given(remaining=st.floats(100, 1e5), finish=st.floats(0, 90), share=st.floats(0.01, 0.49))
def test_training_takes_all_that_remains_but_for_the_finish(remaining: float, finish: float, share: float) -> None:
    found = phases(remaining, finish, share)
    assert found.joint_seconds + found.quantization_seconds == pytest.approx(remaining - finish)
    assert found.quantization_seconds == pytest.approx(share * (remaining - finish))
    assert found.joint_seconds > found.quantization_seconds > 0


@given(remaining=st.floats(-100, 0), finish=st.floats(0, 1000))
def test_a_spent_budget_still_leaves_both_phases_some_time(remaining: float, finish: float) -> None:
    found = phases(remaining, finish, 0.2)
    assert found.joint_seconds > found.quantization_seconds > 0


@given(seconds=st.floats(0.1, 1e5), step=st.floats(1e-4, 100), per_epoch=st.integers(1, 10**4))
def test_steps_fit_the_time_between_a_floor_and_a_ceiling(seconds: float, step: float, per_epoch: int) -> None:
    steps = affordable_steps(seconds, step, per_epoch)
    assert steps >= FEWEST_STEPS
    assert steps <= max(FEWEST_STEPS, MOST_EPOCHS * per_epoch)
    if steps > FEWEST_STEPS:
        assert steps * step <= seconds * (1 + 1e-9)
    if FEWEST_STEPS < steps < MOST_EPOCHS * per_epoch:
        assert (steps + 1) * step >= seconds * (1 - 1e-9)


@given(images=st.integers(1, 10**5), rate=rates, members=st.integers(1, 8))
def test_the_finish_takes_longer_with_more_images_and_more_members(images: int, rate: float, members: int) -> None:
    own = finish_seconds(images, rate, [0.5] * members, [9] * members)
    assert 0 < own < finish_seconds(images, rate, [0.5] * (members + 1), [9] * (members + 1))
    assert own < finish_seconds(2 * images, rate, [0.5] * members, [9] * members)
    assert own < finish_seconds(images, rate, [0.6] * members, [9] * members)
    assert own < finish_seconds(images, rate, [0.5] * members, [10] * members)


@given(budget=st.floats(30, 1e5), over=st.floats(0, 1))
def test_a_budget_is_short_only_where_what_is_needed_goes_far_beyond_it(budget: float, over: float) -> None:
    assert not is_short(budget, budget * (1 + 0.19 * over))
    assert is_short(budget, budget * (1.21 + over))


def test_the_shortest_training_takes_longer_with_more_images_and_a_slower_teacher() -> None:
    known = fewest_steps_seconds(100, 1000.0, 0.5)
    # 30 steps of 100 images, each at the cost of 1.5 of the teacher's.
    assert known == pytest.approx(4.5)
    assert fewest_steps_seconds(200, 1000.0, 0.5) == pytest.approx(2 * known)
    assert fewest_steps_seconds(100, 500.0, 0.5) == pytest.approx(2 * known)


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_number_of_steps_that_is_asked_for_is_planned_whatever_the_time(seconds: float) -> None:
    assert steps_planner(37)(seconds, 1.0, 10) == 37
    assert steps_planner(None)(seconds, 1.0, 10) == (FEWEST_STEPS if seconds == 0 else 10 * MOST_EPOCHS)


def test_by_default_there_is_time_for_a_trial_and_with_the_fast_preset_there_is_not() -> None:
    assert trial_seconds(duration_seconds(str(Recipe().budget))) >= LEAST_TRIAL_SECONDS
    assert trial_seconds(duration_seconds(PRESETS["fast"]["budget"])) == 0
    assert trial_seconds(duration_seconds(PRESETS["best"]["budget"])) > LEAST_TRIAL_SECONDS


@given(budget=st.floats(30, 1e5))
def test_a_trial_lasts_long_enough_to_tell_something_and_takes_a_small_part_of_the_budget(budget: float) -> None:
    seconds = trial_seconds(budget)
    assert seconds == 0 or seconds >= LEAST_TRIAL_SECONDS
    assert seconds <= 0.0625 * budget


@given(budget=st.floats(30, 1e5), over=st.floats(0, 1))
def test_a_budget_is_spent_where_less_than_a_tenth_is_left(budget: float, over: float) -> None:
    assert is_spent(budget, budget * (0.099 - over))
    assert not is_spent(budget, budget * (0.101 + over))


@given(budget=st.floats(30, 1e6))
def test_looking_at_doubtful_members_takes_a_small_part_of_the_budget(budget: float) -> None:
    tries = affordable_doubtful(budget)
    assert 0 <= tries <= MOST_DOUBTFUL
    assert REHEARSAL_SECONDS * tries <= 0.02 * budget
    assert (tries == 0) == (0.02 * budget < REHEARSAL_SECONDS)


def test_in_a_minute_no_doubtful_member_is_looked_at_and_by_default_some_are() -> None:
    assert affordable_doubtful(60) == 0
    assert 1 < affordable_doubtful(duration_seconds(str(Recipe().budget))) < affordable_doubtful(3600)
