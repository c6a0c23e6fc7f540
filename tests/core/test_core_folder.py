"""The folder of a run: filled whole or not at all, and never at the cost of the user's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.folder import PARTS, cache_folder, check_folder, staged


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


def test_all_that_was_staged_arrives_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "family"
    with staged(check_folder(out)) as staging:
        fill(staging, "new")
        (staging / "scratch").mkdir()
        assert not out.exists()
    assert {path.name for path in out.iterdir()} == set(PARTS)
    assert set(contents(out).values()) == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_run_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with staged(check_folder(tmp_path / "family")) as staging:
            fill(staging, "new")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_the_family_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "family"
    out.mkdir()
    fill(out, "old")
    before = contents(out)

    def fail() -> None:
        with staged(check_folder(out)) as staging:
            fill(staging, "new")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["family"]


def test_a_family_is_replaced_whole_and_other_files_beside_it_stay(tmp_path: Path) -> None:
    out = tmp_path / "family"
    out.mkdir()
    fill(out, "old")
    (out / "my notes.txt").write_text("mine")
    with staged(check_folder(out)) as staging:
        fill(staging, "new")
        (staging / "run.jsonl").unlink()
    found = contents(out)
    assert found.pop("my notes.txt") == "mine"
    assert set(found.values()) == {"new"}
    assert not any("old" in name for name in found)
    assert "run.jsonl" not in found


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
