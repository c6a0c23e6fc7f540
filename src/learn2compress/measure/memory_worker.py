"""Loads and runs one file, watching memory; run as `python -m learn2compress.measure.memory_worker`."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.measure.process import answer
from learn2compress.measure.runtime import open_interpreter

STATUS = Path("/proc/self/status")
ROLLUP = Path("/proc/self/smaps_rollup")
CLEAR_REFS = Path("/proc/self/clear_refs")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """`{"peak_memory_bytes": n}`; `memory.py` says what is counted."""
    _return_freed_memory()
    import ai_edge_litert.interpreter  # noqa: F401  (the library itself is not the model's memory)

    gc.collect()
    before = _peak_bytes()
    _load_and_run(request["file"], request["threads"])
    first = _peak_bytes() - before
    if not _reset_peak():
        return {"peak_memory_bytes": first}
    resident, before = _resident_bytes(), _peak_bytes()
    model = _load_and_run(request["file"], request["threads"])
    rise = max(_peak_bytes() - before, _resident_bytes() - resident)
    del model
    return {"peak_memory_bytes": rise}


def _load_and_run(path: str, threads: int) -> Any:
    interpreter = open_interpreter(path, threads)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
    return interpreter


def _return_freed_memory() -> None:
    """Tells glibc to hand blocks of a page or more back when freed.

    Else the second load is served from what the first one left, and the rise comes out too small.
    """
    libc = _libc()
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 4096)
        libc.mallopt(M_TRIM_THRESHOLD, 0)


def _reset_peak() -> bool:
    """Lowers the kernel's peak to what is resident now; False where it can't."""
    gc.collect()
    libc = _libc()
    if libc is not None and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    try:
        CLEAR_REFS.write_text("5")  # see proc(5): 5 resets the peak resident set size
    except OSError:
        return False
    status = _status()
    return status["VmHWM"] - status["VmRSS"] < 1 << 20  # some sandboxes accept the write and do nothing


def _resident_bytes() -> int:
    """Resident memory, counted page by page.

    Since Linux 6.2 `VmRSS` and `VmHWM` lag by up to 32 pages per core: as much as a small model takes. The
    sum over the mappings is exact, but knows no peak; so the larger of the two rises is reported.
    """
    try:
        lines = ROLLUP.read_text().splitlines()
    except OSError:
        return _status()["VmRSS"]
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) * 1024


def _peak_bytes() -> int:
    if STATUS.exists():
        return _status()["VmHWM"]
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, kilobytes elsewhere


def _status() -> dict[str, int]:
    fields = (line.split() for line in STATUS.read_text().splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(kilobytes) * 1024 for name, kilobytes, _ in fields}


def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


if __name__ == "__main__":
    answer(reply)
