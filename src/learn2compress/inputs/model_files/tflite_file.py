"""A `.tflite` file, float or quantized: run by LiteRT, one batch of its own size at a time on each core."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.cores import usable_cores
from learn2compress.core.errors import InputError
from learn2compress.core.silence import silenced
from learn2compress.inputs.model_files.black_box import BlackBox, Names, box_runner, digest
from learn2compress.inputs.model_files.ports import Port, class_port, image_form, image_port
from learn2compress.inputs.model_files.protobuf import damaged
from learn2compress.inputs.preprocessing import NAMED, RAW, Preprocessing
from learn2compress.inputs.wording import shortened

IDENTIFIER = b"TFL3"
# What an int8 input's scale and zero point say that the model was trained on, within a step or two.
_RANGES = {"raw": (0.0, 255.0), "unit": (0.0, 1.0), "signed": (-1.0, 1.0)}
_RANGE_SLACK = 0.02
# Two threads at once in `silenced` would put each other's silence back in place of the terminal.
_opening = threading.Lock()


def check_tflite(path: Path) -> None:
    """Refuses what is cut off right behind the file's signature; LiteRT verifies the rest when it loads the file.

    Raises:
        InputError: `teacher.damaged_file`.
    """
    with path.open("rb") as file:
        root = int.from_bytes(file.read(4), "little")
    if not 8 <= root < path.stat().st_size - 4:
        raise damaged(path, "its root lies outside the file")


def load_tflite(path: Path, names: Names) -> BlackBox:
    """Loads the file as a black box.

    Args:
        path: the file.
        names: of the input and output to use, where it has several that fit.

    Raises:
        InputError: `teacher.damaged_file`, `teacher.custom_ops`, `teacher.many_inputs`, `teacher.many_outputs`,
            `teacher.no_such_input`, `teacher.no_such_output`, `teacher.not_an_image`, `teacher.not_a_classifier`.
    """
    check_tflite(path)
    interpreter = _opened(path)
    taken, given = interpreter.get_input_details(), interpreter.get_output_details()
    source = image_port([_port(detail) for detail in taken], names.input, path.name)
    if len(taken) > 1:
        others = ", ".join(str(_port(detail)) for detail in taken if detail["name"] != source.name)
        raise InputError(
            "teacher.many_inputs",
            f"{path} wants more than the image {source.name}: {others}.",
            "convert a model that takes the image alone.",
        )
    target = class_port([_port(detail) for detail in given], names.output, path.name)
    form = image_form(source, channels_first=False)
    detail = next(detail for detail in given if detail["name"] == target.name)
    call = _Interpreters(path, taken[0]["index"], detail["index"], target)
    return BlackBox(
        "a LiteRT file",
        form,
        digest([path], source.name, target.name),
        # Where the batch is open, one image at a time: each interpreter keeps the shape of its first.
        box_runner(call, form, path.name, threads=usable_cores(), at_once=1),
        preprocess=_preprocessing(source),
        # What can be timed as it stands, one image in and one vector of scores out.
        file=path if len(given) == 1 and form.size is not None and form.batch in (None, 1) else None,
    )


def _opened(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        with _opening, silenced():
            interpreter = Interpreter(model_path=str(path), num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        text = str(error)
        if any(word in text for word in ("custom op", "Select TensorFlow", "Flex", "unresolved")):
            raise InputError(
                "teacher.custom_ops",
                f"{path} needs operations that LiteRT does not have of its own ({shortened(error, 300)}).",
                "convert the model with TFLITE_BUILTINS alone; or give the model that it was converted from.",
            ) from error
        raise damaged(path, shortened(error)) from error
    return interpreter


def _port(detail: dict[str, Any]) -> Port:
    """The real shape: -1 in the signature is a dimension that is open."""
    signature = detail.get("shape_signature")
    shape = detail["shape"] if signature is None or len(signature) != len(detail["shape"]) else signature
    scale, zero_point = detail["quantization"]
    open_shape = tuple(None if n < 0 else int(n) for n in shape)
    return Port(str(detail["name"]), open_shape, np.dtype(detail["dtype"]).name, float(scale), int(zero_point))


def _preprocessing(port: Port) -> Preprocessing | None:
    """What the input's type and quantization say is done to pixels; None where they leave it open."""
    if port.dtype == "uint8":
        return RAW
    if port.dtype != "int8" or not port.scale:
        return None
    low, high = ((stored - port.zero_point) * port.scale for stored in (-128, 127))
    for name, (least, most) in _RANGES.items():
        slack = _RANGE_SLACK * (most - least)
        if abs(low - least) <= slack and abs(high - most) <= slack:
            return NAMED[name]
    return None


class _Interpreters:
    """Runs stored images (n, ...), on an interpreter for each thread that asks: each holds one set of tensors.

    So many of one thread are faster than one of many threads: an operation of a small model is too short to be
    shared out.
    """

    def __init__(self, path: Path, source: int, target: int, output: Port) -> None:
        self._path = path
        self._source, self._target, self._output = source, target, output
        self._own = threading.local()

    def __call__(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        if getattr(self._own, "shape", None) != stored.shape:
            self._own.interpreter = _opened(self._path)
            self._own.interpreter.resize_tensor_input(self._source, stored.shape)
            self._own.interpreter.allocate_tensors()
            self._own.shape = stored.shape
        interpreter = self._own.interpreter
        interpreter.set_tensor(self._source, stored)
        interpreter.invoke()
        values = interpreter.get_tensor(self._target).astype(np.float32)
        if self._output.scale:
            values = (values - np.float32(self._output.zero_point)) * np.float32(self._output.scale)
        return values
