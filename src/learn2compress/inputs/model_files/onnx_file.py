"""An `.onnx` file, run by ONNX Runtime, which is the extra `onnx`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import InputError
from learn2compress.inputs.model_files.black_box import BlackBox, Names, box_runner, digest
from learn2compress.inputs.model_files.ports import Port, class_port, image_form, image_port
from learn2compress.inputs.model_files.protobuf import damaged, read_message
from learn2compress.inputs.preprocessing import RAW
from learn2compress.inputs.wording import listed, shortened

# ONNX's words for element types, where NumPy has others.
_TYPES = {"float": "float32", "double": "float64"}
_FLOATS = (1, 10, 11, 16)  # in TensorProto.data_type
_SILENT = 4  # of ONNX Runtime's levels of severity: what matters comes as an exception


def check_onnx(path: Path) -> None:
    """Refuses what is no ONNX model, and one whose weights lie outside its folder, without ONNX Runtime.

    Raises:
        InputError: `teacher.damaged_file`, `teacher.carries_code`, `teacher.onnx_missing` without the extra.
    """
    _checked(path)
    _check_runtime(path)


def _checked(path: Path) -> tuple[int, list[Path]]:
    """Number of weights, and the files beside it that hold some of them."""
    model = read_message(path, "OnnxModel")
    if not model.ir_version or not model.graph.node or not model.opset:
        raise damaged(path, "it holds no ONNX graph")
    folder = path.absolute().parent.resolve()  # as what lies in it is, below
    files: set[Path] = set()
    for tensor in _tensors(model):
        for entry in tensor.external:
            if entry.key == "location":
                place = PurePosixPath(entry.value.replace("\\", "/"))
                if (
                    place.is_absolute()
                    or ".." in place.parts
                    or not (folder / place).resolve().is_relative_to(folder)
                ):
                    raise InputError(
                        "teacher.carries_code",
                        f"{path} is not loaded, because it reads its weights from {entry.value}, outside its folder.",
                        "export the model with its weights in the file itself or beside it.",
                    )
                files.add(folder / place)
    missing = sorted(str(file) for file in files if not file.is_file())
    if missing:
        raise damaged(path, f"its weights are in {listed(missing, 3)}, which is not there")
    weights = sum(prod(t.dims) for t in model.graph.initializer if t.data_type in _FLOATS)
    return weights, sorted(files)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of the model: of its graph, of those that operations hold, and of its functions."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    attributes = [attribute for function in model.functions for attribute in function.default]
    while graphs or nodes or attributes:
        while graphs:
            graph = graphs.pop()
            nodes += graph.node
            yield from graph.initializer
            yield from _parts(graph.sparse)
        while nodes:
            attributes += nodes.pop().attribute
        while attributes:
            attribute = attributes.pop()
            yield from (attribute.tensor, *attribute.tensors)  # one that is not there names no file
            yield from _parts([attribute.sparse, *attribute.sparses])
            graphs += [*attribute.graphs, *([attribute.graph] if attribute.HasField("graph") else [])]


def _parts(sparse: Iterable[Any]) -> Iterator[Any]:
    """The two tensors that each sparse one is made of."""
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def load_onnx(path: Path, names: Names) -> BlackBox:
    """Loads the file as a black box.

    Args:
        path: the file.
        names: of the input and output to use, where it has several that fit.

    Raises:
        InputError: as `check_onnx`, and `teacher.load_failed`, `teacher.many_inputs`, `teacher.many_outputs`,
            `teacher.no_such_input`, `teacher.no_such_output`, `teacher.not_an_image`, `teacher.not_a_classifier`.
    """
    weights, beside = _checked(path)
    _check_runtime(path)
    # From 1.29 on it reports to its maker, and leaves an identifier of the machine, unless this is set before import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    session = _session(path)
    inputs = [_port(argument) for argument in session.get_inputs()]
    source = image_port(inputs, names.input, path.name)
    others = [port for port in inputs if port is not source]
    if others:
        raise InputError(
            "teacher.many_inputs",
            f"{path} wants more than the image {source.name}: {listed(others)}.",
            "export it with the image as its only input.",
        )
    target = class_port([_port(argument) for argument in session.get_outputs()], names.output, path.name)
    form = image_form(source, channels_first=True)

    def call(stored: NDArray[Any]) -> Any:
        return session.run([target.name], {source.name: stored})[0]

    return BlackBox(
        "an ONNX model",
        form,
        digest([path, *beside], source.name, target.name),
        box_runner(call, form, path.name),
        preprocess=None if np.dtype(source.dtype).kind == "f" else RAW,
        parameters=weights or None,
    )


def _session(path: Path) -> Any:
    """The model in ONNX Runtime, which shares the work of a call out among threads of its own.

    Raises:
        InputError: `teacher.load_failed`.
    """
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = _SILENT
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class of its own for each reason, and no common one
        raise InputError(
            "teacher.load_failed",
            f"ONNX Runtime {runtime.__version__} can't load {path} ({shortened(error, 300)}).",
            "export it with an older opset and standard operations; or pass a function that calls the model to "
            "learn2compress.compress(function, ...).",
        ) from error


def _check_runtime(path: Path) -> None:
    if find_spec("onnxruntime") is None:
        raise InputError(
            "teacher.onnx_missing",
            f"Running {path} needs ONNX Runtime, which is not installed: it comes with the extra `onnx`.",
            "pip install 'learn2compress[onnx]'",
        )


def _port(argument: Any) -> Port:
    """An input or output; a dimension that has a name, or none, is open."""
    kind = str(argument.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(n if isinstance(n, int) else None for n in argument.shape)
    return Port(str(argument.name), shape or None, _TYPES.get(kind, kind), 0.0, 0)
