"""Progress events as bars with an estimated time, on standard error."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from learn2compress.core.progress import Event
from learn2compress.core.units import show_duration

# In a log there are no bars: one line now and then.
LINE_EVERY_SECONDS = 30


class Lines:
    """A listener for output that is no terminal (a log, CI): plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = self._began = 0.0

    def __call__(self, event: Event) -> None:
        """Writes one event, if it is worth a line."""
        if event.kind in ("note", "warning"):
            self._write(f"{'warning: ' if event.kind == 'warning' else ''}{event.message}")
        elif event.kind == "stage":
            self._last = self._began = event.time
        elif event.kind in ("done", "stopped"):
            after = "done in" if event.kind == "done" else "stopped after"
            self._write(f"{event.stage}: {after} {show_duration(event.data['seconds'])} {event.message}")
        elif event.time - self._last >= LINE_EVERY_SECONDS and event.total:
            self._last = event.time
            share = event.done / event.total
            left = (event.time - self._began) * (1 - share) / share if share else 0
            self._write(f"{event.stage}: {100 * share:.0f} %, ETA {show_duration(left)} {event.message}")

    def _write(self, text: str) -> None:
        self._console.print(text.rstrip(), highlight=False, markup=False, soft_wrap=True)


class Bars:
    """A listener that shows one bar for each stage; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", table_column=Column(min_width=27, no_wrap=True)),
            BarColumn(bar_width=10),
            TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
            TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
            TextColumn("[dim]ETA", table_column=Column(min_width=3, no_wrap=True)),
            TimeRemainingColumn(table_column=Column(min_width=7, no_wrap=True)),
            # Only the message gives way where the terminal is narrow.
            TextColumn("[dim]{task.fields[message]}", table_column=Column(ratio=1, no_wrap=True)),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Shows one event."""
        if event.kind in ("note", "warning"):
            style = "[yellow]warning:[/] " if event.kind == "warning" else "[dim]·[/] "
            self._progress.console.print(style, event.message, sep="", highlight=False)
            return
        if event.kind == "stage":
            self._tasks[event.stage] = self._progress.add_task(event.stage, total=event.total or None, message="")
            return
        task = self._tasks.get(event.stage)
        if task is None:
            return
        if event.kind == "done":
            self._progress.update(task, total=1, completed=1, message=event.message)
            self._progress.stop_task(task)
        elif event.kind == "stopped":
            self._progress.update(task, message=f"stopped {event.message}".rstrip())
            self._progress.stop_task(task)
        else:
            self._progress.update(task, completed=event.done, message=event.message)
