"""What a run is asked for, from all the places where it may stand."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.folder import check_folder, run_folder
from learn2compress.export.convert import check_backend
from learn2compress.stages.asked import asked_for
from learn2compress.stages.failures import legible_failures

NOTHING = dict.fromkeys(("model", "data", "test_data", "labels"))


def asked(folder: Path, recipe: Path | None = None, *settings: str, resume: bool = False, **given: Any) -> Any:
    return asked_for(folder, {**NOTHING, **given}, recipe, settings, resume=resume)


def test_paths_stand_in_the_recipe_and_live_objects_do_not(tmp_path: Path) -> None:
    def live() -> None:
        pass

    found = asked(tmp_path, model=live, data="photos", labels=["a", "b"])
    assert (found.model, found.data, found.labels) == (live, str(Path("photos").absolute()), ["a", "b"])
    assert found.recipe.model == found.recipe.labels == ""
    assert Path(found.recipe.data).is_absolute()


def test_a_recipe_may_name_model_and_data(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('model = "m.keras"\ndata = "photos"\n')
    found = asked(tmp_path / "out", recipe, data="others")
    assert (found.model, found.data) == (str(tmp_path / "m.keras"), str(Path("others").absolute()))


@pytest.mark.parametrize("inside", ["teacher.keras", "models/large.keras", "checkpoints/photos"])
def test_an_input_that_the_run_would_replace_is_refused(tmp_path: Path, inside: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(tmp_path, model=tmp_path / inside, data="photos")
    assert caught.value.code == "out.holds_input"
    assert asked(tmp_path, model=tmp_path / "mine.keras", data="photos").recipe.model


def test_a_path_that_is_set_is_taken_from_where_the_command_runs(tmp_path: Path) -> None:
    found = asked(tmp_path, None, "data=others", model="m.keras", data="photos")
    assert found.recipe.data == str(Path("others").absolute())


@pytest.mark.parametrize("missing", ["model", "data"])
def test_without_a_model_or_data_there_is_no_run(tmp_path: Path, missing: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(tmp_path, **{key: "here" for key in ("model", "data") if key != missing})
    assert caught.value.code == f"option.{missing}"


def test_an_unfinished_run_says_what_was_asked_for(tmp_path: Path) -> None:
    begun = asked(tmp_path, model="m.keras", data="photos", budget="1h")

    def stop() -> None:
        with run_folder(check_folder(tmp_path), begun.recipe) as run:
            run.recall("plan", lambda: 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert asked(tmp_path, resume=True).recipe == begun.recipe
    assert not asked(tmp_path, resume=True).finished
    assert asked(tmp_path, resume=True, budget="2h").recipe.budget == "2h"
    with pytest.raises(InputError):
        asked(tmp_path)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "file"), "disk.full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "file"), "disk.full"),
        (MemoryError(), "memory.exhausted"),
        (type("ResourceExhaustedError", (Exception,), {})(), "memory.exhausted"),
    ],
)
def test_a_full_disk_and_used_up_memory_are_named_with_the_way_on(tmp_path: Path, error: Any, code: str) -> None:
    with pytest.raises(InputError) as caught, legible_failures(Checkpoints(tmp_path)):
        raise error
    assert caught.value.code == code
    assert "same command again" in caught.value.fix


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), ValueError("x"), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), legible_failures(Checkpoints(tmp_path)):
        raise error


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    check_backend()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="jax") as caught:
        check_backend()
    assert caught.value.code == "backend.unsupported"


def test_a_budget_beside_the_recipe_of_a_run_decides_anew_and_the_same_command_goes_on(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'model = "m.keras"\ndata = "photos"\nroute = "fresh"\nbudget = "20m"\n'
        "[views]\ncount = 7\n[training]\npeak = 0.06\njoint_steps = 900\n"
    )
    as_it_was = asked(tmp_path / "out", recipe)
    assert (as_it_was.recipe.training.joint_steps, as_it_was.recipe.views.count, as_it_was.notes) == (900, 7, ())
    found = asked(tmp_path / "out", recipe, budget="1h")
    assert (found.recipe.training.joint_steps, found.recipe.views.count) == (None, None)
    assert found.recipe.training.peak == 0.06
    assert len(found.notes) == 1

    def stop() -> None:
        with run_folder(check_folder(tmp_path / "out"), found.recipe) as run:
            run.recall("plan", lambda: 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    for again in (asked(tmp_path / "out", recipe, budget="1h"), asked(tmp_path / "out", resume=True, budget="1h")):
        assert again.recipe == found.recipe
