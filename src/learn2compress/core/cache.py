"""What is kept between runs, and how much of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from learn2compress.core.progress import Progress

# More than a hundred data sets of the size of CIFAR-10 at a dozen views, or one of a million images and 1000 classes.
MOST_BYTES = 5_000_000_000
# What was in use so lately may be in use still: a run that goes on reads its soft labels for days.
LEAST_SECONDS = 7 * 24 * 3600.0
LOCK = "lock"


def cache_folder() -> Path:
    """Where soft labels and copies of photos are kept between runs: `$L2C_CACHE`, else the user's cache folder."""
    given = os.environ.get("L2C_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("learn2compress", appauthor=False))


def used(entry: Path) -> None:
    """Notes that a folder of the cache is in use."""
    os.utime(entry)


@contextlib.contextmanager
def alone(entry: Path, progress: Progress, waiting: str) -> Iterator[None]:
    """Inside, no other run writes this folder of the cache.

    Args:
        entry: is there.
        progress: gets a note where another run is writing it.
        waiting: what the note says.
    """
    lock = FileLock(entry / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def trim(cache: Path, most_bytes: int = MOST_BYTES, least_seconds: float = LEAST_SECONDS) -> list[Path]:
    """Removes what was not used for the longest time, until the rest takes no more than so many bytes.

    Args:
        cache: each of its folders is an entry, locked by the file `lock` in it while it is written.
        most_bytes: that may stay.
        least_seconds: what was used since then stays in any case.

    Returns:
        The folders that were removed.
    """
    entries = sorted((path for path in cache.iterdir() if (path / LOCK).exists()), key=_last_used, reverse=True)
    total, removed = 0, []
    for entry in entries:
        total += _size(entry)
        if total > most_bytes and time.time() - _last_used(entry) > least_seconds and _removed(entry):
            removed.append(entry)
    return removed


def _last_used(entry: Path) -> float:
    with contextlib.suppress(OSError):  # another run may be trimming too
        return entry.stat().st_mtime
    return 0.0


def _size(entry: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for file in entry.iterdir():
            total += file.stat().st_size
    return total


def _removed(entry: Path) -> bool:
    """Removes an entry that nobody is writing; whether it is gone."""
    try:
        with FileLock(entry / LOCK, timeout=0):
            shutil.rmtree(entry, ignore_errors=True)
    except (Timeout, OSError):
        return False
    return not entry.exists()
