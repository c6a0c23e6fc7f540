"""What a run has found out is taken over for the same budget and route, and left aside for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.options import Options
from learn2compress.core.recipe import PRESETS, Recipe, TrainingRecipe, ViewsRecipe
from learn2compress.core.rerun import composed as composed_with

FOUND = TrainingRecipe(optimizer="muon", peak=0.06, batch_size=256, joint_steps=900, quantization_steps=90)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recipe as a run writes it."""
    path = tmp_path / "recipe.toml"
    views = ViewsRecipe(count=7, mirrored=True, mixed=True)
    Recipe(model="m.keras", data="photos", route="fresh", budget="20m", views=views, training=FOUND).write(path, "")
    return path


def composed(file: Path, *settings: str, **given: Any) -> tuple[Recipe, tuple[str, ...]]:
    return composed_with(file, settings, {**dict.fromkeys(("budget", "preset", "route", "seed")), **given})


def test_a_recipe_alone_stays_as_it_is(file: Path) -> None:
    for given in ({}, {"seed": 3}, {"route": "fresh"}):
        recipe, notes = composed(file, **given)
        assert (recipe.training, recipe.views.count, notes) == (FOUND, 7, ())


@pytest.mark.parametrize(
    ("settings", "given", "budget"),
    [
        ([], {"budget": "60m"}, "60m"),
        (["budget=60m"], {}, "60m"),
        ([], {"preset": "fast"}, PRESETS["fast"]["budget"]),
        (["preset=fast"], {}, PRESETS["fast"]["budget"]),
    ],
)
def test_a_budget_beside_a_recipe_decides_on_steps_and_views(
    file: Path, settings: list[str], given: dict[str, Any], budget: str
) -> None:
    recipe, (note,) = composed(file, *settings, **given)
    assert recipe.budget == budget
    assert recipe.training == FOUND.model_copy(update={"joint_steps": None, "quantization_steps": None})
    assert recipe.views == ViewsRecipe(mirrored=True)
    for key in ("training.joint_steps", "training.quantization_steps", "views.count", "views.mixed", budget):
        assert key in note


def test_another_route_beside_a_recipe_leaves_its_training_aside(file: Path) -> None:
    recipe, (note,) = composed(file, route="cuts")
    assert recipe.training == TrainingRecipe()
    assert recipe.views == ViewsRecipe(count=7, mirrored=True)
    for word in ("views.mixed", "fresh", "cuts", "training.peak", "training.joint_steps"):
        assert word in note


def test_what_is_set_beside_a_recipe_stays_set(file: Path) -> None:
    recipe, notes = composed(file, "training.joint_steps=50", "views.count=2", "training.peak=0.01", budget="60m")
    assert (recipe.training.joint_steps, recipe.views.count, recipe.training.peak) == (50, 2, 0.01)
    assert recipe.training.quantization_steps is None
    assert "joint_steps" not in notes[0]
    recipe, _ = composed(file, "training.peak=0.01", route="cuts", budget="60m")
    assert recipe.training == TrainingRecipe(peak=0.01)
    assert recipe.views.count is None


def test_a_recipe_that_someone_wrote_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('route = "fresh"\n[views]\ncount = 8\n[training]\npeak = 0.02\n')
    recipe, notes = composed(file, budget="60m", route="cuts")
    assert (recipe.views.count, recipe.training.peak, recipe.route, notes) == (8, 0.02, "cuts", ())


def test_the_same_command_again_asks_for_the_same(file: Path, tmp_path: Path) -> None:
    first, _ = composed(file, budget="60m", route="cuts")
    again, _ = composed(file, budget="60m", route="cuts")
    assert first.differences(again) == []
    # What an unfinished run keeps of it is read as it is, whatever is given again.
    first.write(tmp_path / "begun.toml", "")
    assert composed(tmp_path / "begun.toml", budget="60m", route="cuts") == (first, ())


def test_mixed_views_that_were_found_out_for_a_fixed_teacher_are_left_aside_beside_one_that_learns(
    file: Path,
) -> None:
    recipe, (note,) = composed(file, teacher="joint")
    assert recipe.views == ViewsRecipe(count=7, mirrored=True)
    assert recipe.training == FOUND
    assert "views.mixed" in note
    Options.of(recipe)
    # Who asks for both is refused.
    both, _ = composed(file, "views.mixed=true", teacher="joint")
    with pytest.raises(InputError) as caught:
        Options.of(both)
    assert caught.value.code == "option.mixed_views"
