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


@pytest.mark.parametrize(
    "text", ["size<=90KB", "size<=1MB", "macs<=2M", "accuracy>=0.92", "accuracy>=0.5", "drop<=0.0101", "drop<=20%"]
)
def test_a_bound_that_some_member_holds_is_met(unmet: Callable[..., str], text: str) -> None:
    assert unmet(text) == ""


@pytest.mark.parametrize(
    ("text", "nearest", "off"),
    [
        ("size<=80KB", "90000", "1e+04"),
        ("macs<=1M", "1.8e+06", "8e+05"),
        ("accuracy>=0.95", "0.92", "0.03"),
        ("drop<=0.5%", "0.01", "0.005"),
    ],
)
def test_a_bound_that_no_member_holds_is_named_with_the_nearest_value_and_the_gap(
    unmet: Callable[..., str], text: str, nearest: str, off: str
) -> None:
    said = unmet(text)
    assert said.count("No member meets") == 1
    assert text in said
    assert f"has {nearest}" in said
    assert f"off by {off}" in said


def test_bounds_on_different_metrics_hold_for_one_member_or_are_not_met(unmet: Callable[..., str]) -> None:
    assert unmet("size<=300KB", "accuracy>=0.92") == unmet("size<=90KB", "accuracy>=0.88") == ""
    said = unmet("size<=90KB", "accuracy>=0.92")
    assert "size<=90KB and accuracy>=0.92 at once: the nearest, small, has accuracy 0.88, off by 0.04" in said
    # Two bounds on the size ask for two members, and the accuracy for the larger.
    assert unmet("size<=90KB", "size<=300KB", "accuracy>=0.92") == ""


def test_what_was_not_measured_is_within_no_bound(unmet: Callable[..., str]) -> None:
    assert "latency<=5ms" in unmet("latency<=5ms")
    assert "memory<=1MB" in unmet("memory<=1MB")


def test_the_accuracy_that_counts_is_that_of_the_test_split(unmet: Callable[..., str]) -> None:
    assert "0.92" in unmet("accuracy>=0.98")


def judged(family: Family, *validation: float) -> list[str]:
    """What is said of the members when they have these accuracies on the validation split, and the teacher 90 %."""

    def with_validation(model: Any, value: float) -> Any:
        return model.model_copy(update={"accuracy": model.accuracy.model_copy(update={"validation": value})})

    members = [with_validation(member, value) for member, value in zip(family.members, validation, strict=True)]
    return collapses(members, with_validation(family.teacher, 0.9), classes=10)


def test_members_that_keep_half_of_what_the_teacher_knows_hold(family: Family) -> None:
    assert judged(family, 0.9, 0.51) == []


def test_a_collapsed_member_is_named_with_the_nearest_that_holds(family: Family) -> None:
    (said,) = judged(family, 0.8, 0.49)
    large, small = family.members
    assert said.startswith(f"{small.name} has collapsed: it is right on 49.0%")
    assert f"nearest member that holds is {large.name}: {large.size_bytes:,} bytes, 80.0%" in said


def test_where_all_have_collapsed_it_says_what_to_do(family: Family) -> None:
    sentences = judged(family, 0.2, 0.1)
    assert len(sentences) == 2
    assert all("No member holds" in sentence for sentence in sentences)
