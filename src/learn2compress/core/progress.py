"""Progress events: the library emits them, the command line turns them into bars, `run.jsonl` keeps them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: `stage` (a stage begins), `step` (it advances), `done` (it ended), `stopped` (it ended before its work
            was done: interrupted, or by an error), `note`, `warning`.
        stage: the stage's name, for example `soft labels`.
        message: for people.
        done, total: work units of the stage so far, and in all (0 when unknown).
        data: figures that go with it.
        time: seconds since the epoch.
    """

    kind: Literal["stage", "step", "done", "stopped", "note", "warning"]
    stage: str
    message: str = ""
    done: float = 0
    total: float = 0
    data: dict[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)


Listener = Callable[[Event], None]


class Progress:
    """Hands events to listeners; a stage is entered with `with progress.stage(...) as stage`."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Listener) -> None:
        """Adds a listener; it gets the events from now on."""
        self._listeners.append(listener)

    def with_listener(self, listener: Listener) -> Progress:
        """These listeners and one more; this object stays as it is."""
        return Progress(*self._listeners, listener)

    def emit(self, event: Event) -> None:
        """Hands one event to every listener."""
        for listener in self._listeners:
            listener(event)

    def note(self, message: str, stage: str = "", **data: Any) -> None:
        """Tells something worth reading."""
        self.emit(Event("note", stage, message, data=data))

    def warn(self, message: str, stage: str = "", **data: Any) -> None:
        """Tells something the user should know."""
        self.emit(Event("warning", stage, message, data=data))

    @contextmanager
    def stage(self, name: str, total: float = 0, message: str = "") -> Iterator[Stage]:
        """Enters a stage of `total` work units."""
        stage = Stage(self, name, total)
        self.emit(Event("stage", name, message, 0, total))
        started = time.perf_counter()
        ended: Literal["done", "stopped"] = "stopped"
        try:
            yield stage
            ended = "done"
        finally:  # after an error too, or its bar would hang
            seconds = round(time.perf_counter() - started, 3)
            self.emit(Event(ended, name, stage.message, stage.done, stage.total, {"seconds": seconds}))


class Stage:
    """A stage under way."""

    def __init__(self, progress: Progress, name: str, total: float) -> None:
        self.progress, self.name, self.total = progress, name, total
        self.done: float = 0
        self.message = ""

    def advance(self, amount: float = 1, message: str | None = None, **data: Any) -> None:
        """Counts `amount` work units as done."""
        self.at(self.done + amount, message, **data)

    def at(self, done: float, message: str | None = None, **data: Any) -> None:
        """Sets the work done so far."""
        self.done = done
        if message is not None:
            self.message = message
        self.progress.emit(Event("step", self.name, self.message, self.done, self.total, data))

    def track(self, items: Iterable[T]) -> Iterator[T]:
        """Yields the items, counting one work unit after each."""
        for item in items:
            yield item
            self.advance()


class EventLog:
    """Appends events to a JSON-lines file; steps are thinned to one a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_step = 0.0
        if path.is_file() and not path.read_bytes().endswith(b"\n"):
            # A process that was killed in the middle of a line: what comes now begins a new one.
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def __call__(self, event: Event) -> None:
        """Writes one event."""
        if event.kind == "step" and not event.data:
            if event.time - self._last_step < 1:
                return
            self._last_step = event.time
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event), default=str) + "\n")


SILENT = Progress()
