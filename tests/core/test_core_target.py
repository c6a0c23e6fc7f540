"""What a user may write after `--target`."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.errors import InputError
from learn2compress.core.target import METRICS, Target, bound_sets


@pytest.mark.parametrize(
    ("text", "metric", "bound"),
    [
        ("size<=100KB", "size", 100e3),
        ("size <= 100 kB", "size", 100e3),
        ("  SIZE<=1.5MB ", "size", 1.5e6),
        ("size<=96KiB", "size", 98_304),
        ("size<=98496", "size", 98_496),
        ("size<=98496B", "size", 98_496),
        ("macs<=10M", "macs", 10e6),
        ("macs<=.5G", "macs", 0.5e9),
        ("macs<=1e6", "macs", 1e6),
        ("latency<=5ms", "latency", 5),
        ("latency<=800us", "latency", 0.8),
        ("latency<=0.1s", "latency", 100),
        ("memory<=1MB", "memory", 1e6),
        ("accuracy>=0.92", "accuracy", 0.92),
        ("accuracy>=92%", "accuracy", 0.92),
        ("drop<=1%", "drop", 0.01),
        ("drop<=.01", "drop", 0.01),
        ("drop<=100%", "drop", 1),
        ("accuracy>=1", "accuracy", 1),
    ],
)
def test_a_bound_is_read_with_its_unit(text: str, metric: str, bound: float) -> None:
    target = Target.parse(text)
    assert target.metric == metric
    assert target.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "target.malformed"),
        ("size", "target.malformed"),
        ("size<=", "target.malformed"),
        ("100KB", "target.malformed"),
        ("<=100KB", "target.malformed"),
        ("size:100KB", "target.malformed"),
        ("speed<=5", "target.unknown_metric"),
        ("size>=100KB", "target.direction"),
        ("size<100KB", "target.direction"),
        ("size=100KB", "target.direction"),
        ("accuracy<=0.9", "target.direction"),
        ("accuracy==0.9", "target.direction"),
        ("drop>=0.1", "target.direction"),
        ("size<=lots", "units.malformed"),
        ("size<=100XB", "units.malformed"),
        ("size<=100ms", "units.malformed"),
        ("size<=-100KB", "units.malformed"),
        ("size<=1.2.3MB", "units.malformed"),
        ("size<=100KB<=200KB", "units.malformed"),
        ("accuracy>=nan", "units.malformed"),
        ("macs<=10MB", "units.malformed"),
        ("size<=0", "target.unsatisfiable"),
        ("accuracy>=92", "target.unsatisfiable"),
        ("accuracy>=1.01", "target.unsatisfiable"),
        ("drop<=101%", "target.unsatisfiable"),
        ("drop<=1.5", "target.unsatisfiable"),
        ("drop<=1", "target.bounds_nothing"),
        ("drop<=1.0", "target.bounds_nothing"),
    ],
)
def test_what_is_no_bound_is_refused_with_an_example(text: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        Target.parse(text)
    assert caught.value.code == code
    assert caught.value.exit_code == 2
    assert any(example in caught.value.fix for _, _, example in METRICS.values())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("drop<=1", "drop<=1%"),
        ("drop <= 2", "drop<=2%"),
        ("drop<=1.5", "drop<=1.5%"),
        ("accuracy>=90", "accuracy>=90%"),
        ("accuracy>=500", ""),
        ("accuracy>=120%", ""),
        ("size<=0", ""),
    ],
)
def test_a_share_that_was_likely_meant_in_percent_is_asked_for(text: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        Target.parse(text)
    asked = re.findall(r"did you mean (.*)\?", caught.value.fix)
    assert asked == ([meant] if meant else [])
    for right in asked:
        assert Target.parse(right).bound < 1


@given(value=st.floats(1e-3, 1e12), metric=st.sampled_from(["size", "macs"]))
def test_an_upper_bound_holds_up_to_and_including_itself(value: float, metric: str) -> None:
    target = Target.parse(f"{metric}<={value}")
    assert target.holds(value)
    assert target.holds(value * 0.999)
    assert not target.holds(value * 1.001)


@given(value=st.floats(1e-3, 1.0))
def test_a_lower_bound_holds_from_itself_up(value: float) -> None:
    target = Target.parse(f"accuracy>={value}")
    assert target.holds(value)
    assert target.holds(value * 1.001)
    assert not target.holds(value * 0.999)


@pytest.mark.parametrize("text", ["size<=100KB", " SIZE <= 100 KB ", "accuracy>=92%"])
def test_the_text_of_a_target_reads_back_as_the_same_bound(text: str) -> None:
    target = Target.parse(text)
    again = Target.parse(target.text)
    assert again == target


@given(
    st.lists(
        st.one_of(
            st.integers(1, 9).map(lambda n: f"size<={n}KB"),
            st.integers(1, 9).map(lambda n: f"latency<={n}ms"),
            st.integers(1, 9).map(lambda n: f"accuracy>=0.{n}"),
            st.integers(1, 9).map(lambda n: f"drop<=0.{n}"),
        ),
        max_size=8,
    )
)
def test_bounds_on_one_metric_are_for_several_members_and_others_hold_together(texts: list[str]) -> None:
    targets = [Target.parse(text) for text in texts]
    sets = bound_sets(targets)
    assert {target for one in sets for target in one} == set(targets)
    for one in sets:
        assert len({target.metric for target in one}) == len(one)
    metrics = [target.metric for target in targets]
    assert len(sets) == max((metrics.count(metric) for metric in metrics), default=0)
    for earlier, later in pairwise(sets):
        for target in later:
            before = next(other for other in earlier if other.metric == target.metric)
            # A smaller member may be less right.
            assert target.bound >= before.bound if target.metric == "drop" else target.bound <= before.bound
    costs = [{t.metric for t in one if t.metric not in ("accuracy", "drop")} for one in sets]
    assert all(one == costs[0] for one in costs)
