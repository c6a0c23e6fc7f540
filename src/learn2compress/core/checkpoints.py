"""What a run under way has so far: kept in `OUT/checkpoints/`, so that a run that was killed goes on from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from learn2compress.core.clock import Clock
from learn2compress.core.errors import InputError
from learn2compress.core.whole_files import write_whole

T = TypeVar("T")
CHECKPOINTS = "checkpoints"
STATE = "state.json"
# Names the stage under way; every orderly end of a process takes it away.
AT_WORK = "at-work"
EARLY = "early.json"
# Raised when what a checkpoint holds is read otherwise than before.
FORMAT = 2


class Checkpoints:
    """Decisions and results of a run, each kept as soon as it is known.

    Args:
        folder: of the run under way; exists.

    Attributes:
        folder: the same.
        clock: goes on from where the state was last kept.
        resumed: whether an earlier process left something.
        killed_at: the stage that the process before this one was killed in, empty before its first; None where it was
            not killed, or nobody is `at_work` yet.

    Raises:
        InputError: `run.other_version` where what lies there was written by another version, `run.damaged` where it
            can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / STATE
        state = _read(self._path) if self._path.is_file() else {}
        if state.get("format", FORMAT) != FORMAT:
            raise InputError(
                "run.other_version",
                f"The unfinished run in {folder} was begun by another version of learn2compress.",
                f"delete {folder} and begin anew, or go on with that version.",
            )
        self.resumed = bool(state)
        self._known: dict[str, Any] = state.get("known", {})
        self.clock = Clock(state.get("seconds"), state.get("elapsed", 0.0), self._tell)
        self.killed_at: str | None = None
        self._working = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Says in the folder meanwhile which stage is under way: only a process that is killed leaves that behind."""
        mark = self.folder / AT_WORK
        self.killed_at = mark.read_text(encoding="utf-8", errors="replace") if mark.is_file() else None
        self._working = True
        self._tell("")
        try:
            yield
        finally:
            self._working = False
            with suppress(OSError):
                mark.unlink(missing_ok=True)

    def _tell(self, stage: str) -> None:
        # On a full disk it is what the run itself writes that tells so.
        with suppress(OSError):
            if self._working:
                (self.folder / AT_WORK).write_text(stage, encoding="utf-8")

    @property
    def staging(self) -> Path:
        """Where finished parts of the family wait until all are there."""
        return self.folder / "family"

    def recall(self, key: str, find_out: Callable[[], T]) -> T:
        """What is known under the key; found out, and kept, where nothing is.

        Args:
            key: of this run.
            find_out: gives what JSON can hold (a tuple comes back as a list).
        """
        if key not in self._known:
            self._known[key] = json.loads(json.dumps(find_out()))
            self.keep()
        return self._known[key]

    def recall_early(self, key: str, find_out: Callable[[], T]) -> T:
        """As `recall`, of what is no reason to keep a run.

        It is there after a kill; a run that ends otherwise and knows nothing else takes it along.

        Args:
            key: names all that the answer follows from but the recipe.
            find_out: gives what JSON can hold.
        """
        path = self.folder / EARLY
        known: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            known = json.loads(path.read_text(encoding="utf-8"))
        if key not in known:
            known = {key: json.loads(json.dumps(find_out()))}
            write_whole(path, json.dumps(known).encode())
        return known[key]

    def note(self, key: str, value: Any) -> None:
        """Lays something by, to be kept with the next that is."""
        self._known[key] = value

    def forget_all_but(self, keys: Collection[str]) -> None:
        """So that all else is found out anew."""
        self._known = {key: value for key, value in self._known.items() if key in keys}

    def knows(self, key: str) -> bool:
        """Whether something is known under the key."""
        return key in self._known

    def keep(self) -> None:
        """Writes what is known and the time that it took, whole or not at all."""
        state = {"format": FORMAT, "elapsed": self.clock.elapsed, "seconds": self.clock.seconds, "known": self._known}
        write_whole(self._path, json.dumps(state, indent=1).encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            "run.damaged",
            f"What the unfinished run in {path.parent} has reached can't be read: {path.name} is damaged ({error}).",
            f"delete {path.parent} and begin anew.",
        ) from error
    return state
