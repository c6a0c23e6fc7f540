"""Options are checked before anything heavy is done."""

from __future__ import annotations

from typing import Any

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.options import Options, read_size
from learn2compress.core.recipe import Recipe, ViewsRecipe


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"students": 0}, "option.students"),
        ({"students": -1}, "option.students"),
        ({"students": 9}, "option.students"),
        ({"students": 2.5}, "option.students"),
        ({"students": "3"}, "option.students"),
        ({"budget": "5s"}, "option.budget"),
        ({"input_size": "big"}, "option.input_size"),
        ({"input_size": "0"}, "option.input_size"),
        ({"input_size": "1x2x3"}, "option.input_size"),
        ({"input_size": "224x"}, "option.input_size"),
        ({"budget": 29.9}, "option.budget"),
        ({"budget": float("nan")}, "option.budget"),
        ({"budget": -60}, "option.budget"),
        ({"budget": "a while"}, "units.malformed"),
        ({"route": "scratch"}, "option.route"),
        ({"seed": -1}, "option.seed"),
        ({"seed": 1.5}, "option.seed"),
        ({"targets": ["size<=100KB", "quick"]}, "target.malformed"),
        ({"sparsity": 1.0}, "option.sparsity"),
        ({"sparsity": float("nan")}, "option.sparsity"),
        ({"mixed": "on"}, "option.mixed"),
        ({"backend": "jax", "teacher": "joint"}, "option.backend"),
        ({"views": ViewsRecipe(mixed=True), "teacher": "joint"}, "option.mixed_views"),
        # Of several mistakes the first in this order is told.
        ({"students": 0, "budget": "5s", "seed": -1}, "option.students"),
        ({"budget": "5s", "route": "scratch", "targets": ["quick"]}, "option.budget"),
    ],
)
def test_an_option_out_of_range_is_refused(given: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError) as caught:
        Options.of(Recipe.model_construct(**given))
    assert caught.value.code == code
    assert caught.value.fix


def test_what_is_written_with_units_is_read_and_the_recipe_stays_as_it_is() -> None:
    recipe = Recipe(students=2, targets=("size<=100KB", "drop<=1%"), budget="1h30m", input_size="192x256", seed=7)
    options = Options.of(recipe)
    assert options.recipe is recipe
    assert [target.bound for target in options.targets] == [100_000, 0.01]
    assert (options.budget_seconds, options.input_size) == (5400, (192, 256))


def test_a_budget_may_be_a_number_of_seconds() -> None:
    assert Options.of(Recipe.model_construct(budget=90)).budget_seconds == 90


@pytest.mark.parametrize(("text", "size"), [("auto", None), ("224", (224, 224)), ("192x256", (192, 256))])
def test_the_size_of_images_is_a_side_or_height_and_width(text: str, size: tuple[int, int] | None) -> None:
    assert read_size(text) == size
