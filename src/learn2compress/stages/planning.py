"""Planning with a rehearsal: the members are chosen, and each is written once untrained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

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
    PLANNED,
    Candidate,
    bounds_work,
    bounds_work_and_size,
    choose_members,
    largest_by_default,
    largest_with_room,
    leave_bytes_unused,
    next_larger,
    widest_member,
    within,
)
from learn2compress.plan.search import asks_for_search, between, of_other_proportions, smaller_inputs, spread
from learn2compress.plan.wording import cost_bound, told
from learn2compress.sources.protocol import MemberSource
from learn2compress.stages.rehearsal import MeasuredCosts, Rehearsal
from learn2compress.tasks import Task
from learn2compress.train.settings import SETTINGS, TrainingSettings

# What a rehearsed file says of a member.
FILED = ("size", "macs")
# What says of a source that it gives no members here, beside a failed conversion: the teacher does not allow it, all
# are beyond the bounds, or LiteRT refuses what the converter wrote. Whatever else is wrong (a timeout, a full disk,
# a teacher that fails) is wrong with the run: to go on with another source would hide it.
GIVES_NONE = ("route.teacher_refused", "targets.out_of_reach", "tflite.unreadable")
# For the metric and the candidate's name: what the file takes over what was estimated, where it broke a bound.
Over = dict[tuple[str, str], float]


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
        costs: what each member takes; its size and MACs are those of the file that was rehearsed.
        reason: why these.
        start: what joint training sets before its first step.
        spares: members to look at after joint training, where that decides which one is asked for; the first ones
            are from all over.
        trial_steps: that the members were trained in a trial.
        larger: what the next larger member that can be built would take, and how to ask for it; empty where there is
            none.
        settled: whether the spares are wanted as they are: an earlier run chose them, and none is judged.
        cut_out: names of the members that were cut out of the trained weights and not trained jointly.
        search: what was looked at for them, as `core.searched.Searched` in JSON; empty where nothing was.
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
    larger: str = ""
    settled: bool = False
    cut_out: tuple[str, ...] = ()
    search: dict[str, Any] = field(default_factory=dict)


# What makes a plan of one source, given the source's kind: such as what keeps it for the next process.
Keep = Callable[[SourceKind, Callable[[], Plan]], Plan]


def made(kind: SourceKind, make: Callable[[], Plan]) -> Plan:
    """The plan, kept nowhere."""
    return make()


def plan_families(
    task: Task,
    teacher: Teacher,
    dataset: Dataset,
    options: Options,
    staging: Path,
    progress: Progress,
    keep: Keep = made,
) -> list[Plan]:
    """A plan for each source of members that the budget lets us try; the first is the one to take without a trial.

    A source that gives no members, or fewer, is left out where another gives more. Planning one may take a minute:
    each goes through `keep` for itself.

    Raises:
        TargetsUnmetError: `targets.out_of_reach`, of the source that comes nearest.
        InputError: `route.teacher_refused`, `tflite.unreadable`; or what no other source would mend, at once.
        ConversionError: a member can't be written.
    """
    plans: list[Plan] = []
    failures: list[L2CError] = []
    for source in task.sources(teacher, dataset, options):
        try:
            make = partial(plan_family, source, task, teacher, dataset, options, staging, progress)
            plans.append(keep(source.kind, make))
        except (InputError, ConversionError, TargetsUnmetError) as error:
            if not isinstance(error, ConversionError) and error.code not in GIVES_NONE:
                raise
            progress.note(f"{source.words}: {error.what}")
            failures.append(error)
        enough = any(len(plan.specs) >= options.recipe.students for plan in plans)
        if enough and not trial_seconds(options.budget_seconds):
            break
    if not plans:
        raise _decisive(failures)
    # A plan with fewer members gives less than was asked for, where another gives all.
    most = max(len(plan.specs) for plan in plans)
    for fewer in (plan for plan in plans if len(plan.specs) < most):
        progress.note(f"{fewer.words}: left out, for they give {len(fewer.specs)} members, and others {most}")
    plans = [plan for plan in plans if len(plan.specs) == most]
    if most < options.recipe.students:
        progress.warn(_too_few(most, plans[0], options.recipe.students))
    return plans if trial_seconds(options.budget_seconds) else plans[:1]


def _decisive(failures: Sequence[L2CError]) -> L2CError:
    """What to end with where no source gives members: how near a bound can be come to, or else what was first."""
    beyond = [error for error in failures if isinstance(error, TargetsUnmetError)]
    return min(beyond, key=lambda error: error.excess, default=failures[0])


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
        InputError: `route.teacher_refused`, `tflite.unreadable`; or what is wrong with the run.
        ConversionError: a member can't be written.
    """
    progress.note(f"{source.words}: {source.reason}")
    narrows: dict[str, tuple[list[Candidate], list[Candidate]]] = {}
    over: Over = {}
    # Estimates are of int8; where a size is bounded, they start from what the precision asked for takes.
    bounded = any(target.metric == "size" for target in options.targets)
    weight = options.formats[0].kind.bytes_per_weight if bounded else 1.0
    rehearsal = Rehearsal(task, source, teacher, dataset, staging / "rehearsal", options.formats)
    costs = MeasuredCosts(rehearsal, {target.metric for target in options.targets})

    def estimated(candidates: list[Candidate]) -> list[Candidate]:
        return [costs.of(_estimated(candidate, over, weight)) for candidate in candidates]

    with progress.stage("plan") as stage:
        wides = source.candidates()
        costs.survey([*wides, _least(source, wides)])
        largest = largest_with_room(
            wides,
            lambda base: source.narrower(base, wides),
            options.targets,
            options.recipe.students,
            largest_by_default(teacher.parameters, options.targets),
        )
        while True:
            # Where an estimate was too low, what the member really takes decides in the next round.
            widest = widest_member(estimated(wides), options.targets, largest).spec.name
            if widest not in narrows:
                base = next(c for c in wides if c.spec.name == widest)
                narrows[widest] = source.narrower(base, wides), source.uneven(base)
            candidates, uneven = (estimated(some) for some in narrows[widest])
            wanted = bounds_work_and_size(options.targets) or leave_bytes_unused(candidates, options.targets)
            offered = uneven if wanted else []
            chosen = choose_members(candidates, options.targets, options.recipe.students, largest, offered)
            filed = [rehearsal.filed(candidate) for candidate in stage.track(chosen)]
            costs.measure(chosen)
            found = _over_target(chosen, filed, options.targets, [*candidates, *offered])
            if not found and all(_holds(costs.of(candidate), options.targets) for candidate in chosen):
                break
            over |= {key: over.get(key, 1.0) * factor for key, factor in found.items()}
        for candidate in chosen:
            rehearsal.rehearse_others(candidate.spec)
    spares: list[Candidate] = []
    if asks_for_search(options.targets):
        others = [*between(candidates, chosen), *of_other_proportions(uneven, chosen)]
        others += _of_smaller_images(source, chosen)
        spares = [
            c for c in spread(others)[: affordable_spares(options.budget_seconds)] if rehearsal.succeeds(c.spec)
        ]
    costs.measure(spares)
    specs = tuple(candidate.spec for candidate in chosen)
    for candidate in filed:
        spec, cost = candidate.spec, candidate.cost
        progress.note(f"{spec.name}: {cost.size_bytes} bytes, {cost.macs} MACs, {spec.depth} weight layers")
    settings = replace(SETTINGS[source.kind].for_size(teacher.input_size), **options.training.hyperparameters())
    return Plan(
        specs=specs,
        parts=tuple(source.build(spec) for spec in specs),
        kind=source.kind,
        words=source.words,
        route=source.route,
        settings=settings,
        costs=tuple(costs.of(candidate).cost for candidate in filed),
        reason=source.reason,
        start=source.start,
        spares=tuple(Spare(c.spec, source.build(c.spec), costs.of(rehearsal.filed(c)).cost) for c in spares),
        larger=_told_larger([*candidates, *estimated(wides)], chosen, options.targets),
    )


def _told_larger(candidates: Sequence[Candidate], chosen: Sequence[Candidate], targets: Sequence[Target]) -> str:
    """What the next larger than the chosen would take, and the bound that asks for it; empty where there is none."""
    metric = "macs" if bounds_work(targets) else "size"
    larger = next_larger(candidates, chosen, metric)
    if larger is None:
        return ""
    bound = cost_bound(metric, PLANNED[metric](larger.cost))
    return f"{told('size', larger.cost.size_bytes)} and {told('macs', larger.cost.macs)} (--target '{bound}')"


def _least(source: MemberSource, wides: list[Candidate]) -> Candidate:
    """Of all members the one with the least work: the narrowest base can be narrowed further."""
    narrowest = min(wides, key=lambda c: c.cost.macs)
    return min([*source.narrower(narrowest, wides), *source.uneven(narrowest)], key=lambda c: c.cost.macs)


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
    chosen: list[Candidate], filed: list[Candidate], targets: tuple[Target, ...], candidates: list[Candidate]
) -> Over:
    """For the candidates whose file breaks a bound on size or MACs, what it takes over what was estimated."""
    names = {c.spec.identity: c.spec.name for c in candidates}
    found: Over = {}
    for candidate, real in zip(chosen, filed, strict=True):
        own = [t for t in targets if t.text in candidate.spec.targets and t.metric in FILED]
        for metric in {target.metric for target in own if not within(real, target)}:
            value = PLANNED[metric]
            found[metric, names[candidate.spec.identity]] = value(real.cost) / value(candidate.cost)
    return found


def _holds(candidate: Candidate, targets: tuple[Target, ...]) -> bool:
    """Whether what was measured is within the bounds that the member was chosen for."""
    own = [t for t in targets if t.text in candidate.spec.targets and t.metric in ("latency", "memory")]
    return all(within(candidate, target) for target in own)


def _estimated(candidate: Candidate, over: Over, weight: float) -> Candidate:
    """The candidate with what its file takes: where each weight takes so many bytes, and as others were found to."""
    spec, cost = candidate.spec, candidate.cost
    # Only the weights: the frame, the operators and what each channel carries are as they are in an int8 file.
    size = cost.size_bytes + (weight - 1) * cost.parameters
    return Candidate(
        spec,
        replace(
            cost,
            size_bytes=math.ceil(size * over.get(("size", spec.name), 1.0)),
            macs=math.ceil(cost.macs * over.get(("macs", spec.name), 1.0)),
        ),
    )
