"""The whole run: from a teacher and its data to a family of LiteRT models, read from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from learn2compress.core.clock import Clock
from learn2compress.core.errors import TargetsUnmetError
from learn2compress.core.family import Family
from learn2compress.core.folder import cache_folder, check_folder, staged
from learn2compress.core.options import DEFAULT_BUDGET, Options
from learn2compress.core.progress import EventLog, Progress
from learn2compress.core.version import __version__
from learn2compress.inputs.checks import check_teacher_fits
from learn2compress.inputs.keras_file import check_keras_file
from learn2compress.inputs.teacher import load_teacher
from learn2compress.manifest import describe_data, describe_models
from learn2compress.measure.host import environment
from learn2compress.measure.models import measure_files
from learn2compress.measure.runner import fastest_labeller
from learn2compress.plan.budget import affordable_steps, affordable_views, phases
from learn2compress.plan.outcome import unmet_targets
from learn2compress.report.page import write_report
from learn2compress.stages.finish import (
    direct_accuracy,
    export_members,
    finish_estimate,
    teacher_files,
    warn_of_collapses,
)
from learn2compress.stages.planning import plan_families
from learn2compress.stages.trial import best_by_trial
from learn2compress.tasks import IMAGE_CLASSIFICATION
from learn2compress.train.family import joint_training
from learn2compress.train.fit import LabelledViews
from learn2compress.train.mirroring import mirroring_is_harmless
from learn2compress.train.quantize import quantization_aware_training, quantization_ready
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec


def compress(
    model: Any,
    data: Any,
    *,
    out: str | Path,
    test_data: Any = None,
    labels: str | Path | Sequence[str] | None = None,
    students: int = 3,
    targets: Sequence[str] = (),
    budget: str | float = DEFAULT_BUDGET,
    route: str = "auto",
    preprocess: str = "auto",
    seed: int = 0,
    sparsity: float = 0.0,
    progress: Progress | None = None,
    command: str = "",
) -> Family:
    """Compresses a trained image classifier into a family of int8 LiteRT models.

    Args:
        model: path of a `.keras` or `.h5` file, a live `keras.Model`, or a callable that takes images
            (n, height, width, 3) and returns scores (n, classes).
        data: folder of class folders, folder with `train/ val/ test/` of such, `.npz`, arrays, or `tf.data`.
        out: folder to write; new, empty, or a family that is to be replaced.
        test_data: examples for the test split, where `data` has none or others are wanted.
        labels: class names in the order of the teacher's outputs, or the path of a file with one a line.
        students: how many members, at least.
        targets: bounds such as `"size<=100KB"`; each bound on size or MACs gets a member.
        budget: time for the whole run, such as `"20m"`, or seconds; kept within 20 %.
        route: `fresh` (students of our own), `cuts` (the teacher cut at a depth), `prunings` (the teacher narrowed),
            `teacher` (either of these) or `auto`: what the amount of data and a short trial speak for.
        preprocess: what the teacher wants done to pixels 0..255, or `auto` to find out.
        seed: of every random choice.
        sparsity: share of each kernel's weights, the smallest, that become zero: files zip smaller, none runs faster.
        progress: gets the events.
        command: the command line to quote in the report.

    Returns:
        The family; its files lie in `out`.

    Raises:
        InputError: the model, the data or an option can't be used as given; nothing was written.
        TargetsUnmetError: the family was written, but no member meets some bound.
    """
    clock = Clock()
    options = Options.check(
        students=students,
        targets=targets,
        budget=budget,
        route=route,
        preprocess=preprocess,
        seed=seed,
        sparsity=sparsity,
    )
    folder = check_folder(out)
    if isinstance(model, str | Path):
        check_keras_file(Path(model).expanduser())
    task = IMAGE_CLASSIFICATION
    progress = progress or Progress()
    keras.utils.set_random_seed(seed)
    with staged(folder) as staging:
        progress = progress.with_listener(EventLog(staging / "run.jsonl"))

        with clock.stage("inputs"):
            dataset = task.load_dataset(data, test_data=test_data, labels=labels, seed=seed, progress=progress)
            teacher = load_teacher(model, dataset=dataset, preprocess=preprocess, progress=progress)
            check_teacher_fits(teacher, dataset, progress)

        with clock.stage("plan"):
            plans = plan_families(task, teacher, dataset, options, staging, progress)

        with clock.stage("baselines"):
            baselines = teacher_files(teacher, dataset, staging / "baseline", progress)
            labeller, rate, labelled_by = fastest_labeller(teacher, next(iter(baselines), None), dataset.validation)

        with clock.stage("soft labels"):
            flip = mirroring_is_harmless(teacher, dataset.validation)
            count = affordable_views(options.budget_seconds, len(dataset.train), rate)
            views = Views(dataset.train, ViewSpec(count, teacher.input_size, seed, flip))
            soft, computed = soft_labels(labeller, views, dataset.classes, cache_folder(), progress)

        with clock.stage("trial"):
            plan = best_by_trial(plans, views, soft, dataset, progress, budget=options.budget_seconds, seed=seed)
            batches = LabelledViews(views, soft, plan.settings.batch_size, seed)

        finish = finish_estimate(plan, dataset, baselines, rate)
        remaining = options.budget_seconds - clock.elapsed
        time = phases(remaining, finish, plan.settings.quantization_share)

        with clock.stage("joint training"):
            members, joint = joint_training(
                plan.parts(),
                batches,
                progress,
                start=plan.start,
                settings=plan.settings,
                sparsity=options.sparsity,
                seconds=time.joint_seconds,
                plan_steps=affordable_steps,
            )

        with clock.stage("quantization-aware training"):
            quantized = [quantization_ready(member) for member in members]
            tuning = quantization_aware_training(
                quantized,
                batches,
                progress,
                settings=plan.settings,
                keep_zeros=options.sparsity > 0,
                seconds=time.quantization_seconds,
                plan_steps=affordable_steps,
            )

        with clock.stage("export"):
            written, refused = export_members(
                plan,
                members,
                quantized,
                task,
                teacher,
                dataset,
                staging,
                progress,
                sparse=options.sparsity > 0,
            )
            (staging / "labels.txt").write_text("\n".join(dataset.class_names) + "\n", encoding="utf-8")

        with clock.stage("measurement"):
            paths = [*baselines, *(member.path for member in written)]
            measured = measure_files(paths, dataset, progress)
            direct = None if baselines else direct_accuracy(teacher, dataset)

        teacher_model, baseline_models, member_models = describe_models(teacher, direct, baselines, written, measured)
        collapsed = warn_of_collapses(member_models, teacher_model, dataset, progress)
        family = Family(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=__version__,
            task=task.name,
            command=command,
            seed=seed,
            budget_seconds=options.budget_seconds,
            elapsed_seconds=round(clock.elapsed, 1),
            stage_seconds={name: round(seconds, 1) for name, seconds in clock.seconds.items()},
            route=plan.source.route,
            teacher=teacher_model,
            baselines=baseline_models,
            members=member_models,
            dataset=describe_data(dataset),
            environment=environment(),
            plan={
                "members": plan.source.words,
                "reason": plan.reason,
                "views": count,
                "views from the cache": count - computed,
                "mirrored views": flip,
                "labelled by": labelled_by,
                "joint training": joint.summary(),
                "quantization-aware training": tuning.summary(),
                "preprocessing of the teacher": teacher.preprocess.name,
                "sparsity": options.sparsity,
            },
            targets=tuple(target.text for target in options.targets),
            notes=(*dataset.notes, *refused, *collapsed),
            folder=folder,
        )
        family.write(staging)
        write_report(family, staging)

    if unmet := unmet_targets(family, options.targets):
        raise TargetsUnmetError("targets.unmet", unmet, f"the nearest family was written to {folder}.")
    return family
