"""A disk that gets full in the middle of a run: what could not be written is named, and what was there stays."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.folder import run_folder
from learn2compress.core.progress import SILENT
from learn2compress.core.recipe import Recipe
from learn2compress.core.whole_files import write_whole
from learn2compress.stages.failures import legible_failures
from learn2compress.train.checkpoint import Reached, TrainingCheckpoint

FULL = Path("/dev/full")


def keep_training(folder: Path) -> None:
    family: Any = SimpleNamespace(models=())
    TrainingCheckpoint(folder / "joint.npz").save(family, Reached(1, 1, 1.0, 1.0, finished=True))


WRITES: dict[str, Callable[[Path], Any]] = {
    "state.json": lambda folder: Checkpoints(folder).recall("views", lambda: 3),
    "early.json": lambda folder: Checkpoints(folder).recall_early("order", lambda: [3]),
    "joint.npz": keep_training,
    "small.tflite": lambda folder: write_whole(folder / "small.tflite", b"TFL3"),
}


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", WRITES)
def test_the_file_that_could_not_be_written_is_named_and_written_the_next_time(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.part").symlink_to(FULL)
    with pytest.raises(InputError) as caught, legible_failures(tmp_path / "family"):
        WRITES[name](tmp_path)
    assert caught.value.code == "disk.full"
    assert f"{tmp_path / name} could not be written" in caught.value.what
    assert list(tmp_path.iterdir()) == []
    WRITES[name](tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_so_is_the_folder_of_a_plan(
    bright: Callable[[int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learn2compress.core.options import Options
    from learn2compress.stages import saved
    from learn2compress.stages.planning import Planning, plan_families
    from learn2compress.tasks import IMAGE_CLASSIFICATION

    teacher: Any = SimpleNamespace(
        name="teacher", classes=3, channels=3, parameters=100_000, input_size=(16, 16), licence=""
    )
    options = Options.of(Recipe.model_construct(budget="1m", route="fresh", students=1))
    planning = Planning(IMAGE_CLASSIFICATION, teacher, bright(16), options, tmp_path / "staging", SILENT)
    plans = plan_families(planning)

    def full(*arguments: Any, **arrays: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = Checkpoints(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(saved.np, "savez", full)
        with pytest.raises(InputError) as caught, legible_failures(tmp_path):
            saved.recalled_plans(run, "planned", lambda: plans)
    assert f"{tmp_path / 'planned' / 'students'} could not be written" in caught.value.what
    # What is there of it is no plan.
    (found,) = saved.recalled_plans(Checkpoints(tmp_path), "planned", lambda: plans)
    assert found.specs == plans[0].specs


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk.full"), (errno.EDQUOT, "disk.full"), (errno.EROFS, "out.not_writable")]
)
def test_a_full_disk_is_no_reason_for_another_folder_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def refused(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(path))

    folder, asked = tmp_path / "family", Recipe(model="/teacher.keras", data="/photos")
    monkeypatch.setattr(Path, "touch", refused)
    with pytest.raises(InputError) as caught, legible_failures(folder), run_folder(folder, asked):
        pass
    assert caught.value.code == code
