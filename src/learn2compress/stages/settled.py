"""Members that stand in the recipe: what an earlier run chose is made again, and nothing is chosen.

Which members a run chooses depends on what it measured on the way (latency, accuracy after joint training) and on how
many it could look at in its time. So the recipe that it writes has them.
"""

from __future__ import annotations

from collections.abc import Sequence

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.family import Member
from learn2compress.core.member import MemberSpec, Route
from learn2compress.core.options import read_size
from learn2compress.core.plan_recipe import MemberRecipe, PlanRecipe
from learn2compress.core.precision import FileFormat
from learn2compress.core.recipe import Recipe
from learn2compress.core.target import Target
from learn2compress.graph.cost import model_cost
from learn2compress.graph.slices import Part
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import Candidate, within
from learn2compress.sources.protocol import MemberSource
from learn2compress.stages.choosing import FILED
from learn2compress.stages.files import file_specs
from learn2compress.stages.planning import Plan, Planning, Spare, plan_families

_CHOOSE = "leave [plan] out of the recipe, or give --set plan.members=[] beside it: then members are chosen anew."


def plans_for(planning: Planning) -> list[Plan]:
    """The plan that the recipe has, where it was made for what is asked for now; else what `plan_families` plans.

    Raises:
        InputError: `recipe.members`, where the recipe's can't be made; or as `plan_families`.
        TargetsUnmetError: as `plan_families`.
        ConversionError: a member can't be written.
    """
    options, progress = planning.options, planning.progress
    kept = options.recipe.plan
    if not kept.members:
        return plan_families(planning)
    now = chosen_for(options.recipe, planning.teacher, planning.dataset)
    other = [line for line in kept.chosen_for or now if line not in now]
    if other:
        keys = {line.partition(" = ")[0] for line in other}
        instead = [line for line in now if line.partition(" = ")[0] in keys]
        progress.note(
            f"the recipe's members were chosen for {', '.join(other)}; now it is {', '.join(instead) or 'not'}: "
            "members are chosen anew"
        )
        return plan_families(planning)
    plan = _settled(kept, planning)
    beyond = _beyond(plan, options.targets)
    if beyond:
        progress.note(
            f"of this teacher and these images the recipe's members are beyond {', '.join(beyond)}: members are "
            "chosen anew"
        )
        return plan_families(planning)
    return [plan]


def _beyond(plan: Plan, targets: Sequence[Target]) -> list[str]:
    """The bounds on size and MACs that a member was chosen for and its file breaks.

    What prunings the recipe's numbers name follows from the teacher's weights, which may be others now.
    """
    made = [*zip(plan.specs, plan.costs, strict=True), *((spare.spec, spare.cost) for spare in plan.spares)]
    return [
        target.text
        for target in targets
        if target.metric in FILED
        and any(target.text in spec.targets and not within(Candidate(spec, cost), target) for spec, cost in made)
    ]


def chosen_for(recipe: Recipe, teacher: Teacher, dataset: Dataset) -> tuple[str, ...]:
    """All that decides which members are chosen, as `KEY = VALUE`.

    Of images it is their number, and of the teacher its shape: what tells them apart for certain differs from machine
    to machine (looks of images, the last digits of outputs).
    """
    height, width = teacher.input_size
    values = {
        "students": recipe.students,
        "targets": " ".join(Target.parse(text).text for text in recipe.targets) or "none",
        "route": recipe.route,
        "precision": " ".join((*recipe.precision, recipe.output)),
        "importance": recipe.importance,
        "sparsity": recipe.sparsity,
        "teacher": recipe.teacher,
        "mixed": f"{recipe.mixed} {recipe.mixed_loss}",
        "joint_steps": recipe.training.joint_steps or "as many as the budget allows",
        "classes": dataset.classes,
        "images": f"{len(dataset.train)} {len(dataset.validation)} {len(dataset.test)}",
        "the teacher's input": f"{height}x{width}",
        "the teacher's parameters": teacher.parameters or "not known",
    }
    return tuple(f"{key} = {value}" for key, value in values.items())


def plan_recipe(
    plan: Plan,
    recipe: Recipe,
    formats: Sequence[FileFormat],
    teacher: Teacher,
    dataset: Dataset,
    members: Sequence[Member],
) -> PlanRecipe:
    """What goes into the recipe of a run.

    Args:
        plan: with all members, those that the search found included.
        recipe: all else of the recipe that is written.
        formats: of the files.
        teacher, dataset: of the run.
        members: of the finished family.
    """
    return PlanRecipe(
        members=tuple(
            _member_recipe(spec, spec.name in plan.cut_out, _in_float32(spec, formats, members))
            for spec in plan.specs
        ),
        chosen_for=chosen_for(recipe, teacher, dataset),
        larger=plan.larger or None,
    )


def _in_float32(spec: MemberSpec, formats: Sequence[FileFormat], members: Sequence[Member]) -> tuple[str, ...]:
    """The layers whose outputs are not rounded in some integer file of the member."""
    files = {file.name for file in file_specs(spec, formats)}
    mixed = [member.mixed for member in members if member.name in files and member.mixed]
    return tuple(dict.fromkeys(kept.output_of for found in mixed for kept in found.kept))


def _member_recipe(spec: MemberSpec, cut_out: bool, in_float32: tuple[str, ...]) -> MemberRecipe:
    height, width = spec.input_size
    return MemberRecipe(
        name=spec.name,
        input_size=f"{height}x{width}",
        width=spec.width,
        depth=spec.depth,
        channels=spec.channels or None,
        blocks=spec.blocks or None,
        cut=spec.cut or None,
        removals=spec.removals or None,
        given_back=spec.given_back or None,
        targets=spec.targets,
        cut_out=cut_out,
        in_float32=in_float32,
    )


def _spec(member: MemberRecipe, route: Route) -> MemberSpec:
    size = read_size(member.input_size)
    assert size is not None  # the recipe was checked: it is no word
    return MemberSpec(
        name=member.name,
        route=route,
        width=member.width,
        input_size=size,
        channels=member.channels or (),
        blocks=member.blocks or (),
        cut=member.cut or "",
        removals=member.removals or 0,
        given_back=member.given_back or (),
        depth=member.depth,
        targets=member.targets,
        in_float32=member.in_float32,
    )


def _settled(kept: PlanRecipe, planning: Planning) -> Plan:
    """The recipe's members, each of them written once untrained; of the first source, which the recipe names."""
    source, progress = planning.sources()[0], planning.progress
    progress.note(
        f"{source.words}: the members are those of the recipe, and what stays float32 in them; none is judged anew"
    )
    rehearsal = planning.rehearsal(source)
    # The trained ones first, in their order.
    members = sorted(kept.members or (), key=lambda member: member.cut_out)
    specs = [_spec(member, source.route) for member in members]
    _check_nested(specs)
    made: list[Spare] = []
    with progress.stage("plan", len(specs)) as stage:
        for spec in stage.track(specs):
            part = _built(source, spec)
            filed = rehearsal.filed(Candidate(spec, model_cost(part.model)))
            rehearsal.rehearse_others(spec)
            made.append(Spare(spec, part, filed.cost))
    count = sum(not member.cut_out for member in members)
    trained, spares = made[:count], made[count:]
    for one in made:
        cost = one.cost
        progress.note(f"{one.spec.name}: {cost.size_bytes} bytes, {cost.macs} MACs, {one.spec.depth} weight layers")
    return Plan(
        specs=tuple(one.spec for one in trained),
        parts=tuple(one.part for one in trained),
        kind=source.kind,
        words=source.words,
        route=source.route,
        settings=planning.settings(source),
        costs=tuple(one.cost for one in trained),
        reason="the recipe has the members",
        start=source.start,
        spares=tuple(spares),
        larger=kept.larger or "",
        settled=True,
    )


def _built(source: MemberSource, spec: MemberSpec) -> Part:
    try:
        return source.build(spec)
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(
            "recipe.members",
            f"The recipe's member {spec.name} can't be made of {source.words}: {error}.",
            _CHOOSE,
        ) from error


def _check_nested(specs: Sequence[MemberSpec]) -> None:
    """Refuses members that are no part of the first, on whose weights all are trained.

    Raises:
        InputError: `recipe.members`.
    """
    outside = [spec.name for spec in specs if not specs[0].contains(spec)]
    if outside:
        raise InputError(
            "recipe.members",
            f"The recipe's member {outside[0]} is no part of {specs[0].name}, the first: they can't have weights in "
            "common.",
            f"put the widest first; or {_CHOOSE}",
        )
