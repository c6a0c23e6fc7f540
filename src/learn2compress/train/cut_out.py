"""A member that was never trained, cut out of the weights of those that were."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from learn2compress.graph.slices import Part, slices_from
from learn2compress.train.batches import LabelledViews
from learn2compress.train.heads import fit_heads, has_linear_head
from learn2compress.train.joint import JointFamily
from learn2compress.train.recalibration import recalibrate
from learn2compress.train.trainable import trainable

RECALIBRATED_BATCHES = 8
# Stronger than where training follows: large weights of opposite sign make much of the rounding of what they weigh.
RIDGE = 0.1


def cut_out(part: Part, trained: Sequence[Part], batches: LabelledViews) -> keras.Model:
    """The member with kernels of the widest and with batch norm and biases of the next wider trained member.

    Its batch-norm statistics are then taken anew (as for the switches of Yu et al., "Slimmable neural networks",
    2019), and its classifier is fitted to the teacher's outputs by least squares, with as large a share of zeros as
    that of the next wider member has; one that is no Dense with a bias keeps its part of the widest's weights.

    Args:
        part: the member, which may take images of another size; its model is not changed.
        trained: members that contain it, widest first.
        batches: images with the teacher's outputs.
    """
    model = trainable(part.model, "float32", 0.9)
    own = Part(model, part.positions)
    slices_from(own, trained[0], vectors=False)
    slices_from(own, trained[-1], vectors=True)
    seen = batches.of_size(model.input_shape[1:3])
    recalibrate(model, (seen.batch(number)[0] for number in range(RECALIBRATED_BATCHES)))
    if has_linear_head(model):
        fit_heads(JointFamily([model], 1.0, 0.0), seen, RIDGE, _zeros_in_head(trained[-1].model))
    return model


def _zeros_in_head(model: keras.Model) -> float:
    """Share of zeros among the weights of the classifier, where it is one that can be fitted."""
    return float((np.asarray(model.layers[-1].kernel) == 0).mean()) if has_linear_head(model) else 0.0
