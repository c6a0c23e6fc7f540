"""Failures of the machine, said such that a user can act on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from learn2compress.core.checkpoints import CHECKPOINTS, Checkpoints
from learn2compress.core.errors import InputError, out_of_memory
from learn2compress.core.progress import Progress
from learn2compress.core.units import show_duration

# In the stage that reads the data no batch is trained on yet.
_READING = "inputs"
_TRAININGS = ("trial", "joint training", "quantization-aware training")
_FROM_DISK = (
    "give the images as class folders or TFRecords, which are read as they are needed: arrays and .npz files are "
    "held in memory whole"
)


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
    except Exception as error:
        said = failure_in_words(error, folder)
        if said is None:
            raise
        raise said from error


def failure_in_words(error: Exception, run: Path | None = None, place: Path | None = None) -> InputError | None:
    """`disk.full` or `memory.exhausted`, with the way on; None of an error that is neither.

    Args:
        error: what was raised.
        run: folder of a run, which can go on from where it was; without one, the command begins anew.
        place: what could not be written, where the error itself names files in passing.
    """
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        full = "The disk is full" if error.errno == ENOSPC else "Your quota on this disk is used up"
        # Of a copy the second is the one that was written to.
        unwritten = place or error.filename2 or error.filename or run
        return InputError(
            "disk.full",
            f"{full}: {unwritten} could not be written." if unwritten else f"{full}.",
            "free some disk, then give the same command again" + (": it goes on from where it was." if run else "."),
        )
    if out_of_memory(error):
        smaller = _smaller(run / CHECKPOINTS) if run else ""
        on = f", which goes on from where it was{smaller and f'; or {smaller}'}." if run else "."
        return InputError(
            "memory.exhausted",
            "The memory is used up.",
            f"close other programs and give the same command again{on} If it was reading the data, {_FROM_DISK}.",
        )
    return None


def tell_of_earlier(run: Checkpoints, progress: Progress, batch_size: int | None = None) -> None:
    """Says that the run goes on, and of a process before that was killed, which itself could say nothing.

    Args:
        run: that goes on.
        progress: gets a warning and a note.
        batch_size: that is asked for now, where one is.
    """
    if run.killed_at is not None:
        place = f" while it was at {run.killed_at}" if run.killed_at else ""
        advice = _FROM_DISK if run.killed_at == _READING else ""
        if run.killed_at in _TRAININGS:
            advice = _smaller(run.folder, batch_size)
        progress.warn(
            f"the process before this one was killed{place}; if nobody did that, memory may have run out: close "
            f"other programs{advice and f', or {advice}'}"
        )
    if run.resumed:
        progress.note(f"going on with the unfinished run, after {show_duration(run.clock.elapsed)} of work")


def _smaller(folder: Path, asked: int | None = None) -> str:
    # It loads Keras, which a run has done before anything can fail so, and other commands need not.
    from learn2compress.stages.batch_size import with_smaller_batches

    return with_smaller_batches(folder, asked)
