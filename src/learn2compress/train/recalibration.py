"""Batch-norm statistics counted anew: what a cut model needs before anything can be said about it.

Without some of its channels a layer gives other means and variances than those that batch norm remembers. As in
"slimmable" networks (Yu et al., 2019) they are averaged over some batches; no weight moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from learn2compress.train.trainable import scaled


def recalibrate(model: keras.Model, batches: Iterable[Any]) -> None:
    """Sets the moving statistics of all batch norms to their mean over the batches, in place.

    Args:
        model: from `(pixels - 128) / 128` to logits.
        batches: uint8 pixels (n, h, w, 3), one array a batch.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    remembered = [norm.momentum for norm in norms]
    for count, pixels in enumerate(batches):
        for norm in norms:
            norm.momentum = count / (count + 1)
        # Not compiled: a compiled step would keep the first momentum.
        model(scaled(pixels), training=True)
    for norm, momentum in zip(norms, remembered, strict=True):
        norm.momentum = momentum
