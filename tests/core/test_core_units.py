"""Durations and sizes, as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.errors import InputError
from learn2compress.core.units import (
    BYTES,
    COUNTS,
    MILLISECONDS,
    duration_seconds,
    milliseconds,
    percent,
    quantity,
    rounded_up,
    show_bytes,
    show_count,
    show_duration,
    show_points,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("20 min", 1200),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        (" 2M ", 120),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "m", "10x", "-5m", "1.2.3m", "5m,3s", "nan", "inf", "0", "0s", "90", "1h30", "1h 30", "30 1h"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        duration_seconds(text)
    assert caught.value.code == "units.malformed"
    assert "20m" in caught.value.fix


def test_a_number_without_a_unit_is_named_with_what_was_most_likely_meant() -> None:
    with pytest.raises(InputError, match="'1h30', the part '30'") as caught:
        duration_seconds("1h30")
    assert "1h30m" in caught.value.fix
    assert "units: s, sec, m, min, h)" in caught.value.fix


@given(seconds=st.integers(1, 10**6))
def test_a_shown_duration_reads_back_as_it_was(seconds: int) -> None:
    rounding = 0 if seconds < 3600 else 60
    assert abs(duration_seconds(show_duration(seconds)) - seconds) <= rounding


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (98_496, "98.5 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (3_465_296, "3.47 MB"),
        (2e9, "2 GB"),
        (5e12, "5000 GB"),
    ],
)
def test_sizes_are_shown_with_three_digits(size: float, shown: str) -> None:
    assert show_bytes(size) == shown


@given(size=st.integers(1, 10**12))
def test_a_shown_size_reads_back_within_half_a_percent(size: int) -> None:
    assert quantity(show_bytes(size), BYTES, "size", "100KB") == pytest.approx(size, rel=6e-3)
    assert quantity(show_count(size), COUNTS, "count", "10M") == pytest.approx(size, rel=6e-3)


@given(size=st.integers(1, 10**12))
def test_a_size_that_is_rounded_up_reads_back_no_smaller(size: int) -> None:
    upward = rounded_up(size)
    assert size <= upward <= max(size + 1, 1.0101 * size)
    assert quantity(show_bytes(upward), BYTES, "size", "100KB") >= size
    assert quantity(show_count(upward), COUNTS, "count", "10M") >= size


@given(thousandths=st.integers(1, 10**9))
def test_a_latency_that_is_rounded_up_reads_back_no_smaller(thousandths: int) -> None:
    ms = thousandths / 1000
    assert quantity(f"{milliseconds(rounded_up(ms, 0.01))} ms", MILLISECONDS, "latency", "5ms") >= ms


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.91964), "92.0 %"),
        (percent(0.91964, 2), "91.96 %"),
        (show_points(0.04), "4 points"),
        (show_points(0.01), "1 point"),
        (show_points(0.0004), "0.04 points"),
    ],
)
def test_shares_are_shown_with_their_units(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize("text", ["64KiB", "64kib", "64 KIB"])
def test_units_are_read_in_small_letters_and_in_capitals(text: str) -> None:
    assert quantity(text, BYTES, "size", "100KB") == 2**16


def test_a_size_is_read_as_it_is_written() -> None:
    assert quantity("64.1KB", BYTES, "size", "100KB") == 64_100
