"""Smaller batches on the way: as long as no training is under way, and no further than what trains."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.folder import check_folder, run_folder
from learn2compress.core.recipe import Recipe, TrainingRecipe
from learn2compress.stages.batch_size import KEY, changeable, take_batch_size, with_smaller_batches
from learn2compress.train.checkpoint import Reached
from learn2compress.train.settings import SETTINGS

UNDER_WAY = Reached(20, 40, 0.5, 10.0)
FINISHED = replace(UNDER_WAY, finished=True)


def keep_plan(folder: Path, kind: str, size: int, key: str = "chosen") -> Path:
    place = folder / key / kind / "plan.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"kind": kind, "settings": {"batch_size": size, "peak": 0.1}, "specs": []}))
    return place


def keep_training(folder: Path, name: str, reached: Reached) -> None:
    np.savez(folder / f"{name}.npz", reached=np.array(json.dumps(asdict(reached))))


def batch_size(plan: Path) -> Any:
    fields = json.loads(plan.read_text())
    assert fields["settings"]["peak"] == 0.1
    return fields["settings"]["batch_size"]


@pytest.mark.parametrize(
    ("trainings", "may_change"),
    [
        ({}, True),
        ({"trial-cuts": UNDER_WAY}, True),
        ({"joint": UNDER_WAY}, False),
        ({"joint": FINISHED}, True),
        ({"joint": FINISHED, "quantization": UNDER_WAY}, False),
        ({"joint": FINISHED, "quantization": FINISHED}, False),
    ],
)
def test_the_batch_size_may_change_as_long_as_no_training_is_under_way(
    tmp_path: Path, trainings: dict[str, Reached], may_change: bool
) -> None:
    plan = keep_plan(tmp_path, "cuts", 32)
    for name, reached in trainings.items():
        keep_training(tmp_path, name, reached)
    assert changeable(tmp_path) == ((KEY,) if may_change else ())
    take_batch_size(Checkpoints(tmp_path), 8, (64, 64))
    assert batch_size(plan) == (8 if may_change else 32)


def test_a_training_that_can_not_be_read_begins_anew_with_any_batch_size(tmp_path: Path) -> None:
    (tmp_path / "joint.npz").write_bytes(b"damaged")
    assert changeable(tmp_path) == (KEY,)


def test_every_plan_that_is_kept_gets_the_batch_size_that_is_asked_for_and_else_its_own(tmp_path: Path) -> None:
    plans = [keep_plan(tmp_path, kind, 16, "planned") for kind in ("students", "prunings")]
    damaged = keep_plan(tmp_path, "cuts", 16, "planned-cuts")
    damaged.write_text("{")
    run = Checkpoints(tmp_path)
    take_batch_size(run, 8, (64, 64))
    assert [batch_size(plan) for plan in plans] == [8, 8]
    take_batch_size(run, None, (64, 64))
    assert [batch_size(plan) for plan in plans] == [SETTINGS["students"].batch_size, SETTINGS["prunings"].batch_size]
    take_batch_size(run, None, (224, 224))
    assert [batch_size(plan) for plan in plans] == [128, 32]
    assert damaged.read_text() == "{"


def test_the_command_to_go_on_with_halves_the_smallest_batch(tmp_path: Path) -> None:
    work = tmp_path / "my family" / "checkpoints"
    assert with_smaller_batches(work) == ""
    for kind, size in (("students", 256), ("prunings", 64)):
        keep_plan(work, kind, size, "planned")
    command = f"l2c compress --resume --out '{tmp_path / 'my family'}' --set training.batch_size=32"
    assert with_smaller_batches(work).endswith(command)
    assert with_smaller_batches(work, 64).endswith(command)
    assert with_smaller_batches(work, 32) == ""  # as this process does
    keep_training(work, "joint", UNDER_WAY)
    assert with_smaller_batches(work).startswith("begin anew")
    assert with_smaller_batches(work).endswith("--set training.batch_size=32")


def test_of_the_smallest_batch_no_smaller_one_is_advised(tmp_path: Path) -> None:
    keep_plan(tmp_path, "cuts", 3)
    assert with_smaller_batches(tmp_path) == ""


def test_a_run_that_was_killed_in_its_training_goes_on_with_smaller_batches(tmp_path: Path) -> None:
    asked = Recipe(model="/teacher.keras", data="/photos")
    smaller = asked.model_copy(update={"training": TrainingRecipe(batch_size=8)})

    def stop(recipe: Recipe) -> None:
        with run_folder(check_folder(tmp_path), recipe, changeable) as run:
            run.recall("planned", lambda: ["cuts"])
            raise KeyboardInterrupt

    for recipe in (asked, smaller):
        with pytest.raises(KeyboardInterrupt):
            stop(recipe)
        # What goes on from here does so with the last that was asked for.
        assert not recipe.differences(Recipe.compose(tmp_path / "checkpoints" / "recipe.toml"))
    keep_training(tmp_path / "checkpoints", "joint", UNDER_WAY)
    with pytest.raises(InputError, match=r"training\.batch_size: None here, 8 there") as caught:
        stop(asked)
    assert caught.value.code == "run.unfinished"
    with pytest.raises(KeyboardInterrupt):
        stop(smaller)
    with pytest.raises(InputError, match="budget"):
        stop(smaller.model_copy(update={"budget": "1h"}))
