"""A trial: what was planned is trained for a short time, and the best goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.core.target import Target
from learn2compress.graph.slices import Part
from learn2compress.measure.accuracy import score
from learn2compress.plan.budget import affordable_steps, trial_seconds
from learn2compress.plan.comparison import scores, taken
from learn2compress.plan.members import bounds_work
from learn2compress.stages.planning import Plan
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.family import joint_training
from learn2compress.train.fit import Trained
from learn2compress.train.quantize import predict
from learn2compress.train.soft_labels import SoftLabels
from learn2compress.train.trainable import plain
from learn2compress.train.views import Views


def best_by_trial(
    plans: Sequence[Plan],
    labelled: Callable[[Sequence[Plan]], tuple[Views, SoftLabels]],
    dataset: Dataset,
    progress: Progress,
    *,
    budget: float,
    seed: int,
    checkpoint: Callable[[str], TrainingCheckpoint | None] = lambda name: None,
    targets: Sequence[Target] = (),
) -> Plan:
    """Trains each plan's members for the same time; the plan whose members are right most often wins.

    They are compared size for size, or, where a bound is on work, at equal work.

    What the winner has learned is kept: its joint training goes on from there.

    Args:
        labelled: function (the plans) -> views and their soft labels; called where there is more than one plan.
        budget: seconds of the whole run.
        checkpoint: function (name of a training) -> where it is kept how far it came.
        targets: the bounds.

    Raises:
        InputError: `training.diverged`, where every plan's training did.
    """
    if len(plans) == 1:
        return plans[0]
    found: list[tuple[Plan, list[float], tuple[Part, ...]]] = []
    tried: list[Trained] = []
    seconds = trial_seconds(budget)
    views, soft = labelled(plans)
    diverged: InputError | None = None
    for plan in plans:
        batches = LabelledViews(views, soft, plan.settings.batch_size, seed)
        try:
            members, run = joint_training(
                plan.parts,
                batches,
                progress,
                name=f"trial of {plan.words}",
                start=plan.start,
                settings=plan.settings,
                seconds=seconds,
                plan_steps=affordable_steps,
                checkpoint=checkpoint(f"trial-{plan.kind}"),
            )
        except InputError as error:
            if error.code != "training.diverged":
                raise
            diverged = error
            progress.note(f"{plan.words}: left out, for their training diverged")
            continue
        models = [plain(member) for member in members]
        labels = dataset.validation.labels
        accuracies = [
            score(predict(model, dataset.validation, spec.input_size), labels).accuracy
            for model, spec in zip(models, plan.specs, strict=True)
        ]
        trained = tuple(Part(model, part.positions) for model, part in zip(models, plan.parts, strict=True))
        found.append((plan, accuracies, trained))
        tried.append(run)
    if diverged and not found:
        raise diverged
    means = scores([(taken(plan.costs, targets), accuracies) for plan, accuracies, _ in found])
    best = max(range(len(found)), key=lambda number: means[number])
    plan, _, trained = found[best]
    said = [
        f"{100 * mean:.1f} % for {plan.words} ({run.epochs:.1f} epochs in {run.seconds:.0f} s)"
        for mean, (plan, _, _), run in zip(means, found, tried, strict=True)
    ]
    others = ", ".join(said[:best] + said[best + 1 :]) or "none that could be trained"
    how = "for equal work" if bounds_work(targets) else "size for size"
    reason = f"in a trial, {how}, {said[best]} of the validation images right against {others}"
    progress.note(f"{plan.words}: {reason}")
    return replace(plan, reason=reason, start="as built", parts=trained, trial_steps=tried[best].steps)
