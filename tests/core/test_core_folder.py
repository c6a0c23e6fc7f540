"""The folder of a run: filled whole or not at all, and never at the cost of the user's own files."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from learn2compress.core.cache import cache_folder
from learn2compress.core.checkpoints import CHECKPOINTS, Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.folder import PARTS, check_folder, complete, run_folder, unfinished
from learn2compress.core.processes import environment
from learn2compress.core.recipe import Recipe


def fill(folder: Path, word: str) -> None:
    """All that a run writes."""
    for part in PARTS:
        if "." in part:
            (folder / part).write_text(word)
        else:
            (folder / part).mkdir()
            (folder / part / f"{word}.tflite").write_text(word)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


ASKED = Recipe(model="/teacher.keras", data="/photos")


def test_all_that_was_staged_arrives_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "family"
    with run_folder(check_folder(out), ASKED) as run:
        run.recall("plan", lambda: 1)
        fill(run.staging, "new")
        (run.staging / "scratch").mkdir()
        assert [path.name for path in out.iterdir()] == [CHECKPOINTS]
    assert {path.name for path in out.iterdir()} == set(PARTS)
    assert set(contents(out).values()) == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def stopped(out: Path, error: type[BaseException], *, reached: bool, word: str = "new") -> None:
    """A run that fills the staging folder, lays something by or not, and fails."""

    def fail() -> None:
        with run_folder(check_folder(out), ASKED) as run:
            fill(run.staging, word)
            if reached:
                run.recall("plan", lambda: word)
            raise error

    with pytest.raises(error):
        fail()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, InputError])
def test_a_run_that_fails_before_it_has_reached_anything_leaves_nothing(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def fail() -> None:
        with run_folder(check_folder(tmp_path / "deep" / "family"), ASKED) as run:
            fill(run.staging, "new")
            raise error("code", "what") if error is InputError else error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_time_of_a_run_that_is_stopped_counts_to_its_last_moment(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: hands[0])

    def fail() -> None:
        with run_folder(check_folder(tmp_path / "family"), ASKED) as run, run.clock.stage("export"):
            run.recall("plan", lambda: 1)
            hands[0] += 40
            raise error

    with pytest.raises(error):
        fail()
    hands[0] = 7.0
    with run_folder(check_folder(tmp_path / "family"), ASKED) as run:
        fill(run.staging, "new")
        assert (run.clock.elapsed, run.clock.seconds) == (40.0, {"export": 40.0})


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_that_has_reached_something_is_gone_on_with(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "family"
    stopped(out, error, reached=True)
    assert unfinished(out) is not None
    with run_folder(check_folder(out), ASKED) as run:
        assert run.resumed
        assert run.recall("plan", lambda: "another") == "new"
    assert {path.name for path in out.iterdir()} == set(PARTS)
    assert unfinished(out) is None


def test_what_was_asked_for_otherwise_is_not_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "family"
    stopped(out, KeyboardInterrupt, reached=True)
    before = contents(out)
    other = ASKED.model_copy(update={"budget": "1h"})
    with pytest.raises(InputError, match="budget: '1h' here, '20m' there") as caught, run_folder(out, other):
        pass
    assert caught.value.code == "run.unfinished"
    assert contents(out) == before


def test_two_runs_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    with run_folder(tmp_path, ASKED) as run:
        run.recall("plan", lambda: 1)
        with pytest.raises(InputError) as caught, run_folder(check_folder(tmp_path), ASKED):
            pass
        assert caught.value.code == "run.under_way"
        fill(run.staging, "new")
    assert {path.name for path in tmp_path.iterdir()} == set(PARTS)


def test_a_run_that_fails_leaves_the_family_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "family"
    out.mkdir()
    fill(out, "old")
    before = contents(out)
    stopped(out, ValueError, reached=False)
    assert contents(out) == before
    stopped(out, ValueError, reached=True)
    after = contents(out)
    assert {name: after[name] for name in before} == before
    with run_folder(check_folder(out), ASKED):
        pass
    assert set(contents(out).values()) == {"new"}


def test_what_someone_else_put_beside_a_failing_run_stays(tmp_path: Path) -> None:
    def fail() -> None:
        with run_folder(check_folder(tmp_path / "results" / "one"), ASKED):
            (tmp_path / "results" / "notes.txt").write_text("mine")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert contents(tmp_path) == {"results/notes.txt": "mine"}


def test_a_run_that_was_killed_before_it_reached_anything_may_begin_otherwise(tmp_path: Path) -> None:
    work = tmp_path / "family" / CHECKPOINTS
    work.mkdir(parents=True)
    (work / ".learn2compress").touch()
    (work / "lock").touch()
    ASKED.write(work / "recipe.toml", "killed while it planned")
    with run_folder(check_folder(tmp_path / "family"), ASKED.model_copy(update={"seed": 3})) as run:
        fill(run.staging, "new")
    assert {path.name for path in (tmp_path / "family").iterdir()} == set(PARTS)


KILLED = """
import contextlib, os, signal, sys
from learn2compress.core.folder import check_folder, run_folder
from learn2compress.core.recipe import Recipe

out, stage, reached = sys.argv[1:]
with run_folder(check_folder(out), Recipe(model="/teacher.keras", data="/photos")) as run:
    if reached:
        run.recall("plan", lambda: 1)
    with run.clock.stage(stage) if stage else contextlib.nullcontext():
        os.kill(os.getpid(), signal.SIGKILL)
"""


def told(out: Path, error: type[BaseException] | None) -> tuple[bool, str | None]:
    """Of a run that reaches something and ends so: whether it goes on, and what it knows of a kill before."""
    found: list[tuple[bool, str | None]] = []
    with contextlib.suppress(*filter(None, [error])), run_folder(check_folder(out), ASKED) as run:
        found.append((run.resumed, run.killed_at))
        with run.clock.stage("export"):
            run.recall("export", lambda: 1)
            if error:
                raise error
    return found[0]


@pytest.mark.parametrize(("asked", "kept"), [(ASKED, True), (ASKED.model_copy(update={"seed": 3}), False)])
def test_what_a_run_found_out_first_is_there_after_a_kill_for_the_same_run_alone(
    tmp_path: Path, asked: Recipe, kept: bool
) -> None:
    work = tmp_path / "family" / CHECKPOINTS
    work.mkdir(parents=True)
    (work / ".learn2compress").touch()
    ASKED.write(work / "recipe.toml", "killed while it planned")
    assert Checkpoints(work).recall_early("order of a", lambda: (1, 2)) == [1, 2]
    with contextlib.suppress(KeyboardInterrupt), run_folder(check_folder(tmp_path / "family"), asked) as run:
        assert not run.resumed
        assert run.recall_early("order of a", lambda: [3]) == ([1, 2] if kept else [3])
        assert run.recall_early("order of b", lambda: [4]) == [4]  # of another teacher
        raise KeyboardInterrupt
    # It is no reason to keep a run that is ended, whose user may want another.
    assert not work.exists()


@pytest.mark.parametrize(("stage", "reached"), [("joint training", True), ("inputs", False), ("", False)])
def test_only_the_next_process_is_told_of_one_that_was_killed(tmp_path: Path, stage: str, reached: bool) -> None:
    out = tmp_path / "family"
    command = [sys.executable, "-c", KILLED, str(out), stage, "reached" if reached else ""]
    assert subprocess.run(command, env=environment(), check=False).returncode == -signal.SIGKILL
    assert told(out, KeyboardInterrupt) == (reached, stage)
    for error in (ValueError, None):
        assert told(out, error) == (True, None)
    assert unfinished(out) is None


@pytest.mark.parametrize("moved", range(len(PARTS) + 1))
def test_a_move_that_was_killed_at_any_moment_is_brought_to_its_end(tmp_path: Path, moved: int) -> None:
    out = tmp_path / "family"
    out.mkdir()
    fill(out, "old")
    stopped(out, KeyboardInterrupt, reached=True)
    run = Checkpoints(out / CHECKPOINTS)
    run.recall("publishing", lambda: True)
    for name in PARTS:  # what the move does first
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in PARTS[:moved]:
        (run.staging / name).replace(out / name)
    with run_folder(check_folder(out), ASKED) as again:
        assert complete(again)
    assert set(contents(out).values()) == {"new"}
    assert {path.name for path in out.iterdir()} == set(PARTS)


def test_a_family_is_replaced_whole_and_other_files_beside_it_stay(tmp_path: Path) -> None:
    out = tmp_path / "family"
    out.mkdir()
    fill(out, "old")
    (out / "my notes.txt").write_text("mine")
    with run_folder(check_folder(out), ASKED) as run:
        fill(run.staging, "new")
        (run.staging / "run.jsonl").unlink()
    found = contents(out)
    assert found.pop("my notes.txt") == "mine"
    assert set(found.values()) == {"new"}
    assert not any("old" in name for name in found)
    assert "run.jsonl" not in found


@pytest.mark.parametrize("with_a_family", [True, False])
def test_checkpoints_of_someone_else_are_not_touched(tmp_path: Path, with_a_family: bool) -> None:
    (tmp_path / CHECKPOINTS).mkdir()
    (tmp_path / CHECKPOINTS / "epoch-1.h5").write_text("mine")
    if with_a_family:
        fill(tmp_path, "old")
    before = contents(tmp_path)
    with pytest.raises(InputError) as caught:
        check_folder(tmp_path)
    assert caught.value.code == "out.not_empty"
    assert contents(tmp_path) == before


def test_a_folder_that_holds_something_else_is_refused_and_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "photos"
    (out / "models").mkdir(parents=True)
    (out / "models" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty") as caught:
        check_folder(out)
    assert caught.value.code == "out.not_empty"
    assert contents(out) == {"models/mine.txt": "mine"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "family").write_text("mine")
    with pytest.raises(InputError) as caught:
        check_folder(tmp_path / "family")
    assert caught.value.code == "out.not_a_folder"


def test_a_folder_inside_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError) as caught:
        check_folder(tmp_path / "file" / "family")
    assert caught.value.code == "out.not_a_folder"


def test_a_disk_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_folder(tmp_path / "family", needed_bytes=10**18)
    assert caught.value.code == "disk.full"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_and_a_missing_one_are_fine(tmp_path: Path) -> None:
    assert check_folder(tmp_path) == tmp_path
    assert check_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_is_taken_from_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_folder("family") == tmp_path / "family"


def test_soft_labels_are_kept_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2C_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
