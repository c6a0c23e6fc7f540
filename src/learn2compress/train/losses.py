"""Distillation loss: ground truth and soft labels together (Hinton et al., 2015)."""

from __future__ import annotations

from typing import Any

from keras import ops


def distillation_loss(logits: Any, labels: Any, teacher: Any, temperature: float, hard: float) -> Any:
    """Mean over the batch of `hard * CE(labels) + (1 - hard) * T^2 * CE(teacher at T)`.

    Args:
        logits: the member's, float32 (n, classes).
        labels: class indices (n,).
        teacher: the teacher's log-probabilities (n, classes).
        temperature: T; the larger, the more the teacher's small probabilities count.
        hard: share of the ground truth.
    """
    log_p = ops.log_softmax(logits, axis=-1)
    truth = -ops.mean(ops.take_along_axis(log_p, ops.cast(labels, "int32")[:, None], axis=-1))
    soft = ops.softmax(teacher / temperature, axis=-1)
    log_q = ops.log_softmax(logits / temperature, axis=-1)
    distilled = -ops.mean(ops.sum(soft * log_q, axis=-1))
    return hard * truth + (1 - hard) * temperature**2 * distilled
