"""Where the members of a family can come from: students of our own, or cuts or prunings of the teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.member import SourceKind
from learn2compress.core.options import Options
from learn2compress.graph.trunk import own_layers
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import bounds_work, priced_by
from learn2compress.sources.cuts import TeacherCuts
from learn2compress.sources.fresh import FreshStudents
from learn2compress.sources.protocol import MemberSource, Recall
from learn2compress.sources.prunings import TeacherPrunings

# Below this many training images a class, a student from scratch falls far behind a cut of a trained teacher.
FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH = 1000
# The routes that name one source of the teacher's own layers; the others leave it open which.
NAMED: dict[str, tuple[SourceKind, ...]] = {"cuts": ("cuts",), "prunings": ("prunings",)}


class ChosenSource(NamedTuple):
    """A source of members, and why it was chosen, for people."""

    kind: SourceKind
    reason: str


def chosen_sources(
    route: str, images_per_class: float, refusals: Mapping[SourceKind, str], *, work_is_bounded: bool
) -> list[ChosenSource]:
    """The sources that come into question, the one to take where there is no time to try them first.

    Args:
        route: one of `core.options.ROUTES`.
        images_per_class: of the training split.
        refusals: for `cuts` and `prunings`, why the teacher's own layers can't serve so, where they can't; not looked
            at where `route` is `fresh`.
        work_is_bounded: whether some bound is on what goes with the work, see `plan.members.bounds_work`.

    Returns:
        An empty list where the route asks for the teacher's own layers and these are refused.
    """
    few = images_per_class < FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH
    counted = f"{images_per_class:.0f} training images a class"
    reason = "asked for" if route != "auto" else f"with {counted}, the teacher's trained weights are kept"
    if route == "fresh":
        return [ChosenSource("students", reason)]
    # Cuts get good sooner: they have all but their heads in common.
    open_to: tuple[SourceKind, ...] = ("cuts", "prunings") if few else ("prunings", "cuts")
    own = [ChosenSource(kind, reason) for kind in NAMED.get(route, open_to) if kind not in refusals]
    if route == "auto" and not few:
        fresh = ChosenSource("students", f"{counted} are enough for students from scratch")
        return [fresh, *(source for source in own if source.kind == "prunings")]
    if work_is_bounded and len(own) > 1:
        # A cut has the first layers whole, which do most of the work: a bound leaves it little else.
        better = f"{reason}; within a bound on work, prunings keep more of the teacher than cuts"
        return [ChosenSource("prunings", better), ChosenSource("cuts", reason)]
    if own or route != "auto":
        return own
    refused = "; ".join(sorted(set(refusals.values())))
    return [ChosenSource("students", f"the teacher's own graph can't be made smaller ({refused})")]


def member_sources(
    teacher: Teacher, dataset: Dataset, options: Options, recall: Recall | None = None
) -> list[MemberSource]:
    """The sources of image classifiers that come into question, as `chosen_sources` puts them.

    What takes one of them long to find out goes through `recall`, where there is one.

    Raises:
        InputError: `route.teacher_refused` where the teacher's own layers are asked for and can't serve.
    """
    route = options.recipe.route

    def refused(integer: bool) -> dict[SourceKind, str]:
        own = own_layers(teacher.keras_model, teacher.input_size, teacher.outputs, integer=integer)
        found: dict[SourceKind, str | None] = {"cuts": own.uncut, "prunings": own.unpruned}
        return {kind: reason for kind, reason in found.items() if reason}

    refusals = {} if route == "fresh" else refused(options.integer)
    images_per_class = len(dataset.train) / dataset.classes
    chosen = chosen_sources(route, images_per_class, refusals, work_is_bounded=bounds_work(options.targets))
    if not chosen:
        in_float = route != "cuts" and "prunings" not in refused(integer=False)
        raise InputError(
            "route.teacher_refused",
            f"The teacher's own graph can't be made smaller: {refusals['cuts' if route == 'cuts' else 'prunings']}.",
            "use --from fresh: students of our own are trained from the teacher's outputs."
            # Where a layer has no integer kernel.
            + " Written with --precision float32, float16 or dynamic, the teacher can be pruned." * in_float,
        )
    make: dict[SourceKind, Callable[[str], MemberSource]] = {
        "students": partial(FreshStudents, teacher, dataset),
        "cuts": partial(TeacherCuts, teacher, dataset),
        "prunings": partial(
            TeacherPrunings,
            teacher,
            dataset,
            priced=priced_by(options.targets),
            importance=options.recipe.importance,
            recall=recall,
        ),
    }
    return [make[kind](reason) for kind, reason in chosen]
