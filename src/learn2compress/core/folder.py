"""The folder a run writes: refused early if it is not ours, filled all at once at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from learn2compress.core.errors import InputError
from learn2compress.core.family import MANIFEST

# What a run writes into the folder; a new run into the same folder replaces just these.
PARTS = ("models", "baseline", "report.html", "labels.txt", "run.jsonl", MANIFEST)
LEAST_FREE_BYTES = 200_000_000


def check_folder(out: str | Path, needed_bytes: int = LEAST_FREE_BYTES) -> Path:
    """The absolute path of the folder, if a family may be written there.

    Raises:
        InputError: `out.not_a_folder`, `out.not_empty`, `out.not_writable` or `disk.full`.
    """
    folder = Path(out).expanduser().absolute()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not existing.is_dir():
        raise InputError("out.not_a_folder", f"{existing} is a file, not a folder.", "give another --out.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise InputError(
            "out.not_empty",
            f"The folder {out} is not empty and holds no family ({MANIFEST} is missing).",
            "give a new or an empty folder for --out, so that nothing of yours is mixed with the results.",
        )
    if not os.access(existing, os.W_OK):
        raise InputError("out.not_writable", f"{existing} can't be written to.", "give another --out.")
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise InputError(
            "disk.full",
            f"{existing} has {free / 1e6:.0f} MB free; about {needed_bytes / 1e6:.0f} MB are needed.",
            "free some disk, or give an --out on another disk.",
        )
    return folder


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A staging folder beside the final one; its content is moved there when the block ends well, else removed."""
    first = next(p for p in (folder.parent, *folder.parents) if p.exists())
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=first))
    try:
        yield staging
        folder.mkdir(parents=True, exist_ok=True)
        # The manifest goes first and comes last: without it the folder is never taken for a whole family.
        for name in (MANIFEST, *PARTS):
            _remove(folder / name)
        for name in PARTS:
            if (staging / name).exists():
                shutil.move(staging / name, folder / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where soft labels are kept between runs: `$L2C_CACHE`, else the user's cache folder."""
    given = os.environ.get("L2C_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("learn2compress", appauthor=False))
