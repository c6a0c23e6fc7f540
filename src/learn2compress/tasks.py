"""What differs from task to task, in one table; nobody else asks "which task?"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.options import Options
from learn2compress.export.metadata import add_metadata
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import bounds_work, priced_by
from learn2compress.sources.protocol import MemberSource

# Below this many training images a class, a student from scratch falls far behind a cut of a trained teacher.
FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH = 1000
# Where a layer has no integer kernel.
IN_FLOAT = " Written with --precision float32, float16 or dynamic, the teacher can be pruned."


@dataclass(frozen=True)
class Task:
    """One kind of work.

    Attributes:
        name: as it stands in the manifest.
        load_dataset: see `inputs.dataset.load_dataset`.
        sources: function (teacher, dataset, options) -> where the members can come from; the first is what to
            take where there is no time to try them.
        add_metadata: see `export.metadata.add_metadata`.
    """

    name: str
    load_dataset: Callable[..., Dataset]
    sources: Callable[[Teacher, Dataset, Options], list[MemberSource]]
    add_metadata: Callable[..., bytes]


def _image_sources(teacher: Teacher, dataset: Dataset, options: Options) -> list[MemberSource]:
    from learn2compress.graph.trunk import own_layers
    from learn2compress.sources.cuts import TeacherCuts
    from learn2compress.sources.fresh import FreshStudents
    from learn2compress.sources.prunings import TeacherPrunings

    asked = options.route
    if asked == "fresh":
        return [FreshStudents(teacher, dataset, "asked for")]
    read = partial(own_layers, teacher.keras_model, teacher.input_size, teacher.outputs)
    own_ones = read(integer=options.integer)
    uncut, unpruned = own_ones.uncut, own_ones.unpruned
    refusal = {"cuts": uncut, "prunings": unpruned, "teacher": uncut and unpruned}.get(asked)
    if refusal:
        raise InputError(
            "route.teacher_refused",
            f"The teacher's own graph can't be made smaller: {refusal}.",
            "use --from fresh: students of our own are trained from the teacher's outputs."
            + (IN_FLOAT if asked != "cuts" and read(integer=False).unpruned is None else ""),
        )
    per_class = len(dataset.train) / dataset.classes
    few = per_class < FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH
    kept = f"with {per_class:.0f} training images a class, the teacher's trained weights are kept"
    enough = f"{per_class:.0f} training images a class are enough for students from scratch"
    reason = "asked for" if asked != "auto" else kept
    cuts = [] if uncut else [TeacherCuts(teacher, dataset, reason)]
    priced, importance = priced_by(options.targets), options.importance
    pruned = partial(TeacherPrunings, teacher, dataset, priced=priced, importance=importance)
    prunings = [] if unpruned else [pruned(reason)]
    if asked in ("cuts", "prunings"):
        return list(cuts if asked == "cuts" else prunings)
    if few or asked == "teacher":
        if cuts and prunings and bounds_work(options.targets):
            # A cut has the first layers whole, which do most of the work: a bound leaves it little else.
            return [pruned(f"{reason}; within a bound on work, prunings keep more of the teacher than cuts"), *cuts]
        # Cuts get good sooner: they have all but their heads in common.
        own: list[MemberSource] = [*cuts, *prunings] if few else [*prunings, *cuts]
        if own:
            return own
        refused = "; ".join(sorted({uncut or "", unpruned or ""} - {""}))
        return [FreshStudents(teacher, dataset, f"the teacher's own graph can't be made smaller ({refused})")]
    return [FreshStudents(teacher, dataset, enough), *prunings]


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    load_dataset=load_dataset,
    sources=_image_sources,
    add_metadata=add_metadata,
)

TASKS = {IMAGE_CLASSIFICATION.name: IMAGE_CLASSIFICATION}
