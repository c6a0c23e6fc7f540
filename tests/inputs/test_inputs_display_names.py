"""Class names in other languages are read, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.recipe import Recipe
from learn2compress.inputs.display_names import read_display_names, split_display_labels

CLASSES = ("dress", "hat")


def test_each_language_has_one_name_a_class(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("\ufeffKleid\r\nHut\r\n", encoding="utf-8")
    (tmp_path / "pt=br.txt").write_text("vestido\nchapéu", encoding="utf-8")
    given = [f"de={tmp_path / 'de.txt'}", f"pt-BR={tmp_path / 'pt=br.txt'}"]
    assert read_display_names(given, CLASSES) == {"de": ("Kleid", "Hut"), "pt-BR": ("vestido", "chapéu")}
    assert read_display_names((), CLASSES) == {}


@pytest.mark.parametrize("given", [["de"], ["=file"], ["de="], ["../x=file"], ["DE=file"], ["de=a", "de=b"]])
def test_what_is_no_locale_with_a_file_is_refused(given: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        split_display_labels(given)
    assert caught.value.code == "option.display_labels"
    assert caught.value.fix


@pytest.mark.parametrize("content", [b"Kleid\n", b"Kleid\nHut\nSchuh\n", b"Kleid\n \n", b"\xff\xfe\x00", None])
def test_a_file_without_one_name_a_class_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "de.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="de") as caught:
        read_display_names([f"de={path}"], CLASSES)
    assert caught.value.code == "labels.display"


def test_in_a_recipe_the_files_are_relative_to_it(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('display_labels = ["de=labels/de.txt"]\nteacher_licence = "MIT"\n')
    composed = Recipe.compose(recipe)
    assert composed.display_labels == (f"de={tmp_path / 'labels' / 'de.txt'}",)
    composed.write(tmp_path / "again.toml", "")
    assert Recipe.compose(tmp_path / "again.toml") == composed
