"""The timing loop, run as `python -m learn2compress.measure.latency_worker`; `latency.py` says what it means.

It imports neither pydantic nor the rest of the package, to start fast.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learn2compress.measure.process import answer
from learn2compress.measure.runtime import open_interpreter

BLOCK_NS = 1_500_000  # long against the timer's and Python's own microsecond
LONG_NS = 20_000_000  # a run this long fills the cache itself: an untimed one before it would only cost time
MAX_SECONDS_PER_FILE = 20.0
WARM_UP_NS = 100_000_000


@dataclass
class Entrant:
    """One file under the clock."""

    invoke: Any
    block: int = 1
    rewarm: bool = True
    samples_ns: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Times one block and keeps the mean of its runs."""
        if self.rewarm:
            self.invoke()
        started = time.perf_counter_ns()
        for _ in range(self.block):
            self.invoke()
        self.samples_ns.append((time.perf_counter_ns() - started) / self.block)


def enter(path: str, threads: int, seed: int) -> Entrant:
    """Loads a file, gives it its pixels, warms it up, and chooses how many runs make a block."""
    interpreter = open_interpreter(path, threads)
    rng = np.random.default_rng(seed)
    for detail in interpreter.get_input_details():
        pixels = rng.integers(0, 256, detail["shape"], np.uint8)
        stored = pixels.view(np.int8) if detail["dtype"] is np.int8 else pixels.astype(detail["dtype"])
        interpreter.set_tensor(detail["index"], stored)
    entrant = Entrant(interpreter.invoke)
    interpreter.invoke()
    # Warm for a while, not for a number of runs: clocks take tens of milliseconds to rise.
    fastest, begun = float("inf"), time.perf_counter_ns()
    while time.perf_counter_ns() - begun < WARM_UP_NS or fastest == float("inf"):
        started = time.perf_counter_ns()
        interpreter.invoke()
        fastest = min(fastest, time.perf_counter_ns() - started)
    entrant.block = max(1, round(BLOCK_NS / fastest))
    entrant.rewarm = fastest < LONG_NS
    return entrant


def race(entrants: list[Entrant], seconds_per_file: float, min_runs: int) -> None:
    """Lets the files take turns until each has `min_runs` blocks and the time is spent."""
    begun = time.perf_counter()
    wanted, most = seconds_per_file * len(entrants), MAX_SECONDS_PER_FILE * len(entrants)
    while True:
        for entrant in entrants:
            entrant.turn()
        spent, turns = time.perf_counter() - begun, len(entrants[0].samples_ns)
        if (turns >= min_runs and spent >= wanted) or spent >= most:
            return


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds: median and p90 of the blocks' means, and the number of timed runs, per file."""
    entrants = [enter(path, request["threads"], request["seed"]) for path in request["files"]]
    gc.disable()
    race(entrants, request["seconds_per_file"], request["min_runs"])
    figures = []
    for entrant in entrants:
        milliseconds = np.asarray(entrant.samples_ns) / 1e6
        median, p90 = (float(v) for v in np.percentile(milliseconds, (50, 90)))
        figures.append({"median": median, "p90": p90, "runs": len(milliseconds) * entrant.block})
    return {"latencies": figures}


if __name__ == "__main__":
    answer(reply)
