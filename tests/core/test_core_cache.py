"""The cache between runs keeps to a size, and to what is in use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from learn2compress.core.cache import LOCK, trim, used

DAY = 24 * 3600.0


def entry(cache: Path, name: str, size: int, days: float) -> Path:
    folder = cache / name
    folder.mkdir()
    (folder / LOCK).touch()
    (folder / "view-0.bin").write_bytes(bytes(size))
    then = time.time() - days * DAY
    os.utime(folder, (then, then))
    return folder


def left(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_what_was_not_used_for_the_longest_goes_first(tmp_path: Path) -> None:
    for days in (10, 40, 20, 30):
        entry(tmp_path, f"{days} days", 100, days)
    removed = trim(tmp_path, most_bytes=250)
    assert [path.name for path in removed] == ["30 days", "40 days"]
    assert left(tmp_path) == {"10 days", "20 days"}
    assert trim(tmp_path, most_bytes=250) == []


def test_what_was_used_lately_stays_however_large_it_is(tmp_path: Path) -> None:
    entry(tmp_path, "yesterday", 1000, 1)
    old = entry(tmp_path, "long ago, used again", 1000, 100)
    used(old)
    entry(tmp_path, "long ago", 1, 100)
    trim(tmp_path, most_bytes=10)
    assert left(tmp_path) == {"yesterday", "long ago, used again"}


def test_what_is_being_written_and_what_is_none_of_ours_stays(tmp_path: Path) -> None:
    writing = entry(tmp_path, "being written", 100, 50)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(bytes(100))
    with FileLock(writing / LOCK):
        assert trim(tmp_path, most_bytes=0) == []
    assert trim(tmp_path, most_bytes=0) == [writing]
    assert left(tmp_path) == {"photos"}


@pytest.mark.parametrize("size", [0, 100])
def test_an_empty_cache_and_a_small_one_are_left_alone(tmp_path: Path, size: int) -> None:
    if size:
        entry(tmp_path, "small", size, 1000)
    assert trim(tmp_path) == []
