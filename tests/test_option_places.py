"""An option of `l2c compress` has one name wherever it stands: in Python, in a recipe, on the command line, in docs.

The docs are held to it too, so whoever adds an option in one of these places is told of the others.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from learn2compress.cli import main
from learn2compress.compress import compress
from learn2compress.core.errors import InputError
from learn2compress.core.recipe import PATHS, Recipe

ROOT = Path(__file__).parents[1]
KEYS = set(Recipe.model_fields)
# What is asked for in a recipe or by --set alone.
RECIPE_ALONE = {"importance", "mixed_loss", "plan", "training", "views"}
OPTIONS = KEYS - RECIPE_ALONE
# What says where and how it runs, and not what comes out.
OF_THE_RUN = {"out", "recipe", "resume", "settings"}
PYTHON_ALONE, COMMAND_ALONE = {"command", "progress"}, {"as_json", "quiet"}


def parameters() -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(compress).parameters)


def first_cells(page: str, heading: str) -> str:
    """The first column of the table that follows a heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(heading)[2]
    rows = re.search(r"(?m)^\| .*\n\|[-| ]*\n((?:\|.*\n)+)", text)
    assert rows
    return "\n".join(row.split(" | ")[0] for row in rows.group(1).splitlines())


def test_python_has_an_argument_for_each_key_of_a_recipe() -> None:
    assert RECIPE_ALONE < KEYS
    assert set(parameters()) == OPTIONS | OF_THE_RUN | PYTHON_ALONE


def test_the_command_line_has_an_option_for_each_key_of_a_recipe() -> None:
    assert {parameter.name for parameter in main.commands["compress"].params} == OPTIONS | OF_THE_RUN | COMMAND_ALONE


def test_what_is_not_given_in_python_is_left_to_the_recipe() -> None:
    assert {name: parameters()[name].default for name in OPTIONS} == dict.fromkeys(OPTIONS)


def test_the_docstring_and_the_page_on_python_have_every_argument() -> None:
    arguments = (inspect.getdoc(compress) or "").partition("Args:")[2].partition("Returns:")[0]
    named = re.findall(r"(?m)^ {4}(\w[\w, ]*):", arguments)
    assert {name for names in named for name in names.split(", ")} == set(parameters())
    assert set(re.findall(r"`(\w+)`", first_cells("python.md", "# Python"))) == set(parameters())


def test_the_page_on_the_command_line_has_every_option_in_its_table() -> None:
    options = {name for parameter in main.commands["compress"].params for name in parameter.opts if "--" in name}
    assert set(re.findall(r"--[a-z-]+", first_cells("cli.md", "## `l2c compress"))) == options - {"--json"}


@pytest.mark.parametrize("name", sorted(OPTIONS - set(PATHS)))
def test_what_is_given_in_python_is_read_under_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        compress("model.keras", "photos", out=tmp_path / "family", **{name: object()})
    assert caught.value.code == "recipe.value"
    assert caught.value.what.startswith(f"{name} = ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_is_given_in_python_is_read_under_its_name(tmp_path: Path, name: str) -> None:
    inputs: dict[str, Any] = {"model": "model.keras", "data": "photos", name: tmp_path / "family" / "models" / "mine"}
    with pytest.raises(InputError) as caught:
        compress(**inputs, out=tmp_path / "family")
    assert caught.value.code == "out.holds_input"
    assert str(inputs[name]) in caught.value.what
