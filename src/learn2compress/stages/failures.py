"""Failures of the machine, said such that a user can act on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError, out_of_memory
from learn2compress.core.progress import Progress
from learn2compress.core.units import show_duration

_SMALLER = "begin anew with smaller batches, as in --set training.batch_size=16"


@contextmanager
def legible_failures(folder: Path) -> Iterator[None]:
    """Says of a full disk and of memory that ran out what it was, and that the run can go on.

    Args:
        folder: that the run writes.

    Raises:
        InputError: `disk.full` or `memory.exhausted`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        full = "The disk is full" if error.errno == ENOSPC else "Your quota on this disk is used up"
        raise InputError(
            "disk.full",
            f"{full}: {error.filename or folder} could not be written.",
            "free some disk, then give the same command again: it goes on from where it was.",
        ) from error
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise InputError(
            "memory.exhausted",
            "The memory is used up.",
            f"close other programs and give the same command again, which goes on from where it was; or {_SMALLER}.",
        ) from error


def tell_of_earlier(run: Checkpoints, progress: Progress) -> None:
    """Says that the run goes on, and of a process before that was killed, which itself could say nothing."""
    if run.killed_at is not None:
        place = f" while it was at {run.killed_at}" if run.killed_at else ""
        progress.warn(
            f"the process before this one was killed{place}; if nobody did that, memory may have run out: close "
            f"other programs, or {_SMALLER}"
        )
    if run.resumed:
        progress.note(f"going on with the unfinished run, after {show_duration(run.clock.elapsed)} of work")
