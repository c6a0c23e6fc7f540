"""Distillation loss: ground truth and soft labels together (Hinton et al., 2015)."""

from __future__ import annotations

from typing import Any

from keras import ops

# In place of a class, where nobody knows it: a mix of two images is none of either's.
NO_LABEL = -1


def distillation_loss(logits: Any, labels: Any, teacher: Any, temperature: float, hard: float) -> Any:
    """Mean over the batch of `hard * CE(labels) + (1 - hard) * T^2 * CE(teacher at T)`.

    Args:
        logits: the member's, float32 (n, classes).
        labels: class indices (n,); where one is `NO_LABEL`, `hard` is 0 for that example.
        teacher: the teacher's log-probabilities (n, classes).
        temperature: T; the larger, the more the teacher's small probabilities count.
        hard: share of the ground truth.
    """
    log_p = ops.log_softmax(logits, axis=-1)
    labels = ops.cast(labels, "int32")
    known = labels != NO_LABEL
    truth = -ops.take_along_axis(log_p, ops.where(known, labels, 0)[:, None], axis=-1)[:, 0]
    soft = ops.softmax(teacher / temperature, axis=-1)
    log_q = ops.log_softmax(logits / temperature, axis=-1)
    distilled = -(temperature**2) * ops.sum(soft * log_q, axis=-1)
    share = hard * ops.cast(known, log_p.dtype)
    return ops.mean(share * truth + (1 - share) * distilled)
