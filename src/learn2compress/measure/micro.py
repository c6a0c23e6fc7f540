"""A file in TensorFlow Lite Micro, the interpreter for microcontrollers: does it run, and in how much memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import InputError
from learn2compress.measure.arena import planned_arena_bytes
from learn2compress.measure.process import ask
from learn2compress.measure.runtime import check_file

EXTRA = "learn2compress[micro]"
STEP = 16  # bytes; the arena is found to within this
LARGEST_ARENA = 256 << 20


def available() -> bool:
    """Whether TensorFlow Lite Micro's Python package is installed (the extra `micro`)."""
    return all(importlib.util.find_spec(name) is not None for name in ("tflite_micro", "yaml"))


def measured_arena_bytes(path: str | Path) -> int:
    """The smallest arena with which TensorFlow Lite Micro sets the file up and runs it, to within 16 bytes.

    Found by trying, in a process of its own, on this host: pointers are 8 bytes here and 4 on a 32-bit
    controller, which therefore needs less.

    Raises:
        InputError: `tflite.*`; `micro.missing` without the extra; `micro.refused` if it runs in no arena.
    """
    file = _checked(path)
    request = {"file": str(file), "guess": planned_arena_bytes(file), "step": STEP, "largest": LARGEST_ARENA}
    reply = ask("learn2compress.measure.micro_worker", request, about=file.name, timeout_seconds=300)
    return int(reply["arena_bytes"])


def micro_outputs(path: str | Path, stored: NDArray[Any]) -> NDArray[Any]:
    """The outputs (n, ...) that TensorFlow Lite Micro computes, in the file's own output type.

    Args:
        path: the file, run as it is.
        stored: inputs (n, height, width, 3) of the file's own input type.

    Raises:
        InputError: `tflite.*`, `micro.missing` or `micro.refused`.
    """
    file = _checked(path)
    interpreter = open_micro(file, max(2 * planned_arena_bytes(file), 1 << 20))
    outputs = []
    for one in stored:
        interpreter.set_input(one[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(np.array(interpreter.get_output(0))[0])
    return np.stack(outputs)


def open_micro(path: Path, arena_bytes: int) -> Any:
    """The file in TensorFlow Lite Micro's interpreter with an arena of that size.

    Raises:
        InputError: `micro.refused`.
    """
    from tflite_micro import runtime

    try:
        return runtime.Interpreter.from_bytes(path.read_bytes(), arena_size=arena_bytes)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            "micro.refused",
            f"TensorFlow Lite Micro does not take {path} with {arena_bytes} bytes: {error}",
            "choose a smaller member, or one of int8.",
        ) from error


def _checked(path: str | Path) -> Path:
    if not available():
        raise InputError(
            "micro.missing",
            "Running a file in TensorFlow Lite Micro needs the extra `micro`.",
            f"pip install '{EXTRA}'",
        )
    return check_file(path).resolve()
