"""Quantization-aware training of the members, where a file that was asked for needs it."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.plan.budget import steps_planner
from learn2compress.stages.planning import Plan
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.fit import LabelledViews, Trained
from learn2compress.train.quantize import quantization_aware_training, quantization_ready


def rounded_members(
    members: Sequence[keras.Model],
    batches: LabelledViews,
    plan: Plan,
    seconds: float,
    options: Options,
    progress: Progress,
    checkpoint: TrainingCheckpoint,
) -> tuple[Sequence[keras.Model | None], Trained | None]:
    """The fake-quantized members, trained; None for each, and of the training, where no file needs that.

    Args:
        members: trained, widest first; stay as they are.
        batches: images with the teacher's outputs.
        plan: with the settings of the training.
        seconds: for all of it; 0 where the number of steps stands.
        options: of the run.
        progress: gets the steps.
        checkpoint: of this training.
    """
    if not options.rounded_in_training:
        return [None] * len(members), None
    quantized = [quantization_ready(member) for member in members]
    tuning = quantization_aware_training(
        quantized,
        batches,
        progress,
        settings=plan.settings,
        keep_zeros=options.sparsity > 0,
        seconds=seconds,
        plan_steps=steps_planner(options.training.quantization_steps),
        checkpoint=checkpoint,
    )
    return quantized, tuning
