"""Planning with a rehearsal: the members are chosen, and each is written once untrained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import ConversionError, InputError, L2CError, TargetsUnmetError
from learn2compress.core.member import Cost, MemberSpec, Route, SourceKind, Start
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.core.target import Target
from learn2compress.graph.cost import model_cost
from learn2compress.graph.slices import Part
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.budget import affordable_spares, trial_seconds
from learn2compress.plan.members import (
    Candidate,
    bounds_work_and_size,
    choose_members,
    largest_by_default,
    widest_member,
    within,
)
from learn2compress.plan.search import asks_for_search, between, of_other_proportions, smaller_inputs, spread
from learn2compress.sources.protocol import MemberSource
from learn2compress.stages.rehearsal import MeasuredCosts, Rehearsal, identity
from learn2compress.tasks import Task
from learn2compress.train.settings import SETTINGS, TrainingSettings


@dataclass(frozen=True)
class Spare:
    """A member that is not trained, but may be cut out of the weights of those that are."""

    spec: MemberSpec
    part: Part
    cost: Cost


@dataclass(frozen=True)
class Plan:
    """What will be trained, and how.

    Attributes:
        specs: the members, widest first.
        parts: the same, built: untrained, with the teacher's weights, or as a trial left them.
        kind: of the source that they come from.
        words: what they are, for people.
        route: as it is reported.
        settings: hyperparameters.
        costs: what each member takes; its size is that of the file that was rehearsed.
        reason: why these.
        start: what joint training sets before its first step.
        spares: members to look at after joint training, where that decides which one is asked for; the first ones
            are from all over.
        trial_steps: that the members were trained in a trial.
    """

    specs: tuple[MemberSpec, ...]
    parts: tuple[Part, ...]
    kind: SourceKind
    words: str
    route: Route
    settings: TrainingSettings
    costs: tuple[Cost, ...]
    reason: str
    start: Start
    spares: tuple[Spare, ...] = ()
    trial_steps: int = 0


def plan_families(
    task: Task, teacher: Teacher, dataset: Dataset, options: Options, staging: Path, progress: Progress
) -> list[Plan]:
    """A plan for each source of members that the budget lets us try; the first is the one to take without a trial.

    Raises:
        TargetsUnmetError: `targets.out_of_reach`.
        InputError: `route.teacher_refused`.
        ConversionError: a member can't be written.
    """
    plans: list[Plan] = []
    failures: list[L2CError] = []
    for source in task.sources(teacher, dataset, options):
        try:
            plans.append(plan_family(source, task, teacher, dataset, options, staging, progress))
        except (InputError, ConversionError, TargetsUnmetError) as error:
            progress.note(f"{source.words}: {error.what}")
            failures.append(error)
        if plans and not trial_seconds(options.budget_seconds):
            break
    if not plans:
        raise failures[0]
    # A plan with fewer members gives less than was asked for, where another gives all.
    most = max(len(plan.specs) for plan in plans)
    plans = [plan for plan in plans if len(plan.specs) == most]
    if most < options.students:
        progress.warn(_too_few(most, plans[0], options.students))
    return plans


def _too_few(most: int, plan: Plan, students: int) -> str:
    """That a family has fewer members than were asked for, and what gives more."""
    advice = "" if plan.route == "fresh" else " --from fresh gives more."
    return (
        f"{most} {'member' if most == 1 else 'members'} instead of {students}: no more {plan.words} differ enough "
        f"from one another.{advice}"
    )


def plan_family(
    source: MemberSource,
    task: Task,
    teacher: Teacher,
    dataset: Dataset,
    options: Options,
    staging: Path,
    progress: Progress,
) -> Plan:
    """Chooses the members, and writes each of them once untrained.

    The rehearsal shows that every member converts, to full int8, and gives the exact size of its file: what can
    fail, fails before hours of training.

    Raises:
        TargetsUnmetError: `targets.out_of_reach`.
        InputError: `route.teacher_refused`.
        ConversionError: a member can't be written.
    """
    progress.note(f"{source.words}: {source.reason}")
    largest = largest_by_default(teacher.parameters, options.targets)
    narrows: dict[str, tuple[list[Candidate], list[Candidate]]] = {}
    over: dict[str, float] = {}
    # Estimates are of int8; where a size is bounded, they start from what the precision asked for takes.
    bounded = any(target.metric == "size" for target in options.targets)
    weight = options.formats[0].kind.bytes_per_weight if bounded else 1.0
    rehearsal = Rehearsal(task, source, teacher, dataset, staging / "rehearsal", options.formats)
    costs = MeasuredCosts(rehearsal, {target.metric for target in options.targets})
    with progress.stage("plan") as stage:
        wides = source.candidates()
        costs.survey(wides)
        while True:
            # Where an estimate was too low, what the member really takes decides in the next round.
            widest = widest_member(
                [costs.of(_with_size(c, over, weight)) for c in wides], options.targets, largest
            ).spec.name
            if widest not in narrows:
                base = next(c for c in wides if c.spec.name == widest)
                uneven = source.uneven(base) if bounds_work_and_size(options.targets) else []
                narrows[widest] = source.narrower(base, wides), uneven
            candidates, uneven = ([costs.of(_with_size(c, over, weight)) for c in some] for some in narrows[widest])
            chosen = choose_members(candidates, options.targets, options.students, largest, uneven)
            sizes = [rehearsal.size_bytes(candidate.spec) for candidate in stage.track(chosen)]
            costs.measure(chosen)
            found = _over_target(chosen, sizes, options.targets, [*candidates, *uneven])
            if not found and all(_holds(costs.of(candidate), options.targets) for candidate in chosen):
                break
            over |= {name: over.get(name, weight) * factor for name, factor in found.items()}
        for candidate in chosen:
            rehearsal.rehearse_others(candidate.spec)
    spares: list[Candidate] = []
    if asks_for_search(options.targets):
        base = next(c for c in wides if c.spec.name == widest)
        others = [*between(candidates, chosen), *of_other_proportions(source.uneven(base), chosen)]
        others += _of_smaller_images(source, chosen)
        spares = [
            c for c in spread(others)[: affordable_spares(options.budget_seconds)] if rehearsal.succeeds(c.spec)
        ]
    costs.measure(spares)
    specs = tuple(candidate.spec for candidate in chosen)
    for candidate, size in zip(chosen, sizes, strict=True):
        spec, cost = candidate.spec, candidate.cost
        progress.note(f"{spec.name}: {size} bytes, {cost.macs} MACs, {spec.depth} weight layers")
    settings = replace(
        SETTINGS[source.kind].for_size(teacher.input_size), **options.training.hyperparameters()
    ).here()
    return Plan(
        specs=specs,
        parts=tuple(source.build(spec) for spec in specs),
        kind=source.kind,
        words=source.words,
        route=source.route,
        settings=settings,
        costs=tuple(
            replace(costs.of(candidate).cost, size_bytes=size) for candidate, size in zip(chosen, sizes, strict=True)
        ),
        reason=source.reason,
        start=source.start,
        spares=tuple(
            Spare(
                c.spec,
                source.build(c.spec),
                replace(costs.of(c).cost, size_bytes=rehearsal.size_bytes(c.spec)),
            )
            for c in spares
        ),
    )


def _of_smaller_images(source: MemberSource, chosen: list[Candidate]) -> list[Candidate]:
    """The chosen members for smaller images, those that there are."""
    found = []
    for candidate in chosen:
        for size in smaller_inputs(candidate.spec.input_size):
            name = f"{candidate.spec.name}-{size[1]}px"
            spec = replace(candidate.spec, name=name, input_size=size, targets=())
            try:
                cost = model_cost(source.build(spec).model)
            except ValueError:
                continue
            found.append(Candidate(spec, cost))
    return found


def _over_target(
    chosen: list[Candidate], sizes: list[int], targets: tuple[Target, ...], candidates: list[Candidate]
) -> dict[str, float]:
    """Name of the candidates whose real size breaks their bound -> real size over estimated size."""
    bounds = {t.text: t for t in targets if t.metric == "size"}
    names = {identity(c.spec): c.spec.name for c in candidates}
    return {
        names[identity(c.spec)]: size / c.cost.size_bytes
        for c, size in zip(chosen, sizes, strict=True)
        if any(text in bounds and not bounds[text].holds(size) for text in c.spec.targets)
    }


def _holds(candidate: Candidate, targets: tuple[Target, ...]) -> bool:
    """Whether what was measured is within the bounds that the member was chosen for."""
    own = [t for t in targets if t.text in candidate.spec.targets and t.metric in ("latency", "memory")]
    return all(within(candidate, target) for target in own)


def _with_size(candidate: Candidate, over: dict[str, float], weight: float) -> Candidate:
    factor = over.get(candidate.spec.name, weight)
    if factor == 1.0:
        return candidate
    return replace(candidate, cost=replace(candidate.cost, size_bytes=int(candidate.cost.size_bytes * factor) + 1))
