"""Numbers that lie evenly, however many there are."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.evenly import evenly


@given(count=st.integers(2, 500))
def test_the_first_values_leave_no_gap_that_is_much_wider_than_the_others(count: int) -> None:
    values = sorted(evenly(number) for number in range(count))
    assert values[0] >= 0
    assert values[-1] < 1
    gaps = [b - a for a, b in pairwise([*values, 1.0])]
    assert max(gaps) < 2 / count * 1.31
