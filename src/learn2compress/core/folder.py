"""The folder a run writes: refused early if it is not ours, filled at the end, unfinished runs kept to go on with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path

from filelock import FileLock, Timeout

from learn2compress.core.checkpoints import AT_WORK, CHECKPOINTS, EARLY, STATE, Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.family import MANIFEST
from learn2compress.core.paths import at_home
from learn2compress.core.recipe import RECIPE, Recipe

# What a run writes into the folder; a new run into the same folder replaces just these.
PARTS = ("models", "baseline", "teacher.keras", "report.html", "labels.txt", RECIPE, "run.jsonl", MANIFEST)
LEAST_FREE_BYTES = 200_000_000
_PUBLISHING = "publishing"
_LOCK = "lock"
# Tells our checkpoints from a folder of that name that someone else made.
_MARK = ".learn2compress"
_COMMENT = "What the unfinished run in this folder was asked to do."


def check_folder(out: str | Path, needed_bytes: int = LEAST_FREE_BYTES) -> Path:
    """The absolute path of the folder, if a family may be written there.

    Raises:
        InputError: `out.not_a_folder`, `out.not_empty`, `out.not_writable` or `disk.full`.
    """
    folder = at_home(out).absolute()
    # A link that leads nowhere is there too: no folder can be made in its place.
    existing = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    if not existing.is_dir():
        kind = "a link that leads nowhere" if existing.is_symlink() and not existing.exists() else "a file"
        raise InputError("out.not_a_folder", f"{existing} is {kind}, not a folder.", "give another --out.")
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise InputError(
            "out.not_empty",
            f"The folder {out} is not empty, and what it holds is not a family alone ({MANIFEST} is missing, or "
            f"{CHECKPOINTS} is someone else's).",
            "give a new or an empty folder for --out, so that nothing of yours is mixed with the results.",
        )
    if not os.access(existing, os.W_OK):
        raise not_writable(existing)
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise InputError(
            "disk.full",
            f"{existing} has {free / 1e6:.0f} MB free; about {needed_bytes / 1e6:.0f} MB are needed.",
            "free some disk, or give an --out on another disk.",
        )
    return folder


def not_writable(folder: Path, reason: str | None = None) -> InputError:
    """The error of a folder that a run or an export can't be written to."""
    why = f" ({reason})" if reason else ""
    return InputError("out.not_writable", f"{folder} can't be written to{why}.", "give another --out.")


def _is_ours(folder: Path) -> bool:
    """Whether a run has written what lies there; not so where someone's own files lie where a run has its own."""
    work = folder / CHECKPOINTS
    foreign = os.path.lexists(work) and not work.is_dir()
    foreign = foreign or (work.is_dir() and not (work / _MARK).exists() and any(work.iterdir()))
    begun = [path.name for path in folder.iterdir()] == [CHECKPOINTS]
    return not foreign and ((folder / MANIFEST).is_file() or unfinished(folder) is not None or begun)


def unfinished(folder: Path) -> Path | None:
    """The recipe of the run that was begun in this folder and not ended, if there is one."""
    recipe = folder / CHECKPOINTS / RECIPE
    return recipe if recipe.is_file() else None


@contextmanager
def run_folder(
    folder: Path, recipe: Recipe, changeable: Callable[[Path], Collection[str]] = lambda work: ()
) -> Iterator[Checkpoints]:
    """The checkpoints of this run, new or gone on with; when the block ends well, the family moves to its place.

    After an error, what was reached stays, to go on from; a run that had reached nothing leaves nothing. A family
    that lies in the folder stays as it is until the new one is complete.

    Args:
        folder: from `check_folder`.
        recipe: what is asked for.
        changeable: function (folder of the checkpoints) -> keys of the recipe that may be others than when the run
            began.

    Raises:
        InputError: `out.not_writable`; `run.unfinished` where an unfinished run with another recipe lies there,
            `run.under_way` where another process is at it, `run.other_version`.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    work = folder / CHECKPOINTS
    try:
        work.mkdir(parents=True, exist_ok=True)
        (work / _MARK).touch()
    except OSError as error:  # what `os.access` can't foresee: another user's disk, a folder of the network
        if error.errno in (ENOSPC, EDQUOT):  # another folder on the same disk would not help
            raise
        raise not_writable(folder, error.strerror) from error
    lock = FileLock(work / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            "run.under_way",
            f"Another process is at a run in {folder}.",
            "wait until it has ended, or give another --out.",
        ) from error
    try:
        begun = unfinished(folder)
        if begun is not None and (work / STATE).is_file():
            before = Recipe.compose(begun)
            _check_same(folder, before, recipe, changeable(work))
            if recipe.differences(before):
                recipe.write(begun, _COMMENT)
        else:
            # Of a run that was killed in its first or its last moment. What it found out first is true of the same.
            _empty(work, EARLY if _is_same(begun, recipe) else "")
            recipe.write(work / RECIPE, _COMMENT)
        checkpoints = None
        try:
            checkpoints = Checkpoints(work)
            checkpoints.staging.mkdir(exist_ok=True)
            with checkpoints.at_work():
                yield checkpoints
                _publish(checkpoints, folder)
        except BaseException:
            if not (work / STATE).is_file():
                _discard(work)
                _remove_empty(made)
            elif checkpoints is not None:
                # The time since the last decision counts; where it can't be written, the error itself matters more.
                with suppress(OSError):
                    checkpoints.keep()
            raise
        _discard(work)
    finally:
        lock.release()


def _check_same(folder: Path, begun: Recipe, recipe: Recipe, changeable: Collection[str]) -> None:
    differences = [line for line in recipe.differences(begun) if line.partition(": ")[0] not in changeable]
    if differences:
        raise InputError(
            "run.unfinished",
            f"{folder} holds an unfinished run that was asked for other things ({'; '.join(differences)}).",
            f"--resume without these options goes on with it; to drop it, delete {folder / CHECKPOINTS}.",
        )


def _is_same(begun: Path | None, recipe: Recipe) -> bool:
    try:
        return begun is not None and not recipe.differences(Recipe.compose(begun))
    except InputError:  # it can't be read
        return False


def _publish(checkpoints: Checkpoints, folder: Path) -> None:
    """Moves the family to its place; interrupted at any moment, it can be done again."""

    def clear() -> bool:
        # The manifest goes first and comes last: without it the folder is never taken for a whole family.
        for name in (MANIFEST, *PARTS):
            _remove(folder / name)
        return True

    checkpoints.recall(_PUBLISHING, clear)
    for name in PARTS:
        if (checkpoints.staging / name).exists():
            _remove(folder / name)
            (checkpoints.staging / name).replace(folder / name)


def complete(checkpoints: Checkpoints) -> bool:
    """Whether all of the family was written, and only had to be moved to its place."""
    return checkpoints.knows(_PUBLISHING)


def _discard(work: Path) -> None:
    # The recipe first: without it nothing is taken for an unfinished run.
    (work / RECIPE).unlink(missing_ok=True)
    _empty(work)
    shutil.rmtree(work, ignore_errors=True)


def _empty(work: Path, spared: str = "") -> None:
    for path in work.iterdir():
        if path.name not in (_LOCK, _MARK, AT_WORK, spared):
            _remove(path)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders, the innermost first, up to one that someone has put something in."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
