"""How much each channel matters: one file a measure, all behind one protocol.

A measure gives for every group of a channel analysis a score for each unit; the lowest go first. Within a group the
scores are compared as they are. Between groups they are compared after `normalized`, or as they are where the
measure is of one kind over the whole model (`comparable`).
"""

from __future__ import annotations

from learn2compress.train.importance.activation import ActivationEnergy
from learn2compress.train.importance.batch_norm import BatchNormScale
from learn2compress.train.importance.magnitude import Magnitude
from learn2compress.train.importance.protocol import Importance, Scores, normalized
from learn2compress.train.importance.taylor import Taylor

MEASURES: dict[str, Importance] = {
    measure.name: measure for measure in (Magnitude(1), Magnitude(2), BatchNormScale(), Taylor(), ActivationEnergy())
}

__all__ = ["MEASURES", "Importance", "Scores", "normalized"]
