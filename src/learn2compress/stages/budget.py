"""What a run can afford: how many views, how long to train. Decided once, and kept for a run that goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset
from learn2compress.core.options import Options
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.graph import describe
from learn2compress.plan.budget import SEARCH_SECONDS, Phases, affordable_views, finish_seconds, phases
from learn2compress.stages.planning import Plan
from learn2compress.train.mirroring import mirroring_is_harmless

# However small a member is, running it takes this share of the teacher's time: reading images, calling.
LEAST_SHARE = 0.2
# Of the budget, for all members; few need it.
MIXED_SHARE, LEAST_MIXED_SECONDS = 0.1, 10.0
# Keras, which judges a jointly trained teacher, takes so many times as long as LiteRT, which labels.
JUDGED_SLOWNESS = 1.5
# LiteRT runs int16x8 on its plain kernels, so many times slower than what XNNPACK runs.
PLAIN_KERNELS = {"int16x8": 20}


def mirrored(options: Options, teacher: Teacher, dataset: Dataset) -> bool:
    """Whether views are mirrored: as asked for, else where the teacher does not mind."""
    if options.views.mirrored is not None:
        return options.views.mirrored
    return mirroring_is_harmless(teacher, dataset.validation)


def view_count(options: Options, dataset: Dataset, rate: float) -> int:
    """How many views: as asked for, else what the teacher can label in its share of the budget.

    Args:
        options: of the run.
        dataset: whose training images are viewed.
        rate: images per second of the teacher's labeller.
    """
    return options.views.count or affordable_views(options.budget_seconds, len(dataset.train), rate)


def planned_phases(
    run: Checkpoints, plan: Plan, dataset: Dataset, baselines: Sequence[Path], rate: float, options: Options
) -> Phases:
    """Seconds of joint and of quantization-aware training; 0 where the number of steps is given."""

    def find_out() -> dict[str, float]:
        precisions = [written.precision for written in options.formats]
        finish = finish_estimate(plan, dataset, baselines, rate, precisions)
        remaining = options.budget_seconds - run.clock.elapsed - SEARCH_SECONDS * len(plan.spares)
        if options.teacher == "joint":
            # What it has become labels all views anew, after it and what it was were run on the two other splits.
            judged = 2 * JUDGED_SLOWNESS * (len(dataset.validation) + len(dataset.test))
            remaining -= (run.recall("views", int) * len(dataset.train) + judged) / rate
        share = plan.settings.quantization_share if options.rounded_in_training else 0.0
        return asdict(phases(remaining, finish, share))

    found = Phases(**run.recall("phases", find_out))
    return Phases(
        0.0 if options.training.joint_steps else found.joint_seconds,
        0.0 if options.training.quantization_steps else found.quantization_seconds,
    )


def search_seconds(plan: Plan, options: Options) -> float:
    """Time for looking at the members that are not trained; without end where a recipe tells the number of steps."""
    return math.inf if options.training.joint_steps else SEARCH_SECONDS * len(plan.spares)


def mixed_seconds(plan: Plan, options: Options) -> float:
    """Time for a member's search for what stays in float32; without end where a recipe tells the number of steps."""
    if options.training.joint_steps:
        return math.inf
    return max(LEAST_MIXED_SECONDS, MIXED_SHARE * options.budget_seconds / len(plan.specs))


def finish_estimate(
    plan: Plan, dataset: Dataset, baselines: Sequence[Path], rate: float, precisions: Sequence[str]
) -> float:
    """Seconds that export, verification and measurement will take.

    Args:
        baselines: the teacher's files, float32 first; may be empty.
        rate: images per second of the teacher's labeller.
        precisions: of the files that each member is written as.
    """
    images = len(dataset.validation) + len(dataset.test)
    # Images that are read from disk take as long to decode for a small member as for a large one.
    light = bool(baselines) and dataset.test.stacked is not None
    teacher = describe(baselines[0]).macs if light else 0
    shares = [min(1.0, max(LEAST_SHARE, cost.macs / teacher)) if teacher else 1.0 for cost in plan.costs]
    slowness = [PLAIN_KERNELS.get(precision, 1) for precision in precisions]
    depths = [spec.depth for spec in plan.specs] * len(precisions)
    return finish_seconds(images, rate, [slow * share for slow in slowness for share in shares], depths)
