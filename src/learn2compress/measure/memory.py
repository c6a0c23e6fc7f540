"""How much memory a model takes, measured in a fresh process for each file."""

from __future__ import annotations

from pathlib import Path

from learn2compress.measure.process import ask
from learn2compress.measure.runtime import check_file


def peak_memory_bytes(path: str | Path, *, threads: int = 1) -> int:
    """Bytes by which a file raises the peak resident memory of a process that has LiteRT loaded.

    That is the file's own pages, the tensor arena, and the weights as XNNPACK repacks them: from opening the
    file to the end of its first inference. The library's code is not in it: the process loads, runs and
    closes the file once, returns the freed memory to the system, and then takes the rise over the second
    time: of the peak (`VmHWM`, reset through `/proc/self/clear_refs`) or of what is resident at the end
    (`smaps_rollup`, which counts every page), whichever is larger. Without that first round every small model
    would show the same few megabytes of library code.

    Where the peak can't be reset (macOS, some sandboxes) the rise is that of the *first* round (`getrusage`),
    library code included: an upper bound, not to be compared with a figure from Linux.

    Raises:
        InputError: the file can't be read (`tflite.*`), or the measuring process crashed (`measure.crashed`).
    """
    file = check_file(path).resolve()
    request = {"file": str(file), "threads": threads}
    reply = ask("learn2compress.measure.memory_worker", request, about=file.name, timeout_seconds=300)
    return int(reply["peak_memory_bytes"])
