"""How long one inference takes, measured in a process of its own, several files interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from learn2compress.core.family import Latency
from learn2compress.measure.process import ask
from learn2compress.measure.runtime import check_file


def latencies(
    paths: Sequence[str | Path],
    *,
    threads: int = 1,
    seconds_per_file: float = 1.5,
    min_runs: int = 50,
    seed: int = 0,
) -> tuple[Latency, ...]:
    """Milliseconds of one `invoke` of each file, in the order given.

    The files take turns (A B C A B C ...), so a busy or throttling host slows all of them and their ratios
    hold. A turn is one timed block: a single run of a slow file, as many runs as fill a millisecond or two of
    a fast one, after one untimed run that brings the file's weights back into the cache. Median and p90 are
    over the blocks; so a fast file's p90 tells of slow milliseconds, not of single slow runs. Copying the
    image in and the probabilities out is not timed. The input is fixed random pixels.

    Args:
        paths: the files.
        threads: LiteRT's threads for each.
        seconds_per_file: time spent on each file on average; a turn of a slow file takes its larger share.
        min_runs: least number of timed blocks of each file, whatever the time, up to 20 s a file.
        seed: of the pixels.

    Raises:
        InputError: a file can't be read (`tflite.*`), or the measuring process crashed (`measure.crashed`).
    """
    files = [str(check_file(path).resolve()) for path in paths]
    if not files:
        return ()
    request = {
        "files": files,
        "threads": threads,
        "seconds_per_file": seconds_per_file,
        "min_runs": min_runs,
        "seed": seed,
    }
    reply = ask(
        "learn2compress.measure.latency_worker",
        request,
        about=", ".join(Path(file).name for file in files),
        timeout_seconds=120 + 60 * max(1.0, seconds_per_file) * len(files),
    )
    return tuple(Latency(threads=threads, **figures) for figures in reply["latencies"])
