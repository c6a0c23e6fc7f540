"""The one place where training reaches past `keras.ops`: TensorFlow's fused batch-norm kernel."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def batch_norm(inputs: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalizes (n, h, w, c) with the batch's own statistics; returns outputs, mean (c,) and variance (c,)."""
    none = tf.zeros([0])
    scale, offset = tf.cast(gamma, tf.float32), tf.cast(beta, tf.float32)
    results = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=scale, offset=offset, mean=none, variance=none, epsilon=epsilon, is_training=True
    )
    return results.y, results.batch_mean, results.batch_variance
