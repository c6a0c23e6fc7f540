"""Which files can be asked for, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.options import Options
from learn2compress.core.precision import FULL_INT8, PRECISIONS, FileFormat, file_formats
from learn2compress.core.recipe import Recipe


def test_by_default_a_file_is_int8_with_pixels_in_and_probabilities_out() -> None:
    options = Options.of(Recipe())
    assert options.formats == (FULL_INT8,)
    assert options.formats[0] == FileFormat("int8", "uint8", "uint8", "probabilities")
    assert (options.mixed, options.recipe.mixed_loss, options.rounded_in_training) == (True, 0.01, True)


@pytest.mark.parametrize(
    "given", ["int8, float16,dynamic", ["int8", "float16,dynamic"], ("int8", "float16", "dynamic")]
)
def test_several_precisions_are_read_with_commas_and_in_a_list(given: Any) -> None:
    options = Options.of(Recipe.compose(given={"precision": given}))
    assert [written.precision for written in options.formats] == ["int8", "float16", "dynamic"]
    assert [written.input_type for written in options.formats] == ["uint8", "float32", "float32"]


def test_a_recipe_keeps_them(tmp_path: Path) -> None:
    recipe = Recipe.compose(given={"precision": "float32,int8", "output": "logits"}, settings=["mixed_loss=0.02"])
    recipe.write(tmp_path / "recipe.toml", "")
    assert Recipe.compose(tmp_path / "recipe.toml") == recipe
    assert recipe.mixed_loss == 0.02


@pytest.mark.parametrize("name", PRECISIONS)
def test_only_what_is_rounded_in_training_needs_that_training(name: str) -> None:
    (written,) = file_formats([name])
    assert Options.of(Recipe.compose(given={"precision": name})).rounded_in_training == name.startswith("int8")
    assert written.meaning
    assert written.input_type in PRECISIONS[name].types


@pytest.mark.parametrize(
    ("given", "code", "fix"),
    [
        ({"precision": "flaot16"}, "option.precision", "float16"),
        ({"precision": "quarter"}, "option.precision", "dynamic"),
        ({"precision": ""}, "option.precision", "use"),
        ({"precision": []}, "option.precision", "int8"),
        ({"precision": "int8,int8"}, "option.precision", "int8"),
        ({"input_type": "int16"}, "option.input_type", "uint8"),
        ({"precision": "float16", "input_type": "uint8"}, "option.input_type", "--input-type"),
        ({"precision": "int8,int16x8", "output_type": "int8"}, "option.output_type", "--output-type"),
        ({"output": "both"}, "option.output", "logits"),
        ({"mixed": "yes"}, "option.mixed", "off"),
    ],
)
def test_what_can_not_be_written_is_refused_with_a_way_out(given: dict[str, Any], code: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        Options.of(Recipe.compose(given=given))
    assert caught.value.code == code
    assert fix in caught.value.fix
