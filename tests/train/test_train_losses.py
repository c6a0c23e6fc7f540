"""The distillation loss, against its definition in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.train.losses import NO_LABEL, distillation_loss


def log_softmax(values: np.ndarray) -> np.ndarray:
    shifted = values - values.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def reference(logits: np.ndarray, labels: np.ndarray, teacher: np.ndarray, temperature: float, hard: float) -> float:
    truth = -log_softmax(logits)[np.arange(len(labels)), labels].mean()
    soft = np.exp(log_softmax(teacher / temperature))
    distilled = -(soft * log_softmax(logits / temperature)).sum(axis=1).mean()
    return hard * truth + (1 - hard) * temperature**2 * distilled


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(st.integers(1, 6), st.integers(2, 9)),
    temperature=st.floats(0.5, 8),
    hard=st.floats(0, 1),
)
def test_the_loss_is_what_its_definition_says(
    seed: int, shape: tuple[int, int], temperature: float, hard: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, shape)
    teacher = log_softmax(rng.normal(0, 3, shape))
    labels = rng.integers(0, shape[1], shape[0])
    found = float(distillation_loss(logits.astype("float32"), labels, teacher.astype("float32"), temperature, hard))
    assert found == pytest.approx(reference(logits, labels, teacher, temperature, hard), rel=1e-4, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), hard=st.floats(0, 1), mask=st.lists(st.booleans(), min_size=5, max_size=5))
def test_where_there_is_no_label_the_teacher_alone_counts(seed: int, hard: float, mask: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    logits, teacher = rng.normal(0, 3, (5, 4)), log_softmax(rng.normal(0, 3, (5, 4)))
    labels = rng.integers(0, 4, 5)
    unknown = np.array(mask)
    expected = sum(
        reference(logits[i : i + 1], labels[i : i + 1], teacher[i : i + 1], 2.0, 0.0 if unknown[i] else hard)
        for i in range(5)
    )
    given_labels = np.where(unknown, NO_LABEL, labels)
    found = float(distillation_loss(logits.astype("float32"), given_labels, teacher.astype("float32"), 2.0, hard))
    assert found == pytest.approx(expected / 5, rel=1e-4, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), temperature=st.floats(0.5, 8))
def test_nothing_imitates_the_teacher_better_than_its_own_outputs(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    teacher = log_softmax(rng.normal(0, 3, (4, 5))).astype("float32")
    labels = np.zeros(4, int)
    other = (teacher + rng.normal(0, 1, teacher.shape)).astype("float32")
    own = float(distillation_loss(teacher, labels, teacher, temperature, 0.0))
    assert own <= float(distillation_loss(other, labels, teacher, temperature, 0.0)) + 1e-4
