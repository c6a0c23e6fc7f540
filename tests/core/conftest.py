"""Builders of manifests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
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


def _accuracy(value: float) -> Accuracy:
    return Accuracy(
        validation=value,
        test=value,
        validation_examples=10,
        test_examples=10,
        per_class_test=(value, None),
    )


@pytest.fixture(scope="session")
def make_member() -> Callable[..., Member]:
    """A member of so many bytes, milliseconds and so much accuracy."""

    def make(name: str, size: int, ms: float | None, accuracy: float, **more: Any) -> Member:
        values: dict[str, Any] = {
            "name": name,
            "file": f"models/{name}.tflite",
            "keras_file": f"models/{name}.keras",
            "size_bytes": size,
            "macs": 10 * size,
            "peak_memory_bytes": 2 * size,
            "accuracy": _accuracy(accuracy),
            "latency_ms": None if ms is None else Latency(median=ms, p90=2 * ms),
            "width": 1.0,
            "depth": 3,
            "input_size": (32, 32),
            "float_accuracy_validation": accuracy,
            "float_accuracy_test": accuracy,
            "verification": Verification(images=10, top1_agreement=1.0, max_probability_difference=0.0),
        }
        return Member(**{**values, **more})

    return make


@pytest.fixture(scope="session")
def make_family(make_member: Callable[..., Member]) -> Callable[..., Family]:
    """A family of the given members, or of a large, a small and a tiny one."""

    def make(members: Sequence[Member] | None = None, **more: Any) -> Family:
        if members is None:
            members = (
                make_member("large", 300_000, 3.0, 0.93),
                make_member("small", 90_000, 1.0, 0.9),
                make_member("tiny", 30_000, 0.4, 0.8),
            )
        values: dict[str, Any] = {
            "created": "2025-01-01T00:00:00+00:00",
            "version": "0.1.0",
            "task": "image-classification",
            "command": "l2c compress model.keras --data photos --out family",
            "seed": 0,
            "budget_seconds": 60.0,
            "elapsed_seconds": 59.5,
            "stage_seconds": {"inputs": 1.0},
            "route": "fresh",
            "teacher": Model(name="teacher", file=None, accuracy=_accuracy(0.95)),
            "baselines": (),
            "members": tuple(members),
            "dataset": DatasetSummary(
                source="photos",
                class_names=("cat", "dog"),
                train_examples=80,
                validation_examples=10,
                test_examples=10,
                image_size=(32, 32),
            ),
            "environment": Environment(
                processor="x", cores=2, memory_bytes=1, system="Linux", python="3.11", packages={"keras": "3"}
            ),
            "plan": {"views": 2},
            "folder": Path("family"),
        }
        return Family(**{**values, **more})

    return make
