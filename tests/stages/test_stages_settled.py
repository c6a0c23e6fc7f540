"""Of a bound on the drop the smallest member is searched; a run by the recipe that is written searches nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.options import Options
from learn2compress.core.plan_recipe import MemberRecipe, PlanRecipe
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.core.recipe import Recipe, TrainingRecipe
from learn2compress.core.searched import Searched

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES, SIZE = 3, 32
# Everything holds it: the smallest that is looked at is taken.
LOOSE = "drop<=0.95"


class Bright:
    """Tells class c by the brightness of channel c."""

    name, classes, channels, parameters, fingerprint = "bright", CLASSES, 3, 100_000, "bright"
    input_size = (SIZE, SIZE)
    licence, preprocess = "", SimpleNamespace(name="raw")

    def predict(self, images: Any) -> Any:
        """Probabilities (n, classes)."""
        scores = np.exp(np.asarray(images, np.float32).mean(axis=(1, 2)) / 8)
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Run:
    """A run up to its search: what was planned, trained and found, and the recipe that it writes."""

    planned: Any
    members: Any
    batches: Any
    found: Any
    recipe: Path


@pytest.fixture(scope="module")
def dataset(bright: Callable[[int], Any]) -> Any:
    return bright(SIZE)


def planned(recipe: Recipe, dataset: Any, folder: Path, progress: Progress = SILENT) -> Any:
    from learn2compress.stages.planning import Planning
    from learn2compress.stages.settled import plans_for
    from learn2compress.tasks import IMAGE_CLASSIFICATION

    teacher: Any = Bright()
    planning = Planning(IMAGE_CLASSIFICATION, teacher, dataset, Options.of(recipe), folder, progress)
    (plan,) = plans_for(planning)
    return plan


def searched(plan: Any, run: Run, dataset: Any, folder: Path, progress: Progress = SILENT) -> Any:
    from learn2compress.core.target import Target
    from learn2compress.stages.search import Lookout, Search

    teacher: Any = Bright()
    lookout = Lookout(plan, run.members, run.batches, dataset)
    return Search(lookout, Checkpoints(folder), progress).fitting([Target.parse(LOOSE)], teacher, 60.0)


def course(plan: Any) -> Any:
    from learn2compress.stages.course import Course
    from learn2compress.train.fit import Trained
    from learn2compress.train.views import ViewSpec

    joint, tuning = Trained(30, 1.0, 1.0, 30), Trained(4, 1.0, 1.0, 30)
    return Course(plan, ViewSpec(1, (SIZE, SIZE), 0), 0, "LiteRT", joint, tuning)


def written(plan: Any, recipe: Recipe, dataset: Any, file: Path) -> Path:
    """The recipe of a run that has finished these members."""
    teacher: Any = Bright()
    course(plan).recipe(Options.of(recipe), teacher, dataset, ()).write(file, "")
    return file


@pytest.fixture(scope="module")
def run(dataset: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from learn2compress.stages.training import Training
    from learn2compress.train.batches import LabelledViews
    from learn2compress.train.soft_labels import soft_labels
    from learn2compress.train.views import Views, ViewSpec

    folder = tmp_path_factory.mktemp("run")
    steps = TrainingRecipe(joint_steps=30, quantization_steps=4)
    recipe = Recipe(budget="4m", route="fresh", students=1, targets=(LOOSE,), training=steps)
    with pytest.MonkeyPatch.context() as few:
        few.setattr("learn2compress.plan.search.LOOKED_AT", 1)
        plan = planned(recipe, dataset, folder)
    teacher: Any = Bright()
    views = Views(dataset.train, ViewSpec(1, (SIZE, SIZE), 0))
    soft, _ = soft_labels(teacher, views, CLASSES, folder, SILENT)
    batches = LabelledViews(views, soft, 30, 0)
    members, _ = Training(folder, Options.of(recipe), SILENT, lambda: None).jointly(plan, batches, 0)
    begun = Run(plan, members, batches, None, folder / "recipe.toml")
    found = searched(plan, begun, dataset, folder)
    return replace(begun, found=found, recipe=written(found, recipe, dataset, begun.recipe))


def test_below_a_single_member_the_smallest_that_holds_a_drop_is_found(run: Run) -> None:
    assert len(run.planned.specs) == 1
    largest = run.planned.costs[0].size_bytes
    sizes = [spare.cost.size_bytes for spare in run.planned.spares if spare.spec.input_size == (SIZE, SIZE)]
    assert len(sizes) >= 2
    assert max(sizes) < largest
    assert min(sizes) < largest / 3
    assert [spec.name for spec in run.found.specs] == ["small", "fitting-1"]
    assert run.found.cut_out == ("fitting-1",)
    assert run.found.costs[1].size_bytes == min(sizes)


def test_what_was_looked_at_stands_in_the_manifest(run: Run, dataset: Any) -> None:
    teacher: Any = Bright()
    teacher.preprocess_accuracies, teacher.findings = {}, ()
    plan = course(run.found).summary(Options.of(Recipe.compose(run.recipe)), teacher)
    found = Searched.model_validate(plan["search"])
    assert (found.images, found.teacher_accuracy) == (len(dataset.validation), 1.0)
    assert len(found.members) == 1 + found.spares == 1 + len(run.planned.spares)
    assert [one.name for one in found.members if one.trained] == ["small"]
    (taken,) = [one for one in found.members if one.taken_for]
    assert (taken.name, taken.taken_for, taken.trained) == ("fitting-1", (LOOSE,), False)
    least = min(found.members, key=lambda one: one.size_bytes)
    assert taken == least
    assert taken.on_front
    best = max(found.members, key=lambda one: (one.accuracy_validation, -one.size_bytes, -one.macs))
    assert best.on_front
    for one in found.members:
        worse = [
            other
            for other in found.members
            if other.size_bytes < one.size_bytes
            and other.macs < one.macs
            and other.accuracy_validation > one.accuracy_validation
        ]
        assert not (worse and one.on_front)


def test_a_run_by_its_recipe_makes_the_same_members_and_judges_none(run: Run, dataset: Any, tmp_path: Path) -> None:
    recipe = Recipe.compose(run.recipe)
    plan = planned(recipe, dataset, tmp_path)
    assert [spec.name for spec in plan.specs] == ["small"]
    assert [spare.spec.name for spare in plan.spares] == ["fitting-1"]
    events: list[Event] = []
    (tmp_path / "search").mkdir()
    again = searched(plan, run, dataset, tmp_path / "search", Progress(events.append))
    assert events == []
    assert again.specs == tuple(replace(spec, in_float32=()) for spec in run.found.specs)
    assert (again.cut_out, again.search) == (run.found.cut_out, {})
    for cost, before in zip(again.costs, run.found.costs, strict=True):
        assert (cost.parameters, cost.macs) == (before.parameters, before.macs)
        assert abs(cost.size_bytes - before.size_bytes) < 100  # its file has another name in it
    for part, expected in zip(again.parts, run.found.parts, strict=True):
        for weight, other in zip(part.model.get_weights(), expected.model.get_weights(), strict=True):
            np.testing.assert_allclose(weight, other, atol=1e-5)
    # Its own recipe is the same.
    assert written(again, recipe, dataset, tmp_path / "again.toml").read_text() == run.recipe.read_text()


@pytest.mark.parametrize("way", ["beside", "inside", "left out"])
def test_what_is_asked_for_goes_before_the_members_of_the_recipe(
    run: Run, dataset: Any, tmp_path: Path, way: str
) -> None:
    size = "size<=30KB"
    if way == "beside":
        recipe = Recipe.compose(run.recipe, given={"targets": [size]})
    elif way == "inside":
        edited = run.recipe.read_text().replace(f'targets = [\n    "{LOOSE}",\n]', f'targets = ["{size}"]', 1)
        (tmp_path / "recipe.toml").write_text(edited)
        recipe = Recipe.compose(tmp_path / "recipe.toml")
        assert recipe.targets == (size,)
    else:
        recipe = Recipe.compose(run.recipe, ["plan.members=[]"], {"targets": [size]})
    events: list[Event] = []
    plan = planned(recipe, dataset, tmp_path, Progress(events.append))
    assert not plan.settled
    assert plan.specs[0].targets == (size,)
    told = [event.message for event in events if "chosen anew" in event.message]
    assert len(told) == (way != "left out")
    for message in told:
        assert f"were chosen for targets = {LOOSE}; now it is targets = {size}" in message


def test_members_are_kept_for_another_seed_and_chosen_anew_for_another_number_of_steps(
    run: Run, dataset: Any, tmp_path: Path
) -> None:
    from learn2compress.stages.settled import chosen_for

    teacher: Any = Bright()
    recipe = Recipe.compose(run.recipe)
    assert chosen_for(recipe, teacher, dataset) == recipe.plan.chosen_for
    kept = Recipe.compose(run.recipe, ["seed=3", "training.peak=0.01"])
    assert chosen_for(kept, teacher, dataset) == recipe.plan.chosen_for
    for setting in ("training.joint_steps=31", "students=2", "precision='float32'", "mixed='off'"):
        other = Recipe.compose(run.recipe, [setting])
        assert len(set(chosen_for(other, teacher, dataset)) - set(recipe.plan.chosen_for or ())) == 1, setting


def test_members_that_break_a_bound_by_now_are_chosen_anew(dataset: Any, tmp_path: Path) -> None:
    size = "size<=30KB"
    settings: dict[str, Any] = {"route": "fresh", "students": 1, "targets": (size,)}
    member = fresh("small", 24, 48, 80, 96).model_copy(update={"targets": (size,)})
    events: list[Event] = []
    recipe = Recipe(**settings, plan=PlanRecipe(members=(member,)))
    plan = planned(recipe, dataset, tmp_path, Progress(events.append))
    assert not plan.settled
    assert plan.costs[0].size_bytes <= 30_000
    assert [event for event in events if f"beyond {size}: members are chosen anew" in event.message]


def fresh(name: str, *channels: int, blocks: tuple[int, ...] = (2, 2, 2)) -> MemberRecipe:
    return MemberRecipe(name=name, input_size=f"{SIZE}x{SIZE}", channels=channels or None, blocks=blocks)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ((fresh("small"),), "small can't be made of students of our own"),
        ((fresh("small", 24, 16, 16),), "small can't be made of students of our own"),
        (
            (fresh("large", 24, 16, 16, 16), fresh("small", 24, 32, 16, 16)),
            "small is no part of large",
        ),
    ],
)
def test_members_that_can_not_be_made_are_refused(
    dataset: Any, tmp_path: Path, members: tuple[MemberRecipe, ...], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        planned(Recipe(route="fresh", plan=PlanRecipe(members=members)), dataset, tmp_path)
    assert caught.value.code == "recipe.members"
    assert words in caught.value.what
    assert "--set plan.members=[]" in caught.value.fix
