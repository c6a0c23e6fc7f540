"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Counts from its creation, or on from what an earlier process of the same run counted.

    Args:
        seconds: what each stage took so far.
        elapsed: of all of them.
        on_stage: called with the name of each stage when it begins.
    """

    def __init__(
        self,
        seconds: Mapping[str, float] | None = None,
        elapsed: float = 0.0,
        on_stage: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._on_stage = on_stage
        self._started = time.perf_counter() - elapsed
        self._seconds = dict(seconds or {})
        self._running: tuple[str, float] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the creation."""
        return time.perf_counter() - self._started

    @property
    def seconds(self) -> dict[str, float]:
        """What each stage took, the one under way included."""
        if self._running is None:
            return dict(self._seconds)
        name, since = self._running
        return {**self._seconds, name: self._seconds.get(name, 0.0) + self.elapsed - since}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a block under a name."""
        self._on_stage(name)
        self._running = name, self.elapsed
        try:
            yield
        finally:
            self._seconds, self._running = self.seconds, None
