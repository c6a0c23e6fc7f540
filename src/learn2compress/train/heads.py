"""A classifier to start from: the ridge regression of the teacher's outputs on a cut's pooled features.

A new head on trained layers would spend the first epochs unlearning its random weights, and disturb the layers
below meanwhile. The least-squares head costs one pass over some views.
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.train.batches import LabelledViews
from learn2compress.train.joint import JointFamily
from learn2compress.train.trainable import scaled

Array = NDArray[np.float64]

MOST_IMAGES = 4000
# Features are standardized, so this is relative to the number of images.
RIDGE = 0.01
LOWEST_LOG_PROBABILITY = -6.0


def has_linear_head(model: keras.Model) -> bool:
    """Whether `fit_heads` can set the last layer: a Dense on vectors, with a bias."""
    last = model.layers[-1]
    return isinstance(last, keras.layers.Dense) and last.use_bias and len(last.input.shape) == 2


def fit_heads(family: JointFamily, batches: LabelledViews, strength: float = RIDGE, zeros: float = 0.0) -> None:
    """Sets each member's last layer, a Dense on pooled features (n, c), from the features and the soft labels.

    The heads must be the members' own: see `graph.trunk.build_trunk`. `strength` and `zeros` as for `ridge`.
    """
    extractor = family.head_inputs()
    features: list[list[Array]] = [[] for _ in family.members]
    targets = []
    for step in range(max(1, min(MOST_IMAGES, 4 * len(batches.views)) // batches.batch_size)):
        pixels, (_, teacher) = batches.batch(step)
        outputs = keras.tree.flatten(extractor.predict_on_batch(scaled(pixels)))
        for found, output in zip(features, outputs, strict=True):
            found.append(np.asarray(output, np.float64))
        targets.append(np.maximum(teacher, LOWEST_LOG_PROBABILITY))
    logits = np.concatenate(targets).astype(np.float64)
    logits -= logits.mean(axis=1, keepdims=True)
    for member, found in zip(family.members, features, strict=True):
        kernel, bias = ridge(np.concatenate(found), logits, strength, zeros)
        member.layers[-1].set_weights([kernel.astype(np.float32), bias.astype(np.float32)])


def ridge(features: Array, targets: Array, strength: float, zeros: float = 0.0) -> tuple[Array, Array]:
    """Kernel (c, k) and bias (k,) that map features (n, c) to targets (n, k) with least squared error.

    Args:
        features, targets: of as many images.
        strength: of the regularization, relative to the number of images.
        zeros: share of the kernel's weights that become zero: those that move the targets least. The others are
            fitted once more without them.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = (features - mean) / deviation
    center = targets.mean(axis=0)
    gram = x.T @ x + strength * len(x) * np.eye(x.shape[1])
    right = x.T @ (targets - center)
    kernel = np.linalg.solve(gram, right)
    if gone := round(zeros * kernel.size):
        kept = np.ones(kernel.size, bool)
        kept[np.argpartition(np.abs(kernel), gone - 1, axis=None)[:gone]] = False
        kernel = np.zeros_like(kernel)
        for column, rows in enumerate(kept.reshape(kernel.shape).T):
            kernel[rows, column] = np.linalg.solve(gram[np.ix_(rows, rows)], right[rows, column])
    kernel /= deviation[:, None]
    return kernel, center - mean @ kernel
