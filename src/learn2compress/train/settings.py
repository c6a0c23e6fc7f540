"""How a route trains: what was found best for students from scratch and for cuts of a trained teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import keras

from learn2compress.core.member import SourceKind
from learn2compress.train.dtypes import fastest_dtype
from learn2compress.train.optimizers import ConvMuon

# Up to this many pixels the batch is the route's own; up to so many more it is half of that.
FULL_BATCH_AREA = 128 * 128
HALF_BATCH_AREA = 224 * 224
# Of a single image there is nothing that batch norm could reckon statistics from but its own pixels.
SMALLEST_BATCH = 2


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of a run.

    Attributes:
        optimizer: of joint training; Muon moves fresh kernels fast, trained ones keep what they know under Adam.
        dtype: policy of the layers in joint training; `fastest` is that of `train.dtypes`: the process that trains
            finds it out, see `here`.
        batch_size: images a step, joint and quantization-aware; see also `for_size`.
        narrow_share: share of the joint training's steps that train all members and not the widest alone.
        quantization_share: share of the training time that goes to quantization-aware training.
        teacher_rate: share of the learning rate that a jointly trained teacher is moved by.
        teacher_loss: weight of its own loss.
        peak: highest learning rate of joint training.
        decay: weight decay of joint training.
        quantization_peak: highest learning rate of quantization-aware training.
        temperature, hard: of the distillation loss.
        momentum: of the batch-norm statistics.
        warmup: share of the steps in which the learning rate rises.
    """

    optimizer: Literal["muon", "adam", "sgd"]
    dtype: str
    batch_size: int
    peak: float
    decay: float
    quantization_peak: float
    temperature: float
    hard: float
    momentum: float
    warmup: float
    narrow_share: float
    quantization_share: float
    teacher_rate: float = 0.1
    teacher_loss: float = 1.0

    def here(self, begun_in: str = "") -> TrainingSettings:
        """The same with the dtype that this process trains fastest in, where it is not said which.

        Args:
            begun_in: that an earlier process has begun in, which stays; empty where none has.
        """
        return replace(self, dtype=begun_in or fastest_dtype()) if self.dtype == "fastest" else self

    def for_size(self, size: tuple[int, int]) -> TrainingSettings:
        """The same with smaller batches for large images.

        Three cuts of EfficientNet-Lite0 at 224 px take 2.7 GB in training at a batch of 16; beyond that, a batch
        holds as many pixels and not more.
        """
        area = math.prod(size)
        if area <= FULL_BATCH_AREA:
            return self
        batch = self.batch_size // 2 * HALF_BATCH_AREA // max(area, HALF_BATCH_AREA)
        return replace(self, batch_size=max(SMALLEST_BATCH, batch))


# Depthwise convolutions gain nothing from bfloat16 on a CPU, and trained weights lose by it.
CUTS = TrainingSettings(
    optimizer="adam",
    dtype="float32",
    batch_size=32,
    peak=1e-3,
    decay=1e-4,
    quantization_peak=1e-4,
    temperature=2.0,
    hard=0.3,
    momentum=0.97,
    warmup=0.1,
    # Cuts have all but their heads in common: there is nothing to save.
    narrow_share=1.0,
    # Depthwise layers are where rounding hurts: they need more steps to get over it.
    quantization_share=0.25,
)

SETTINGS: dict[SourceKind, TrainingSettings] = {
    "students": TrainingSettings(
        optimizer="muon",
        dtype="fastest",
        batch_size=256,
        peak=0.06,
        decay=0.03,
        quantization_peak=5e-4,
        temperature=3.0,
        hard=0.3,
        momentum=0.97,
        warmup=0.08,
        # What narrow students compute beside the widest is a small part of a step.
        narrow_share=1.0,
        quantization_share=0.12,
        # Steps that suit new kernels would take a trained teacher apart.
        teacher_rate=0.01,
    ),
    "cuts": CUTS,
    # More is left to learn than in a cut, before anything is rounded.
    "prunings": replace(CUTS, batch_size=64, narrow_share=0.5, quantization_share=0.15),
}


def optimizer_for(settings: TrainingSettings) -> keras.optimizers.Optimizer:
    """The optimizer of joint training."""
    if settings.optimizer == "muon":
        return ConvMuon(settings.peak, decay=settings.decay)
    if settings.optimizer == "sgd":
        return keras.optimizers.SGD(settings.peak, momentum=0.9, nesterov=True, weight_decay=settings.decay)
    return keras.optimizers.AdamW(settings.peak, weight_decay=settings.decay, beta_2=0.99)
