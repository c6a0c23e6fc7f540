from __future__ import annotations

import pytest

from learn2compress.core.units import milliseconds
from learn2compress.report.rows import points, times


@pytest.mark.parametrize(("value", "text"), [(0.0312, "0.0312"), (48.34, "48.3"), (999.6, "1000"), (1230.4, "1230")])
def test_milliseconds_are_never_scientific(value: float, text: str) -> None:
    assert milliseconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0123, "1.2"), (-0.0123, "−1.2"), (-0.0001, "0.0")])
def test_points_have_no_negative_nought(value: float, text: str) -> None:
    assert points(value) == text


@pytest.mark.parametrize(("value", "text"), [(143.02, "143×"), (9.97, "10×"), (3.46, "3.5×"), (0.82, "0.82×")])
def test_ratios_show_what_is_slower(value: float, text: str) -> None:
    assert times(value) == text
