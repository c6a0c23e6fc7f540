"""What a run can afford: how many views, how long to train. Decided once, and kept for a run that goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.core.units import show_duration
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.graph import describe
from learn2compress.plan.budget import (
    SEARCH_SECONDS,
    Phases,
    affordable_views,
    fewest_steps_seconds,
    finish_seconds,
    is_short,
    is_spent,
    phases,
)
from learn2compress.stages.planning import Plan
from learn2compress.train.mirroring import mirroring_is_harmless
from learn2compress.train.views import ViewSpec

# With fewer views there are few epochs, and mixed images are for many; see docs/decisions/0006-jittered-views.md.
FEWEST_MIXED = 4
# However small a member is, running it takes this share of the teacher's time: reading images, calling.
LEAST_SHARE = 0.2
# Of the budget, for all members; few need it.
MIXED_SHARE, LEAST_MIXED_SECONDS = 0.1, 10.0
# Keras, which judges a jointly trained teacher, takes so many times as long as LiteRT, which labels.
JUDGED_SLOWNESS = 1.5
# LiteRT runs int16x8 on its plain kernels, so many times slower than what XNNPACK runs.
PLAIN_KERNELS = {"int16x8": 20}
# Under this a run remembers how many views a second are made of copies of large photos and labelled; 0 where there
# are no copies.
COPIED = "views of copies per second"


def decided_views(run: Checkpoints, teacher: Teacher, dataset: Dataset, rate: float, options: Options) -> ViewSpec:
    """The views that the teacher labels, before any is mixed: as asked for, else found out; decided once a run.

    They are mirrored where the teacher does not mind, and as many as it can label in its share of the budget.

    Args:
        rate: images per second that are decoded, made views of and labelled.
    """
    asked = options.recipe.views
    flip = run.recall(
        "mirrored views",
        lambda: mirroring_is_harmless(teacher, dataset.validation) if asked.mirrored is None else asked.mirrored,
    )

    def affordable() -> int:
        images, copied = len(dataset.train), run.recall(COPIED, float)
        return affordable_views(options.budget_seconds, images, copied or rate, images / rate if copied else 0.0)

    count = run.recall("views", lambda: asked.count or affordable())
    return ViewSpec(count, teacher.input_size, options.recipe.seed, flip)


def mixed_for(plans: Iterable[Plan], spec: ViewSpec, options: Options) -> ViewSpec:
    """The views with half of them mixed, if one of these plans is to be shown such: as asked for, else found out.

    Students are that train for so long that they would learn the images by heart; what is cut out of a trained
    teacher is only where that is asked for.
    """
    if options.recipe.views.mixed is not None:
        return replace(spec, mixed=options.recipe.views.mixed)
    # A teacher that is trained along needs labels, and a mix has none.
    long = options.recipe.teacher == "fixed" and spec.count >= FEWEST_MIXED
    return replace(spec, mixed=long and any(plan.kind == "students" for plan in plans))


def warn_of_short_budget(
    run: Checkpoints,
    plans: Sequence[Plan],
    dataset: Dataset,
    baselines: Sequence[Path],
    rate: float,
    options: Options,
    progress: Progress,
) -> None:
    """Says, once a run, that what has to be done takes far longer than the budget, and which budget would do.

    It is not refused: a family comes out all the same, late and trained for the fewest steps.

    Args:
        plans: the first tells what training and the finish take; none where the run is past choosing one.
        baselines: the teacher's files, float32 first; may be empty.
        rate: images per second that are decoded, made views of and labelled.
    """

    def find_out() -> str:
        # A recipe that tells the number of steps makes no promise of a time.
        if options.recipe.training.joint_steps or not plans:
            return ""
        plan = plans[0]
        views = options.recipe.views.count or 1
        copied = run.recall(COPIED, float)
        labelling = views * len(dataset.train) / (copied or rate)
        if copied:
            labelling += len(dataset.train) / rate  # a copy takes about as long as a view of the photo
        labelling += _labelling_anew(run, options, dataset, views, rate)
        finish = finish_estimate(plan, dataset, baselines, rate, [written.precision for written in options.formats])
        batch = min(plan.settings.batch_size, len(dataset.train))
        training = fewest_steps_seconds(batch, rate, max(_shares(plan, dataset, baselines)))
        spent = run.clock.elapsed
        needed = spent + labelling + training + finish + SEARCH_SECONDS * len(plan.spares)
        if not is_short(options.budget_seconds, needed):
            return ""
        times = "once" if views == 1 else f"{views} times"
        return (
            f"The budget of {show_duration(options.budget_seconds)} is too short: to label the {len(dataset.train)} "
            f"training images {times} takes the teacher about {show_duration(labelling)} ({rate:.3g} images per "
            f"second with decoding, but for what an earlier run has labelled), the shortest training "
            f"{show_duration(training)}, export and measurement {show_duration(finish)}, and {show_duration(spent)} "
            f"are spent. The family will be late and hardly trained. The least that would do is "
            f"--budget {math.ceil(needed / 60)}m; with less data, smaller images or a faster teacher, less."
        )

    told = run.knows("short budget")
    sentence = run.recall("short budget", find_out)
    if sentence and not told:
        progress.warn(sentence)


def planned_phases(
    run: Checkpoints,
    plan: Plan,
    dataset: Dataset,
    baselines: Sequence[Path],
    rate: float,
    options: Options,
    progress: Progress,
) -> Phases:
    """Seconds of joint and of quantization-aware training; 0 where the number of steps is given.

    Where next to nothing of the budget is left for them, and `warn_of_short_budget` had not seen that coming, a
    warning says so.
    """

    def find_out() -> dict[str, float]:
        precisions = [written.precision for written in options.formats]
        finish = finish_estimate(plan, dataset, baselines, rate, precisions)
        remaining = options.budget_seconds - run.clock.elapsed - SEARCH_SECONDS * len(plan.spares)
        remaining -= _labelling_anew(run, options, dataset, run.recall("views", int), rate)
        # Where the number of steps is given, no time is promised.
        told = options.recipe.training.joint_steps or run.recall("short budget", str)
        if not told and is_spent(options.budget_seconds, remaining - finish):
            progress.warn(_nothing_left(run, remaining - finish, finish, options))
        share = plan.settings.quantization_share if options.rounded_in_training else 0.0
        return asdict(phases(remaining, finish, share))

    found = Phases(**run.recall("phases", find_out))
    return Phases(
        0.0 if options.recipe.training.joint_steps else found.joint_seconds,
        0.0 if options.recipe.training.quantization_steps else found.quantization_seconds,
    )


def _nothing_left(run: Checkpoints, left: float, finish: float, options: Options) -> str:
    most = sorted(run.clock.seconds.items(), key=lambda stage: -stage[1])[:2]
    spent = ", ".join(f"{show_duration(seconds)} on {stage}" for stage, seconds in most)
    return (
        f"Of the budget of {show_duration(options.budget_seconds)} only {show_duration(max(0.0, left))} are left for "
        f"training: {show_duration(run.clock.elapsed)} are spent (most: {spent}), and export and measurement will "
        f"take about {show_duration(finish)}. The members will hardly be trained. A longer --budget, fewer views "
        "(--set views.count=N) or less data leaves more."
    )


def _labelling_anew(run: Checkpoints, options: Options, dataset: Dataset, views: int, rate: float) -> float:
    """Seconds for what a jointly trained teacher has to do afterwards; 0 where it is fixed."""
    if options.recipe.teacher != "joint":
        return 0.0
    # What it has become labels all views anew, after it and what it was were run on the two other splits.
    judged = 2 * JUDGED_SLOWNESS * (len(dataset.validation) + len(dataset.test))
    return views * len(dataset.train) / (run.recall(COPIED, float) or rate) + judged / rate


def search_seconds(plan: Plan, options: Options) -> float:
    """Time for looking at the members that are not trained; without end where a recipe tells the number of steps."""
    return math.inf if options.recipe.training.joint_steps else SEARCH_SECONDS * len(plan.spares)


def mixed_seconds(plan: Plan, options: Options) -> float:
    """Time for a member's search for what stays in float32; without end where a recipe tells the number of steps."""
    if options.recipe.training.joint_steps:
        return math.inf
    return max(LEAST_MIXED_SECONDS, MIXED_SHARE * options.budget_seconds / len(plan.specs))


def finish_estimate(
    plan: Plan, dataset: Dataset, baselines: Sequence[Path], rate: float, precisions: Sequence[str]
) -> float:
    """Seconds that export, verification and measurement will take.

    Args:
        baselines: the teacher's files, float32 first; may be empty.
        rate: images per second that are decoded, made views of and labelled.
        precisions: of the files that each member is written as.
    """
    images = len(dataset.validation) + len(dataset.test)
    shares = _shares(plan, dataset, baselines)
    slowness = [PLAIN_KERNELS.get(precision, 1) for precision in precisions]
    depths = [spec.depth for spec in plan.specs] * len(precisions)
    return finish_seconds(images, rate, [slow * share for slow in slowness for share in shares], depths)


def _shares(plan: Plan, dataset: Dataset, baselines: Sequence[Path]) -> list[float]:
    """For each member, what running it on an image takes, as a share of what the teacher takes."""
    # Images that are read from disk take as long to decode for a small member as for a large one.
    light = bool(baselines) and dataset.test.stacked is not None
    teacher = describe(baselines[0]).macs if light else 0
    return [min(1.0, max(LEAST_SHARE, cost.macs / teacher)) if teacher else 1.0 for cost in plan.costs]
