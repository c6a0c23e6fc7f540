"""A recipe keeps the members that a run chose, and refuses what is no family."""

from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.plan_recipe import MemberRecipe, PlanRecipe
from learn2compress.core.recipe import Recipe

PLAN = PlanRecipe(
    members=(
        MemberRecipe(name="large", input_size="32x32", depth=7, channels=(24, 48), blocks=(2,), in_float32=()),
        MemberRecipe(
            name="fitting-1",
            input_size="24x32",
            width=0.5,
            removals=12,
            given_back=(3, 1),
            targets=("drop<=0.02",),
            cut_out=True,
            in_float32=("conv/relu",),
        ),
        MemberRecipe(name="tiny", input_size="32x32", cut="block_3"),
    ),
    chosen_for=("students = 3", "targets = drop<=0.02"),
    larger="40,000 bytes (--target 'size<=40KB')",
)


def test_the_members_that_are_written_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    recipe = Recipe(targets=("drop<=0.02",), plan=PLAN)
    recipe.write(file, "")
    assert Recipe.compose(file) == recipe
    assert "[[plan.members]]" in file.read_text(encoding="utf-8")
    # What is asked for again is the same run, and without the members another.
    assert recipe.differences(Recipe.compose(file)) == []
    (first, *_) = recipe.differences(Recipe(targets=("drop<=0.02",)))
    assert first.startswith("plan.members")


def test_a_recipe_without_members_says_nothing_of_them(tmp_path: Path) -> None:
    Recipe().write(tmp_path / "recipe.toml", "")
    assert "plan" not in (tmp_path / "recipe.toml").read_text(encoding="utf-8")


def test_the_members_of_a_recipe_can_be_left_out_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    Recipe(plan=PLAN).write(file, "")
    found = Recipe.compose(file, ["plan.members=[]"])
    assert found.plan.members == ()
    assert found.plan.chosen_for == PLAN.chosen_for


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ("[{name = '../large', input_size = '32x32'}]", "pattern"),
        ("[{name = 'large', input_size = '32'}]", "pattern"),
        ("[{name = 'large', input_size = '0x32'}]", "pattern"),
        ("[{name = 'large', input_size = '32x32', channels = [0]}]", "greater than or equal to 1"),
        ("[{name = 'large', input_size = '32x32', removals = -1}]", "greater than or equal to 0"),
        ("[{name = 'large', input_size = '32x32', width = nan}]", "finite"),
        ("[{name = 'a', input_size = '32x32'}, {name = 'a', input_size = '32x32'}]", "two members have one name"),
        ("[{name = 'a', input_size = '32x32', cut_out = true}]", "none of the members is trained"),
    ],
)
def test_members_that_are_none_are_refused(members: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe.compose(settings=[f"plan.members={members}"])
    assert caught.value.code == "recipe.value"
    assert "plan.members" in caught.value.what
    assert words in caught.value.what


@pytest.mark.parametrize(
    ("key", "meant"), [("chanels", "channels"), ("input_sise", "input_size"), ("cut-out", "cut_out"), ("xyz", "name")]
)
def test_a_misspelt_key_of_a_member_is_named_with_what_was_meant(tmp_path: Path, key: str, meant: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(
        f'[[plan.members]]\nname = "a"\ninput_size = "8x8"\n[[plan.members]]\nname = "b"\n{key} = 1\n'
        + 'input_size = "8x8"\n' * (meant != "input_size")
    )
    with pytest.raises(InputError) as caught:
        Recipe.compose(file)
    assert caught.value.code == "recipe.unknown_key"
    assert f"member 2 of [[plan.members]], has the key '{key}'" in caught.value.what
    assert meant in caught.value.fix
    assert ("did you mean" in caught.value.fix) is (key != "xyz")
