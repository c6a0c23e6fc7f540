"""The whole run: from a teacher and its data to a family of LiteRT models, read from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import TargetsUnmetError
from learn2compress.core.family import NOT_GIVEN, Accuracy, Family
from learn2compress.core.folder import check_folder, complete, run_folder
from learn2compress.core.options import Options
from learn2compress.core.progress import EventLog, Progress
from learn2compress.core.recipe import RECIPE, Recipe
from learn2compress.core.target import Target
from learn2compress.core.version import __version__
from learn2compress.export.convert import check_backend
from learn2compress.inputs.checks import check_teacher_fits
from learn2compress.inputs.model_files.black_box import Names
from learn2compress.inputs.model_files.kinds import check_model_file
from learn2compress.inputs.teacher import Teacher, load_teacher
from learn2compress.manifest import describe_data, describe_models
from learn2compress.measure.host import environment
from learn2compress.measure.models import measure_accuracies, measure_files
from learn2compress.plan.outcome import unmet_targets
from learn2compress.report.card import write_cards
from learn2compress.report.page import write_report
from learn2compress.stages.asked import Asked, asked_for, check_same_inputs
from learn2compress.stages.baselines import (
    direct_accuracy,
    teacher_files,
    warn_of_collapses,
)
from learn2compress.stages.batch_size import changeable, take_batch_size
from learn2compress.stages.budget import (
    decided_views,
    mixed_for,
    mixed_seconds,
    planned_phases,
    search_seconds,
    warn_of_short_budget,
)
from learn2compress.stages.course import Course
from learn2compress.stages.elsewhere import Elsewhere, check_backend_available
from learn2compress.stages.export import Export
from learn2compress.stages.failures import legible_failures, tell_of_earlier
from learn2compress.stages.joint_teacher import improved_teacher, trainable_teacher
from learn2compress.stages.labelling import Labelling, timed_labeller
from learn2compress.stages.metadata import described, write_measured
from learn2compress.stages.own_words import own_words
from learn2compress.stages.planning import Planning
from learn2compress.stages.saved import kept_by_source, recalled_plans
from learn2compress.stages.search import Lookout, Search
from learn2compress.stages.settled import plans_for
from learn2compress.stages.training import Training
from learn2compress.stages.trial import best_by_trial
from learn2compress.tasks import Task, task_of
from learn2compress.train.batches import LabelledViews
from learn2compress.train.trainable import trainable


class Inputs(NamedTuple):
    """What a run works on; `baselines` are the files of the teacher, float32 first, or nothing."""

    task: Task
    teacher: Teacher
    dataset: Dataset
    baselines: tuple[Path, ...]


def compress(
    model: Any = None,
    data: Any = None,
    *,
    out: str | Path,
    test_data: Any = None,
    labels: str | Path | Sequence[str] | None = None,
    students: int | None = None,
    targets: Sequence[str] | None = None,
    budget: str | float | None = None,
    route: str | None = None,
    teacher: str | None = None,
    preprocess: str | None = None,
    input_size: str | int | None = None,
    framing: str | None = None,
    input_name: str | None = None,
    output_name: str | None = None,
    seed: int | None = None,
    sparsity: float | None = None,
    backend: str | None = None,
    precision: str | Sequence[str] | None = None,
    input_type: str | None = None,
    output_type: str | None = None,
    output: str | None = None,
    mixed: str | None = None,
    teacher_licence: str | None = None,
    data_licence: str | None = None,
    display_labels: Sequence[str] | None = None,
    preset: str | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Family:
    """Compresses a trained image classifier into a family of int8 LiteRT models.

    A run that was interrupted goes on where it was when it is asked for again with the same options.

    Args:
        model: path of a `.keras`, `.h5`, `.tflite`, `.onnx` or frozen `.pb` file or of a SavedModel's folder, a live
            `keras.Model`, or a callable that takes images (n, height, width, 3) and returns scores (n, classes).
        data: folder of class folders, folder with `train/ val/ test/` of such, `.npz`, arrays, or `tf.data`.
        out: folder to write; new, empty, or a family that is to be replaced.
        test_data: examples for the test split, where `data` has none or others are wanted.
        labels: class names in the order of the teacher's outputs, or the path of a file with one a line.
        students: how many members, at least; 3 by default.
        targets: bounds such as `"size<=100KB"`; each bound on size or MACs gets a member.
        budget: time for the whole run, such as `"20m"` (the default), or seconds; kept within 20 %.
        route: `fresh` (students of our own), `cuts` (the teacher cut at a depth), `prunings` (the teacher narrowed),
            `teacher` (either of these) or `auto`, the default: what the amount of data and a short trial speak for.
        teacher: `fixed`, the default, or `joint`: a copy of it is trained along with its students and written to
            `teacher.keras`.
        preprocess: what the teacher wants done to pixels 0..255, or `auto`, the default, to find out.
        input_size: `224` or `192x256` (height x width), for a model that takes images of any size; `auto`, the
            default, takes the data's own, or 224 where they are photos.
        framing: `crop`, the default, or `squeeze`: how images of another shape than the input's are brought to it;
            apps must do the same.
        input_name, output_name: which input and output of the model to use, where it has several.
        seed: of every random choice; 0 by default.
        sparsity: share of the weights of all kernels, the smallest of each, that become zero: files zip smaller,
            none runs faster.
        backend: what trains: `tensorflow`, the default, or `jax`, an extra, on all local devices.
        precision: `int8` (the default), `int8-float`, `int16x8`, `float16`, `dynamic` or `float32`; of several, each
            member is written in each. See `core.precision.PRECISIONS`.
        input_type, output_type: `uint8` (the default of `int8`), `int8` or `float32`.
        output: `probabilities`, the default, or `logits`.
        mixed: `auto`, the default, keeps the tensors that int8 costs most in float32 where a member loses more than a
            point by it; `off` never.
        teacher_licence, data_licence: what these may be used for, in words; they stand in metadata and model cards.
        display_labels: `LOCALE=FILE` for each language that apps show class names in; one name a line, in the order
            of the classes.
        preset: `fast`, `balanced` (the default) or `best`; see `core.recipe.PRESETS`.
        recipe: path of a TOML recipe, such as the `recipe.toml` that a run writes; what is given here goes before it.
        settings: `KEY=VALUE` of the recipe, as in `training.peak=0.02`; go before all else.
        resume: go on with the unfinished run in `out` and take from it what is not given; return the family if there
            is nothing more to do.
        progress: gets the events.
        command: the command line to quote in the report.

    Returns:
        The family; its files lie in `out`.

    Raises:
        InputError: the model, the data or an option can't be used as given; nothing was written, or what an earlier
            process has reached is still there.
        TargetsUnmetError: the family was written, but no member meets some bound.
    """
    # Before anything else has a name here: what was given of all that a recipe can say.
    given = {name: value for name, value in locals().items() if name in Recipe.model_fields}
    check_backend()
    folder = check_folder(out)
    asked = asked_for(folder, given, recipe, settings, resume=resume)
    options = Options.of(asked.recipe)
    check_backend_available(options.recipe.backend, data=asked.data, test_data=asked.test_data, labels=asked.labels)
    if not (resume and asked.finished):
        with legible_failures(folder), run_folder(folder, asked.recipe, changeable) as run:
            if not complete(run):
                if asked.recipe.model:
                    check_model_file(Path(asked.recipe.model))
                write_family(run, asked, options, progress or Progress(), command)
    family = Family.load(folder)
    bounds = options.targets or tuple(map(Target.parse, family.targets))
    if unmet := unmet_targets(family, bounds):
        raise TargetsUnmetError("targets.unmet", unmet, f"the nearest family was written to {folder}.")
    return family


def load_inputs(task: Task, asked: Asked, options: Options, progress: Progress) -> tuple[Dataset, Teacher]:
    """The data and the teacher, checked against each other.

    Raises:
        InputError: one of them can't be used as given.
    """
    recipe = options.recipe
    for note in asked.notes:
        progress.note(note)
    dataset = task.load_dataset(
        asked.data,
        test_data=asked.test_data,
        labels=asked.labels,
        seed=recipe.seed,
        framing=recipe.framing,
        progress=progress,
    )
    teacher = load_teacher(
        asked.model,
        dataset=dataset,
        preprocess=recipe.preprocess,
        input_size=options.input_size,
        names=Names(recipe.input_name, recipe.output_name),
        said=own_words(asked.model),
        progress=progress,
    )
    dataset, teacher = described(dataset, teacher, options)
    check_teacher_fits(teacher, dataset, progress)
    return dataset, teacher


def take_up(run: Checkpoints, teacher: Teacher, dataset: Dataset, options: Options) -> None:
    """Refuses other inputs than the run began with; what it has planned gets the batch size that is asked for now.

    Raises:
        InputError: `run.inputs_changed`.
    """
    check_same_inputs(run, teacher, dataset)
    take_batch_size(run, options.recipe.training.batch_size, teacher.input_size)


def write_family(run: Checkpoints, asked: Asked, options: Options, progress: Progress, command: str) -> None:
    """The run itself: all files of the family into the staging folder, from whatever is there already."""
    clock, task, seed = run.clock, task_of(options.recipe), options.recipe.seed
    notes: list[str] = []
    keras.utils.set_random_seed(seed)
    progress = progress.with_listener(EventLog(run.staging / "run.jsonl"))
    tell_of_earlier(run, progress, options.recipe.training.batch_size)

    with clock.stage("inputs"):
        dataset, teacher = load_inputs(task, asked, options, progress)
        take_up(run, teacher, dataset, options)
        learning = trainable_teacher(teacher) if options.recipe.teacher == "joint" else None

    with clock.stage("plan"):
        planned = partial(
            recalled_plans,
            run,
            "planned",
            lambda: plans_for(
                Planning(
                    task,
                    teacher,
                    dataset,
                    options,
                    run.staging,
                    progress,
                    keep=partial(kept_by_source, run),
                    recall=run.recall_early,
                )
            ),
        )
        # When one is chosen, what was planned is deleted; it is only made anew where the chosen can't be read.
        plans = [] if run.knows("chosen") else planned()

    with clock.stage("baselines"):
        baselines = teacher_files(task, teacher, dataset, run, progress)
        labeller, rate, labelled_by = timed_labeller(run, teacher, baselines, plans, dataset, options)

    with clock.stage("soft labels"):
        warn_of_short_budget(run, plans, dataset, baselines, rate, options, progress)
        views = decided_views(run, teacher, dataset, rate, options)

    labelling = Labelling(run, labeller, dataset, progress)
    training = Training(run.folder, options, progress, run.keep)

    with clock.stage("trial"):
        (plan,) = recalled_plans(
            run,
            "chosen",
            lambda: [
                best_by_trial(
                    plans or planned(),
                    # What is labelled for the trial is shown later too, whichever plan is chosen.
                    lambda tried: labelling.of(mixed_for(tried, views, options).whole),
                    dataset,
                    progress,
                    budget=options.budget_seconds,
                    seed=seed,
                    checkpoint=training.checkpoint,
                    targets=options.targets,
                )
            ],
        )

    with clock.stage("soft labels"):
        views = mixed_for([plan], views, options)
        batches = LabelledViews(*labelling.of(views), plan.settings.batch_size, seed)
        cached = labelling.cached(views)

    time = planned_phases(run, plan, dataset, baselines, rate, options, progress)
    elsewhere = Elsewhere(run, options.recipe.backend, views, batches.soft.paths, progress)

    with clock.stage("joint training"):
        elsewhere.train("joint", time.joint_seconds)
        members, joint = training.jointly(plan, batches, time.joint_seconds, learning)

    if plan.spares:
        with clock.stage("search"):
            seconds = search_seconds(plan, options)
            lookout = Lookout(plan, members, batches.whole(), dataset)
            (plan,) = recalled_plans(
                run, "fitting", lambda: [Search(lookout, run, progress).fitting(options.targets, teacher, seconds)]
            )
            members = [trainable(part.model, "float32", plan.settings.momentum) for part in plan.parts]

    if learning is not None:
        with clock.stage("improved teacher"):
            improved = improved_teacher(learning, teacher, dataset, run, progress)
            notes.append(improved.sentence)
            if improved.better and options.rounded_in_training:  # nothing else is trained after it
                anew = replace(labelling, labeller=improved.labeller)
                batches = LabelledViews(*anew.of(views), plan.settings.batch_size, seed)

    with clock.stage("quantization-aware training"):
        elsewhere.train("quantization", time.quantization_seconds, needed=options.rounded_in_training)
        quantized, tuning = training.quantized(plan, members, batches, time.quantization_seconds)

    hand_over(
        run,
        options,
        Inputs(task, teacher, dataset, tuple(baselines)),
        Course(plan, views, cached, labelled_by, joint, tuning),
        members,
        quantized,
        progress,
        notes=notes,
        command=command,
    )


def hand_over(
    run: Checkpoints,
    options: Options,
    inputs: Inputs,
    course: Course,
    members: Sequence[keras.Model],
    quantized: Sequence[keras.Model | None],
    progress: Progress,
    *,
    notes: Sequence[str],
    command: str,
) -> None:
    """Writes, verifies and measures the members, and says what they are."""
    clock, (task, teacher, dataset, baselines) = run.clock, inputs
    with clock.stage("export"):
        export = Export(task, teacher, dataset, options, mixed_seconds(course.plan, options), run, progress)
        written, refused = export.members(course.plan.specs, members, quantized)

    with clock.stage("measurement"):
        paths = [*baselines, *(member.path for member in written)]
        # A file that was given may want its pixels prepared in another way than ours: the teacher itself is asked.
        direct = None
        if teacher.given_file or not baselines:
            direct = Accuracy.model_validate(
                run.recall("accuracy of the teacher itself", lambda: direct_accuracy(teacher, dataset).model_dump())
            )
        known = {baselines[0]: direct} if baselines and direct else {}
        accuracies = measure_accuracies(paths, dataset, progress, run.recall, known)
        write_measured(task, teacher, dataset, written, accuracies[len(baselines) :])
        # All else is measured of the files as they are handed over.
        measured = measure_files(paths, accuracies, progress)

    teacher_model, baseline_models, member_models = describe_models(teacher, direct, baselines, written, measured)
    member_models = warn_of_collapses(member_models, teacher_model, dataset, progress, course.plan.larger)
    collapsed = [member.collapsed for member in member_models if member.collapsed]
    family = Family(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        task=task.name,
        command=command,
        seed=options.recipe.seed,
        budget_seconds=options.budget_seconds,
        elapsed_seconds=round(clock.elapsed, 1),
        stage_seconds={name: round(seconds, 1) for name, seconds in clock.seconds.items()},
        route=course.plan.route,
        teacher=teacher_model,
        baselines=baseline_models,
        members=member_models,
        dataset=describe_data(dataset),
        environment=environment(),
        plan=course.summary(options, teacher),
        targets=tuple(target.text for target in options.targets),
        notes=(*dataset.notes, *notes, *refused, *collapsed),
        teacher_licence=teacher.licence or NOT_GIVEN,
        data_licence=dataset.licence or NOT_GIVEN,
    )
    (run.staging / "labels.txt").write_text("\n".join(dataset.class_names) + "\n", encoding="utf-8")
    course.recipe(options, teacher, dataset, member_models).write(
        run.staging / RECIPE, f"Makes this family again: l2c compress --recipe {RECIPE} --out FOLDER"
    )
    family.write(run.staging)
    write_report(family, run.staging)
    write_cards(family, run.staging)
