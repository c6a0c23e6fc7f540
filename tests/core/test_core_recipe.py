"""A recipe says all that determines a run, and what is wrong with it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.errors import InputError
from learn2compress.core.options import Options
from learn2compress.core.recipe import PRESETS, Recipe, TrainingRecipe, ViewsRecipe, keys


def test_without_anything_a_recipe_is_the_balanced_preset() -> None:
    recipe = Recipe.compose()
    assert recipe == Recipe()
    assert (recipe.preset, recipe.budget) == ("balanced", PRESETS["balanced"]["budget"])


def test_later_ones_go_before_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('preset = "fast"\nseed = 1\nstudents = 2\nroute = "cuts"\n[training]\npeak = 0.5\nwarmup = 0.2\n')
    recipe = Recipe.compose(file, ["training.peak=0.25", "students=4"], {"seed": 7, "budget": None})
    assert (recipe.budget, recipe.seed, recipe.students, recipe.route) == ("5m", 7, 4, "cuts")
    assert (recipe.training.peak, recipe.training.warmup) == (0.25, 0.2)


def test_a_preset_that_is_given_goes_before_the_file_and_not_before_what_is_given(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('budget = "1h"\n')
    assert Recipe.compose(file, (), {"preset": "fast"}).budget == "5m"
    assert Recipe.compose(file, (), {"preset": "fast", "budget": "2m"}).budget == "2m"


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('model = "m.keras"\ndata = "/photos"\n')
    recipe = Recipe.compose(file)
    assert (recipe.model, recipe.data) == (str(tmp_path / "m.keras"), "/photos")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20)


@given(
    recipe=st.builds(
        Recipe,
        preset=st.sampled_from(["fast", "best"]),
        targets=st.tuples(TEXTS, TEXTS),
        budget=st.one_of(TEXTS, st.floats(1, 1e6)),
        preprocess=TEXTS,
        sparsity=st.floats(0, 1),
        framing=st.sampled_from(["crop", "squeeze"]),
        backend=st.sampled_from(["tensorflow", "jax"]),
        seed=st.integers(0, 2**31),
        views=st.builds(ViewsRecipe, count=st.one_of(st.none(), st.integers(1, 100))),
        training=st.builds(TrainingRecipe, peak=st.floats(1e-9, 10), optimizer=st.sampled_from([None, "muon"])),
    )
)
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> None:
    file = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    recipe.write(file, "two\nlines")
    assert file.read_text(encoding="utf-8").startswith("# two\n# lines\n")
    # An empty text is what is not set: then the default stands.
    left = {name: Recipe().model_dump()[name] for name in ("budget", "preprocess") if not getattr(recipe, name)}
    preset = PRESETS[recipe.preset]["budget"]
    expected = recipe.model_copy(update={**left, **({"budget": preset} if not recipe.budget else {})})
    assert Recipe.compose(file) == expected


@pytest.mark.parametrize(
    ("setting", "code", "words"),
    [
        ("peak", "recipe.setting", "KEY=VALUE"),
        ("=3", "recipe.setting", "KEY=VALUE"),
        ("peek=3", "recipe.unknown_key", "training.peak"),
        ("studnts=3", "recipe.unknown_key", "students"),
        ("training.warmpu=3", "recipe.unknown_key", "training.warmup"),
        ("xyz=3", "recipe.unknown_key", "training.peak"),
        ("training=3", "recipe.unknown_key", "training"),
        ("training.peak=-1", "recipe.value", "training.peak"),
        ("training.optimizer=lion", "recipe.value", "muon"),
        ("views.count=0", "recipe.value", "views.count"),
        ("students=two", "recipe.value", "students"),
        ("budget=[1]", "recipe.value", "budget"),
        ("training.peak=inf", "recipe.value", "finite"),
        ("training.decay=1e999", "recipe.value", "training.decay"),
        ("training.temperature=nan", "recipe.value", "training.temperature"),
        ("mixed_loss=nan", "recipe.value", "mixed_loss"),
        ("input_size=true", "recipe.value", "input_size"),
        ("input_size=22.4", "recipe.value", "input_size"),
        ("preset=slow", "recipe.value", "balanced"),
        ("framing=stretch", "recipe.value", "'crop' or 'squeeze'"),
        ("frame=squeeze", "recipe.unknown_key", "framing"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(setting: str, code: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe.compose(settings=[setting])
    assert caught.value.code == code
    assert words in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("students = ", "recipe.malformed"),
        ("\xff\xfe", "recipe.malformed"),
        ("colour = 1", "recipe.unknown_key"),
        ("[training]\ncolour = 1", "recipe.unknown_key"),
        ("training = 1", "recipe.value"),
        ("model = 1", "recipe.value"),
        ("preset = 1", "recipe.value"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        Recipe.compose(file)
    assert caught.value.code == code
    assert "recipe" in str(caught.value)


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Recipe.compose(tmp_path / "recipe.toml")
    assert caught.value.code == "recipe.not_found"


@pytest.mark.parametrize("value", ["224", '"224"', '"192x256"', "192x256", "auto"])
def test_the_size_of_images_may_be_a_number(tmp_path: Path, value: str) -> None:
    expected = {"192x256": (192, 256), "auto": None}.get(value.strip('"'), (224, 224))
    assert Options.of(Recipe.compose(settings=[f"input_size={value}"])).input_size == expected
    file = tmp_path / "recipe.toml"
    if value not in ("192x256", "auto"):  # words without quotes are no TOML
        file.write_text(f"input_size = {value}\n")
        read = Recipe.compose(file)
        assert Options.of(read).input_size == expected
        # Asked for again by the command line, whose sizes are words, it is the same run.
        assert not read.differences(Recipe.compose(given={"input_size": value.strip('"')}))


def test_in_python_the_size_of_images_may_be_a_number_of_numpy() -> None:
    assert Recipe.compose(given={"input_size": np.int64(224)}) == Recipe.compose(given={"input_size": 224})


def test_a_licence_is_kept_without_the_blanks_around_it() -> None:
    recipe = Recipe.compose(given={"teacher_licence": " CC BY 4.0\n", "data_licence": "  "})
    assert (recipe.teacher_licence, recipe.data_licence) == ("CC BY 4.0", "")


def test_every_key_can_be_set() -> None:
    values: dict[str, Any] = {
        "preset": "fast",
        "views.mirrored": "true",
        "views.mixed": "true",
        "training.optimizer": "sgd",
        "importance": "activation energy",
        "plan.members": "[{name = 'small', input_size = '8x8'}]",
        "plan.chosen_for": "['students = 3']",
        "plan.larger": "more",
    }
    values |= {
        "training.dtype": "float32",
        "teacher": "joint",
        "backend": "jax",
        "precision": "int8,float16",
        "framing": "squeeze",
    }
    numbers = {"views.count": 3, "training.batch_size": 8}
    shares = dict.fromkeys(("training.hard", "training.momentum", "training.warmup", "sparsity"), 0.5)
    for key in keys():
        value = {**values, **numbers, **shares}.get(key, 1 if key.endswith(("steps", "students", "seed")) else 0.25)
        if isinstance(getattr(Recipe(), key, None), str) and key not in values:
            value = "word"
        elif key == "targets":
            value = "['size<=1KB']"
        elif key == "display_labels":
            value = "['de=labels.txt']"
        assert Recipe.compose(settings=[f"{key}={value}"]) != Recipe(), key


@pytest.mark.parametrize("way", ["option", "setting"])
def test_a_preset_goes_before_the_recipe_and_behind_what_is_given(tmp_path: Path, way: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('budget = "3m"\npreset = "best"\n')
    assert Recipe.compose(file).budget == "3m"
    given, settings = ({"preset": "fast"}, []) if way == "option" else ({}, ["preset=fast"])
    assert Recipe.compose(file, settings, given).budget == PRESETS["fast"]["budget"]
    assert Recipe.compose(file, settings, {**given, "budget": "7m"}).budget == "7m"
    assert Recipe.compose(file, [*settings, "budget=8m"], given).budget == "8m"


def test_a_recipe_is_checked_as_options_are() -> None:
    with pytest.raises(InputError) as caught:
        Options.of(Recipe.compose(settings=["students=0"]))
    assert caught.value.code == "option.students"
