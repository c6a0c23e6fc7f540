"""Options are checked before anything heavy is done."""

from __future__ import annotations

from typing import Any

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.options import Options, read_size
from learn2compress.core.recipe import Recipe


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
    ],
)
def test_an_option_out_of_range_is_refused(given: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError) as caught:
        Options.of(Recipe.model_construct(**given))
    assert caught.value.code == code
    assert caught.value.fix


def test_options_are_read_into_plain_values() -> None:
    options = Options.of(
        Recipe.model_construct(students=2, targets=["size<=100KB", "drop<=1%"], budget="1h30m", seed=7)
    )
    assert [target.bound for target in options.targets] == [100_000, 0.01]
    assert (options.budget_seconds, options.students, options.seed) == (5400, 2, 7)


def test_a_budget_may_be_a_number_of_seconds() -> None:
    assert Options.of(Recipe.model_construct(budget=90)).budget_seconds == 90


@pytest.mark.parametrize(("text", "size"), [("auto", None), ("224", (224, 224)), ("192x256", (192, 256))])
def test_the_size_of_images_is_a_side_or_height_and_width(text: str, size: tuple[int, int] | None) -> None:
    assert read_size(text) == size
