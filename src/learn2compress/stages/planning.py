"""Planning with a rehearsal: the members are chosen, and each is written once untrained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import EXIT_TARGETS, ConversionError, InputError, L2CError, TargetsUnmetError
from learn2compress.core.member import Cost, MemberSpec, Route, SourceKind, Start
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.core.target import Target
from learn2compress.graph.cost import model_cost
from learn2compress.graph.slices import Part
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.budget import affordable_spares, trial_seconds
from learn2compress.plan.members import PLANNED, Candidate, bounds_work, largest_by_default, next_larger
from learn2compress.plan.search import asks_for_search, between, of_other_proportions, smaller_inputs, spread
from learn2compress.plan.wording import cost_bound, told
from learn2compress.sources.protocol import MemberSource, Recall
from learn2compress.stages.choosing import Choice, Chooser
from learn2compress.stages.rehearsal import MeasuredCosts, Rehearsal
from learn2compress.tasks import Task
from learn2compress.train.settings import SETTINGS, TrainingSettings

# What says of a source that it gives no members here, beside a failed conversion: the teacher does not allow it, all
# are beyond the bounds, or LiteRT refuses what the converter wrote. Whatever else is wrong (a timeout, a full disk,
# a teacher that fails) is wrong with the run: to go on with another source would hide it.
GIVES_NONE = ("route.teacher_refused", "targets.out_of_reach", "tflite.unreadable")


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


# What makes a plan of one source, given a name for it: such as what keeps it for the next process.
Keep = Callable[[str, Callable[[], Plan]], Plan]


def made(name: str, make: Callable[[], Plan]) -> Plan:
    """The plan, kept nowhere."""
    return make()


@dataclass(frozen=True)
class Planning:
    """What a run's plans are made of.

    Attributes:
        task, teacher, dataset, options: of the run.
        staging: folder; untrained members are written below it.
        progress: gets notes, and a stage for each source.
        keep: each plan of a source goes through it.
        recall: what a source takes long to find out goes through it, where there is one.
    """

    task: Task
    teacher: Teacher
    dataset: Dataset
    options: Options
    staging: Path
    progress: Progress
    keep: Keep = made
    recall: Recall | None = None

    def sources(self) -> list[MemberSource]:
        """Where members can come from; the first is what to take where there is no time to try them."""
        return self.task.sources(self.teacher, self.dataset, self.options, self.recall)

    def rehearsal(self, source: MemberSource) -> Rehearsal:
        """What writes members of a source untrained, in the formats asked for."""
        folder = self.staging / "rehearsal"
        return Rehearsal(self.task, source, self.teacher, self.dataset, folder, self.options.formats)

    def settings(self, source: MemberSource) -> TrainingSettings:
        """Hyperparameters for members of a source, as far as the recipe does not give others."""
        usual = SETTINGS[source.kind].for_size(self.teacher.input_size)
        return replace(usual, **self.options.recipe.training.hyperparameters())


def plan_families(planning: Planning) -> list[Plan]:
    """A plan for each source of members that the budget lets us try; the first is the one to take without a trial.

    A source that gives no members, or fewer, is left out where another gives more. Where none gives members within
    the bounds, the one that comes nearest gives those that are least beyond them, with a warning. Planning one may
    take a minute: each goes through `keep` for itself.

    Raises:
        InputError: `route.teacher_refused`, `tflite.unreadable`; or what no other source would mend, at once.
        ConversionError: a member can't be written.
    """
    options, progress = planning.options, planning.progress
    plans: list[Plan] = []
    failures: list[tuple[MemberSource, L2CError]] = []
    for source in planning.sources():
        came = _plan_or_why_none(planning, source, source.kind)
        if isinstance(came, Plan):
            plans.append(came)
        else:
            failures.append((source, came))
        enough = any(len(plan.specs) >= options.recipe.students for plan in plans)
        if enough and not trial_seconds(options.budget_seconds):
            break
    if not plans:
        plans.append(_nearest_plan(planning, failures))
    # A plan with fewer members gives less than was asked for, where another gives all.
    most = max(len(plan.specs) for plan in plans)
    for fewer in (plan for plan in plans if len(plan.specs) < most):
        progress.note(f"{fewer.words}: left out, for they give {len(fewer.specs)} members, and others {most}")
    plans = [plan for plan in plans if len(plan.specs) == most]
    if most < options.recipe.students:
        progress.warn(_too_few(most, plans[0], options.recipe.students))
    return plans if trial_seconds(options.budget_seconds) else plans[:1]


def _nearest_plan(planning: Planning, failures: Sequence[tuple[MemberSource, L2CError]]) -> Plan:
    """What comes nearest to the bounds, where nothing that can be built is within them.

    Raises:
        InputError, ConversionError: no source failed by the bounds alone, or none of those that did gives members.
    """
    beyond = [(source, error) for source, error in failures if isinstance(error, TargetsUnmetError)]
    failed: L2CError | None = None
    for source, error in sorted(beyond, key=lambda pair: pair[1].excess):
        planning.progress.warn(
            f"{error.what} What comes nearest is trained and written, and the run will end with exit code "
            f"{EXIT_TARGETS}. To have all bounds kept, {error.fix}"
        )
        # Not in the place of a plan that keeps the bounds: a run that goes on would take it for one.
        came = _plan_or_why_none(planning, source, f"nearest-{source.kind}", nearest=True)
        if isinstance(came, Plan):
            return came
        failed = failed or came
    raise failed or failures[0][1]


def _plan_or_why_none(
    planning: Planning, source: MemberSource, name: str, *, nearest: bool = False
) -> Plan | L2CError:
    """The plan of a source, kept by this name; where it gives no members here, why.

    Raises:
        InputError: what is wrong with the run.
    """
    try:
        return planning.keep(name, partial(plan_family, source, planning, nearest=nearest))
    except (InputError, ConversionError, TargetsUnmetError) as error:
        if not isinstance(error, ConversionError) and error.code not in GIVES_NONE:
            raise
        planning.progress.note(f"{source.words}: {error.what}")
        return error


def _too_few(most: int, plan: Plan, students: int) -> str:
    """That a family has fewer members than were asked for, and what gives more."""
    advice = "" if plan.route == "fresh" else " --from fresh gives more."
    return (
        f"{most} {'member' if most == 1 else 'members'} instead of {students}: no more {plan.words} differ enough "
        f"from one another.{advice}"
    )


def plan_family(source: MemberSource, planning: Planning, *, nearest: bool = False) -> Plan:
    """Chooses the members, and writes each of them once untrained.

    The rehearsal shows that every member converts, to full int8, and gives the exact size of its file: what can
    fail, fails before hours of training.

    Args:
        source: of the members.
        planning: what it is for.
        nearest: take what is least beyond the bounds where nothing is within them.

    Raises:
        TargetsUnmetError: `targets.out_of_reach`, unless the nearest are taken.
        InputError: `route.teacher_refused`, `tflite.unreadable`; or what is wrong with the run.
        ConversionError: a member can't be written.
    """
    options, progress = planning.options, planning.progress
    progress.note(f"{source.words}: {source.reason}")
    rehearsal = planning.rehearsal(source)
    costs = MeasuredCosts(rehearsal, {target.metric for target in options.targets})
    with progress.stage("plan") as stage:
        usual = largest_by_default(planning.teacher.parameters, options.targets)
        choice = Chooser(source, options, rehearsal, costs, usual, nearest=nearest).choose(stage)
        for candidate in choice.members:
            rehearsal.rehearse_others(candidate.spec)
    spares = _spares(source, choice, options, rehearsal)
    costs.measure(spares)
    for candidate in choice.filed:
        spec, cost = candidate.spec, candidate.cost
        progress.note(f"{spec.name}: {cost.size_bytes} bytes, {cost.macs} MACs, {spec.depth} weight layers")
    specs = tuple(candidate.spec for candidate in choice.members)
    return Plan(
        specs=specs,
        parts=tuple(source.build(spec) for spec in specs),
        kind=source.kind,
        words=source.words,
        route=source.route,
        settings=planning.settings(source),
        costs=tuple(costs.of(candidate).cost for candidate in choice.filed),
        reason=source.reason,
        start=source.start,
        spares=tuple(Spare(c.spec, source.build(c.spec), costs.of(rehearsal.filed(c)).cost) for c in spares),
        larger=_told_larger([*choice.even, *choice.wides], choice.members, options.targets),
    )


def _spares(source: MemberSource, choice: Choice, options: Options, rehearsal: Rehearsal) -> list[Candidate]:
    """Members to look at after joint training, those that can be written; none where no bound asks for a search."""
    if not asks_for_search(options.targets):
        return []
    others = [
        *between(choice.even, choice.members),
        *of_other_proportions(choice.uneven, choice.members),
        *_of_smaller_images(source, choice.members),
    ]
    affordable = spread(others)[: affordable_spares(options.budget_seconds)]
    return [candidate for candidate in affordable if rehearsal.succeeds(candidate.spec)]


def _told_larger(candidates: Sequence[Candidate], chosen: Sequence[Candidate], targets: Sequence[Target]) -> str:
    """What the next larger than the chosen would take, and the bound that asks for it; empty where there is none."""
    metric = "macs" if bounds_work(targets) else "size"
    larger = next_larger(candidates, chosen, metric)
    if larger is None:
        return ""
    bound = cost_bound(metric, PLANNED[metric](larger.cost))
    return f"{told('size', larger.cost.size_bytes)} and {told('macs', larger.cost.macs)} (--target '{bound}')"


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
