"""A family from untrained members to trained ones."""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras

from learn2compress.core.member import Start
from learn2compress.core.progress import Progress
from learn2compress.graph.slices import Part
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.fit import Schedule, Trained, compile_family, fit, time_joint_step
from learn2compress.train.heads import fit_heads
from learn2compress.train.joint import JointFamily
from learn2compress.train.optimizers import slowed
from learn2compress.train.pace import PlanSteps
from learn2compress.train.settings import TrainingSettings, optimizer_for
from learn2compress.train.sparsity import MagnitudeMasks, kernels_of
from learn2compress.train.trainable import trainable
from learn2compress.train.whitening import whiten_stems


def joint_training(
    parts: Sequence[Part],
    batches: LabelledViews,
    progress: Progress,
    *,
    name: str = "joint training",
    start: Start,
    settings: TrainingSettings,
    sparsity: float = 0.0,
    seconds: float,
    plan_steps: PlanSteps,
    checkpoint: TrainingCheckpoint | None = None,
    teacher: keras.Model | None = None,
) -> tuple[list[keras.Model], Trained]:
    """Trains the members together, each distilled from the teacher.

    Args:
        parts: the members, widest first, untrained or with the teacher's weights; not changed.
        name: of the stage, for people.
        start: what is set before the first step: `heads` by least squares, `stems` by whitening, or nothing.
        sparsity: share of zeros that the kernels come to; see `train.sparsity`.
        seconds: for all of it; 0 where the number of steps stands.
        plan_steps: function (seconds, seconds a step, steps an epoch) -> steps.
        checkpoint: where it is kept how far the training came, and found by the next process.
        teacher: trained along, in place, from `(pixels - 128) / 128` to logits; teaches in place of the soft labels.

    Returns:
        The trained members, in the order given, each on its own; and what the run was.

    Raises:
        InputError: `training.diverged`.
    """
    started = time.perf_counter()
    # Here, and not where members are planned: that may be another process, on another backend.
    settings = settings.here(checkpoint.begun_in() if checkpoint else "")
    members = [trainable(part.model, settings.dtype, settings.momentum) for part in parts]
    positions = [part.positions for part in parts]
    family = JointFamily(
        members,
        settings.temperature,
        settings.hard,
        positions=positions,
        narrow_share=settings.narrow_share,
        teacher=teacher,
        teacher_loss=settings.teacher_loss,
    )
    optimizer = optimizer_for(settings)
    if teacher is not None:
        slowed(optimizer, teacher.trainable_variables, settings.teacher_rate)
    compile_family(family, optimizer)
    begun = checkpoint.load(family) if checkpoint else None
    if begun and begun.finished:
        return family.release(), Trained.of(begun, batches, settings.dtype)
    if not begun and start == "heads":
        fit_heads(family, batches)
    elif not begun and start == "stems":
        whiten_stems(members, batches.batch(0)[0])
    masks = MagnitudeMasks(kernels_of(members, family.student_variables), sparsity)
    steps = begun.steps if begun else plan_steps(seconds, time_joint_step(family, batches), len(batches))
    if seconds and not begun:
        # Building the step takes up to a minute. Where it took all the time, the fewest steps are trained.
        seconds = max(1.0, seconds - (time.perf_counter() - started))
    trained = fit(
        family,
        batches,
        progress,
        stage_name=name,
        steps=steps,
        seconds=seconds,
        peak=settings.peak,
        schedule=Schedule(settings.warmup),
        on_share=masks.at if sparsity else lambda share: None,
        checkpoint=checkpoint,
        begun=begun,
        plan_steps=plan_steps,
        dtype=settings.dtype,
    )
    if sparsity:
        masks.at(1.0)
    family.release()
    if checkpoint:
        checkpoint.save(family, trained.reached())
    return family.members, trained
