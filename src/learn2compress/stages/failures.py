"""Failures of the machine, said such that a user can act on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError


@contextmanager
def legible_failures(run: Checkpoints) -> Iterator[None]:
    """Says of a full disk and of memory that ran out what it was, and that the run can go on.

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
            f"{full}: {error.filename or run.folder} could not be written.",
            "free some disk, then give the same command again: it goes on from where it was.",
        ) from error
    except Exception as error:
        # TensorFlow's error class can't be named here without importing it.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        raise InputError(
            "memory.exhausted",
            "The memory is used up.",
            "close other programs and give the same command again, which goes on from where it was; or begin anew "
            "with smaller batches, as in --set training.batch_size=16.",
        ) from error
