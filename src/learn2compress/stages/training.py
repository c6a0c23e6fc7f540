"""The two trainings of a run, the same in the run's own process and in one on another backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.plan.budget import steps_planner
from learn2compress.stages.planning import Plan
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.family import joint_training
from learn2compress.train.fit import Trained
from learn2compress.train.quantize import quantization_aware_training, quantization_ready


@dataclass(frozen=True)
class Training:
    """How a run trains.

    Attributes:
        folder: where it is kept how far a training came, and found by the next process.
        options: of the run.
        progress: gets the steps.
        on_kept: called whenever the place was kept.
    """

    folder: Path
    options: Options
    progress: Progress
    on_kept: Callable[[], None]

    def checkpoint(self, name: str) -> TrainingCheckpoint:
        """Of the training of this name."""
        return TrainingCheckpoint(self.folder / f"{name}.npz", self.on_kept)

    def jointly(
        self, plan: Plan, batches: LabelledViews, seconds: float, teacher: keras.Model | None = None
    ) -> tuple[list[keras.Model], Trained]:
        """Trains the members of a plan together; see `train.family.joint_training`."""
        return joint_training(
            plan.parts,
            batches,
            self.progress,
            start=plan.start,
            settings=plan.settings,
            sparsity=self.options.recipe.sparsity,
            seconds=seconds,
            plan_steps=steps_planner(self.options.recipe.training.joint_steps),
            checkpoint=self.checkpoint("joint"),
            teacher=teacher,
        )

    def quantized(
        self, plan: Plan, members: Sequence[keras.Model], batches: LabelledViews, seconds: float
    ) -> tuple[Sequence[keras.Model | None], Trained | None]:
        """Copies of the trained members, made ready for int8 and trained so; None where no file needs that.

        No images are mixed: ranges of activations are to be those of images as they are in use.
        """
        if not self.options.rounded_in_training:
            return [None] * len(members), None
        ready = [quantization_ready(member) for member in members]
        tuning = quantization_aware_training(
            ready,
            batches.whole(),
            self.progress,
            settings=plan.settings,
            keep_zeros=self.options.recipe.sparsity > 0,
            seconds=seconds,
            plan_steps=steps_planner(self.options.recipe.training.quantization_steps),
            checkpoint=self.checkpoint("quantization"),
        )
        return ready, tuning
