"""Every kind of model file, told apart by content; none is loaded before it was checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.inputs.keras_file import HDF5_SIGNATURE, check_keras_file, first_bytes, load_keras_file
from learn2compress.inputs.model_files.black_box import Names
from learn2compress.inputs.model_files.frozen_graph import check_frozen_graph, load_frozen_graph
from learn2compress.inputs.model_files.keras_names import named_model
from learn2compress.inputs.model_files.onnx_file import check_onnx, load_onnx
from learn2compress.inputs.model_files.saved_model import GRAPH, check_saved_model, is_saved_model, load_saved_model
from learn2compress.inputs.model_files.tflite_file import IDENTIFIER, check_tflite, load_tflite

EXPECTED = (
    "expected is a trained image classifier: a .keras or .h5 file of a whole model, the folder of a SavedModel, "
    "a frozen graph (.pb), a .tflite or an .onnx file"
)
# The first byte of a protocol buffer whose first field is number 1: of a number, or of something with a length.
_NUMBER, _LENGTH = b"\x08", b"\x0a"


@dataclass(frozen=True)
class ModelKind:
    """One kind of model file.

    Attributes:
        check: refuses what can't be one, or would run code, without importing TensorFlow, Keras or a runtime.
        load: function (path, names of input and output) -> a `keras.Model` or a `BlackBox`.
    """

    check: Callable[[Path], None]
    load: Callable[[Path, Names], Any]


def _load_keras(path: Path, names: Names) -> Any:
    return named_model(load_keras_file(path), names, path.name)


KINDS: dict[str, ModelKind] = {
    "keras": ModelKind(check_keras_file, _load_keras),
    "saved_model": ModelKind(check_saved_model, load_saved_model),
    "frozen_graph": ModelKind(check_frozen_graph, load_frozen_graph),
    "tflite": ModelKind(check_tflite, load_tflite),
    "onnx": ModelKind(check_onnx, load_onnx),
}


def check_model_file(path: Path) -> None:
    """Refuses what can't be a model, or would run code, without importing anything heavy.

    Raises:
        InputError: `teacher.not_found`, `teacher.unreadable`, `teacher.not_a_model`, or as the kind's own check.
    """
    KINDS[kind_of(path)].check(path)


def load_model_file(path: Path, names: Names) -> Any:
    """The model in a file or folder: a `keras.Model`, or a `BlackBox` where its layers can't be had.

    Raises:
        InputError: `teacher.not_found`, `teacher.unreadable`, `teacher.not_a_model`, or as the kind's own loader.
    """
    return KINDS[kind_of(path)].load(path, names)


def kind_of(path: Path) -> str:
    """The key in `KINDS` for a file or folder, by its content.

    Raises:
        InputError: `teacher.not_found`, `teacher.unreadable` or `teacher.not_a_model`.
    """
    if path.is_dir():
        if is_saved_model(path):
            return "saved_model"
        raise _no_model(path, "is a folder without saved_model.pb")
    head = first_bytes(path)
    if head.startswith(b"PK") or head == HDF5_SIGNATURE:
        return "keras"
    if head[4:8] == IDENTIFIER:
        return "tflite"
    if path.name == GRAPH:
        raise InputError(
            "teacher.not_a_model",
            f"{path} is a part of a SavedModel; without the variables beside it, it is no model.",
            f"give its folder: {path.parent}.",
        )
    if head.startswith(_NUMBER):
        return "onnx"
    if head.startswith(_LENGTH):
        return "frozen_graph"
    raise _no_model(path, "is not a model" if head else "is empty")


def _no_model(path: Path, what: str) -> InputError:
    return InputError(
        "teacher.not_a_model",
        f"{path} {what}; {EXPECTED}.",
        "save the trained model with model.save('model.keras') and give that file; or pass a Python function that "
        "calls it to learn2compress.compress(function, ...).",
    )
