"""Opening a `.tflite` file in LiteRT: checked first, quietly, with numbers in and out in plain units."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import InputError
from learn2compress.core.paths import advice

IDENTIFIER = b"TFL3"
_quiet = threading.Lock()


@dataclass(frozen=True)
class Port:
    """The input or the output of a file.

    Attributes:
        index: the tensor's index.
        shape: its shape, batch first.
        dtype: its element type.
        scale, zero_point: real value = scale * (stored - zero_point); scale 0 says that it is not quantized.
    """

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def dequantize(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Real values of stored ones, same shape."""
        if self.scale == 0:
            return stored.astype(np.float32)
        return (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)

    def quantize(self, real: NDArray[Any]) -> NDArray[Any]:
        """Stored values of real ones, same shape, clipped to what the type can hold."""
        if self.dtype.kind == "f":
            return real.astype(self.dtype)
        info = np.iinfo(self.dtype)
        return np.clip(np.round(real / (self.scale or 1) + self.zero_point), info.min, info.max).astype(self.dtype)


def check_file(path: str | Path) -> Path:
    """Refuses what is no `.tflite` file by its first bytes, before LiteRT sees it.

    Raises:
        InputError: `tflite.missing` or `tflite.not_tflite`.
    """
    path = Path(path)
    if not path.is_file():
        fix = advice(path, "give the path of a .tflite file.")
        raise InputError("tflite.missing", f"There is no file {path}.", fix)
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:8] != IDENTIFIER:
        raise InputError(
            "tflite.not_tflite",
            f"{path} is no .tflite file: its bytes 4 to 8 are {head[4:8]!r}, not {IDENTIFIER!r}.",
            "give a file that the LiteRT (TensorFlow Lite) converter wrote.",
        )
    return path


def corrupt(path: Path, reason: object) -> InputError:
    """The error for a file that starts like a `.tflite` and can't be read as one."""
    return InputError(
        "tflite.unreadable", f"{path} can't be read as a .tflite file: {reason}", "copy or convert it again."
    )


def open_interpreter(path: str | Path, threads: int = 1) -> Any:
    """A LiteRT interpreter with its tensors allocated.

    LiteRT verifies the FlatBuffer itself and refuses a truncated or damaged file instead of crashing on it.

    Raises:
        InputError: `tflite.missing`, `tflite.not_tflite` or `tflite.unreadable`.
    """
    path = check_file(path)
    from ai_edge_litert.interpreter import Interpreter

    try:
        with _quiet, _no_stderr():
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise corrupt(path, error) from error
    return interpreter


def ports(interpreter: Any, path: str | Path) -> tuple[Port, Port]:
    """The only input and the only output.

    Raises:
        InputError: `tflite.ports` when there are more of either.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            "tflite.ports",
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; a classifier has one of each.",
            "give a file with one image input and one output of class probabilities.",
        )
    return _port(inputs[0]), _port(outputs[0])


def _port(detail: dict[str, Any]) -> Port:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(n) for n in detail["shape"])
    return Port(int(detail["index"]), shape, np.dtype(detail["dtype"]), float(scale), int(zero_point))


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Keeps LiteRT's C++ notice ("Created TensorFlow Lite XNNPACK delegate") out of the terminal.

    It goes to file descriptor 2 past Python and knows no switch. Errors come as exceptions, so none are lost.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, as under pythonw or a daemon
        yield
        return
    try:
        with Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
