"""Whether a finished family gives what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from learn2compress.core.family import (
    Accuracy,
    DatasetSummary,
    Environment,
    Family,
    Latency,
    Member,
    Model,
    Verification,
)
from learn2compress.core.target import Target
from learn2compress.plan.outcome import collapses, unmet_targets


@pytest.fixture(scope="module")
def family() -> Family:
    """Two members: 300 kB with 92 %, 90 kB with 88 %; the teacher has 93 %."""

    def accuracy(value: float) -> Accuracy:
        return Accuracy(validation=0.99, test=value, validation_examples=10, test_examples=10)

    def member(name: str, size: int, value: float) -> Member:
        return Member(
            name=name,
            file=f"models/{name}.tflite",
            keras_file=f"models/{name}.keras",
            size_bytes=size,
            macs=20 * size,
            accuracy=accuracy(value),
            accuracy_drop=0.93 - value,
            width=1.0,
            depth=3,
            input_size=(32, 32),
            float_accuracy_validation=value,
            float_accuracy_test=value,
            verification=Verification(images=1, top1_agreement=1.0, max_probability_difference=0.0),
        )

    return Family(
        created="",
        version="",
        task="",
        command="",
        seed=0,
        budget_seconds=60,
        elapsed_seconds=60,
        stage_seconds={},
        route="fresh",
        teacher=Model(name="teacher", file=None, accuracy=accuracy(0.93)),
        baselines=(),
        members=(member("large", 300_000, 0.92), member("small", 90_000, 0.88)),
        dataset=DatasetSummary(
            source="",
            class_names=("a", "b"),
            train_examples=1,
            validation_examples=1,
            test_examples=1,
            image_size=(32, 32),
        ),
        environment=Environment(processor="", cores=1, memory_bytes=1, system="", python="", packages={}),
        plan={},
    )


@pytest.fixture(scope="module")
def unmet(family: Family) -> Callable[..., str]:
    return lambda *texts: unmet_targets(family, [Target.parse(text) for text in texts])


@pytest.fixture(scope="module")
def measured(family: Family) -> Family:
    """The same, with what each takes: 2.5 ms and 3 MB, 1.25 ms and 1.5 MB."""
    taken = [{"latency_ms": Latency(median=2.5 / n, p90=3.0), "peak_memory_bytes": 3_000_000 // n} for n in (1, 2)]
    members = [member.model_copy(update=more) for member, more in zip(family.members, taken, strict=True)]
    return family.model_copy(update={"members": tuple(members)})


@pytest.mark.parametrize(
    "text", ["size<=90KB", "size<=1MB", "macs<=2M", "accuracy>=0.92", "accuracy>=0.5", "drop<=0.0101", "drop<=20%"]
)
def test_a_bound_that_some_member_holds_is_met(unmet: Callable[..., str], text: str) -> None:
    assert unmet(text) == ""


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("size<=80KB", "small, has size 90 kB, off by 10 kB"),
        ("macs<=1M", "small, has 1.8 M MACs, off by 800 k MACs"),
        ("latency<=1ms", "small, has latency 1.25 ms, off by 0.25 ms"),
        ("memory<=1MB", "small, has memory 1.5 MB, off by 500 kB"),
        ("accuracy>=0.95", "large, has accuracy 92.00 %, off by 3 points"),
        ("accuracy>=93%", "large, has accuracy 92.00 %, off by 1 point"),
        ("accuracy>=0.9204", "large, has accuracy 92.00 %, off by 0.04 points"),
        ("drop<=0.5%", "large, has drop 1 point, off by 0.5 points"),
    ],
)
def test_a_bound_that_no_member_holds_is_named_with_the_nearest_value_and_the_gap(
    measured: Family, text: str, has: str
) -> None:
    assert unmet_targets(measured, [Target.parse(text)]) == f"No member meets {text}: the nearest, {has}."


def test_bounds_on_different_metrics_hold_for_one_member_or_are_not_met(unmet: Callable[..., str]) -> None:
    assert unmet("size<=300KB", "accuracy>=0.92") == unmet("size<=90KB", "accuracy>=0.88") == ""
    assert unmet("size<=90KB", "accuracy>=0.92") == (
        "No member meets size<=90KB and accuracy>=0.92 at once: the nearest, small, has accuracy 88.00 %, off by "
        "4 points."
    )
    assert unmet("size<=80KB", "drop<=4%") == (
        "No member meets size<=80KB and drop<=4% at once: the nearest, small, has size 90 kB, off by 10 kB; "
        "drop 5 points, off by 1 point."
    )
    # Two bounds on the size ask for two members, and the accuracy for the larger.
    assert unmet("size<=90KB", "size<=300KB", "accuracy>=0.92") == ""


@pytest.mark.parametrize("text", ["latency<=5ms", "memory<=1MB"])
def test_what_was_not_measured_is_within_no_bound(unmet: Callable[..., str], text: str) -> None:
    metric = text.partition("<=")[0]
    assert unmet(text) == f"No member meets {text}: the nearest, large, has no measured {metric}."


def test_the_accuracy_that_counts_is_that_of_the_test_split(unmet: Callable[..., str]) -> None:
    assert "has accuracy 92.00 %" in unmet("accuracy>=0.98")


def judged(family: Family, *validation: float, larger: str = "") -> list[str]:
    """What is said of the members when they have these accuracies on the validation split, and the teacher 90 %."""

    def with_validation(model: Any, value: float) -> Any:
        return model.model_copy(update={"accuracy": model.accuracy.model_copy(update={"validation": value})})

    members = [with_validation(member, value) for member, value in zip(family.members, validation, strict=True)]
    return collapses(members, with_validation(family.teacher, 0.9), classes=10, larger=larger)


def test_members_that_keep_three_quarters_of_what_the_teacher_knows_hold(family: Family) -> None:
    # Of ten classes, one in ten is right by chance: 10 % and three quarters of 80 points.
    assert judged(family, 0.9, 0.71) == ["", ""]


@pytest.mark.parametrize("value", [0.69, 0.52])
def test_a_collapsed_member_is_named_with_the_nearest_that_holds(family: Family, value: float) -> None:
    none, said = judged(family, 0.8, value, larger="size 400 kB")
    large, small = family.members
    assert none == ""
    assert said.startswith(f"{small.name} has collapsed: it is right on {100 * value:.1f}%")
    assert "of use would be 70.0%, which is 75% of the way there from chance" in said
    assert f"nearest member that holds is {large.name}: {large.size_bytes:,} bytes, 80.0%" in said
    assert "400 kB" not in said


def test_where_all_have_collapsed_it_names_the_next_larger_that_was_not_trained(family: Family) -> None:
    sentences = judged(family, 0.2, 0.1, larger="size 400 kB and 60 M MACs")
    assert len(sentences) == 2
    for sentence in sentences:
        assert "The next larger one that can be built would have size 400 kB and 60 M MACs" in sentence
        assert "it was not trained" in sentence


def test_where_nothing_larger_can_be_built_it_says_so(family: Family) -> None:
    for sentence in judged(family, 0.2, 0.1):
        assert "No member holds, and no larger one can be built" in sentence
