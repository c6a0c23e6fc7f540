"""A family from untrained members to trained ones: joint training on shared weights, statistics settled after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from learn2compress.core.member import Route
from learn2compress.core.progress import Progress
from learn2compress.graph.slices import leading_slices
from learn2compress.train.fit import LabelledViews, Schedule, Trained, compile_family, fit, time_step
from learn2compress.train.joint import SharedFamily
from learn2compress.train.quantize import unshared
from learn2compress.train.settings import TrainingSettings, optimizer_for
from learn2compress.train.trainable import FusedBatchNormalization, scaled, trainable

RECALIBRATION_BATCHES = 16
PlanSteps = Callable[[float, float, int], int]


def joint_training(
    models: Sequence[keras.Model],
    batches: LabelledViews,
    progress: Progress,
    *,
    route: Route,
    settings: TrainingSettings,
    seconds: float,
    plan_steps: PlanSteps,
) -> tuple[list[keras.Model], Trained]:
    """Trains the members together, each distilled from the teacher.

    Args:
        models: widest first, untrained or with the teacher's weights; not changed.
        plan_steps: function (seconds, seconds a step, steps an epoch) -> steps.

    Returns:
        The trained members, in the order given, each on its own; and what the run was.
    """
    members = [trainable(model, settings.dtype, settings.momentum) for model in models]
    maps = [unshared(members[0]), *(leading_slices(member, members[0]) for member in members[1:])]
    family = SharedFamily(members, maps, settings.temperature, settings.hard)
    compile_family(family, optimizer_for(route, settings))
    steps = plan_steps(seconds, time_step(family, batches), len(batches))
    trained = fit(
        family,
        batches,
        progress,
        stage_name="joint training",
        steps=steps,
        peak=settings.peak,
        schedule=Schedule(settings.warmup),
        seconds=seconds,
    )
    members = family.release()
    recalibrate(members, batches)
    return members, trained


def recalibrate(members: Sequence[keras.Model], batches: LabelledViews) -> None:
    """Takes batch-norm statistics anew: those tracked in training belong to weights before they were averaged."""
    for member in members:
        norms = [layer for layer in member.layers if isinstance(layer, FusedBatchNormalization)]
        momenta = [norm.momentum for norm in norms]
        for number in range(min(RECALIBRATION_BATCHES, len(batches))):
            for norm in norms:
                norm.momentum = number / (number + 1)  # the plain mean over the batches seen
            member(scaled(batches[number][0]), training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
