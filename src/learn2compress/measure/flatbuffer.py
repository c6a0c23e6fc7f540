"""Reads a `.tflite` file's FlatBuffer into plain records, with LiteRT's own schema; nothing is run."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learn2compress.measure.runtime import check_file, corrupt


@dataclass(frozen=True)
class TensorInfo:
    """A tensor.

    Attributes:
        name: as the converter gave it.
        shape: 1 where a dimension is dynamic.
        dtype: as the schema spells it, for example `UINT8`.
        scale, zero_point: real value = scale * (stored - zero_point). None where the tensor is not quantized,
            or has one scale per channel.
        constant: whether its values are in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    constant: bool = False


@dataclass(frozen=True)
class Op:
    """An operation. `inputs` and `outputs` are its tensors; an optional input that is left out is None."""

    name: str
    custom: bool
    inputs: tuple[TensorInfo | None, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class Subgraph:
    """The main graph, or the body of a loop or branch."""

    tensors: tuple[TensorInfo, ...]
    ops: tuple[Op, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def read_subgraphs(path: str | Path) -> tuple[Subgraph, ...]:
    """The file's graphs, the main one first.

    Raises:
        InputError: `tflite.missing`, `tflite.not_tflite` or `tflite.unreadable`.
    """
    path = check_file(path)
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(path.read_bytes(), 0)
        graphs = tuple(_subgraph(schema, model, model.Subgraphs(g)) for g in range(model.SubgraphsLength()))
    # The generated reader trusts every offset: out of a damaged file any of these can come.
    except (
        struct.error,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise corrupt(path, error) from error
    if not graphs:
        raise corrupt(path, "it holds no graph")
    return graphs


def _subgraph(schema: Any, model: Any, graph: Any) -> Subgraph:
    types = _names(schema.TensorType)
    tensors = tuple(_tensor(model, graph.Tensors(t), types) for t in range(graph.TensorsLength()))
    builtin = _names(schema.BuiltinOperator)
    ops = tuple(_op(model, graph.Operators(o), tensors, builtin) for o in range(graph.OperatorsLength()))
    return Subgraph(
        tensors,
        ops,
        tuple(tensors[graph.Inputs(i)] for i in range(graph.InputsLength())),
        tuple(tensors[graph.Outputs(i)] for i in range(graph.OutputsLength())),
    )


def _tensor(model: Any, tensor: Any, types: dict[int, str]) -> TensorInfo:
    scale = zero_point = None
    quantization = tensor.Quantization()
    if quantization is not None and quantization.ScaleLength() == 1:
        scale = float(quantization.Scale(0))
        zero_point = int(quantization.ZeroPoint(0)) if quantization.ZeroPointLength() else 0
    buffer = model.Buffers(tensor.Buffer())
    return TensorInfo(
        name=(tensor.Name() or b"").decode("utf-8", "replace"),
        shape=tuple(int(tensor.Shape(d)) for d in range(tensor.ShapeLength())),
        dtype=types[tensor.Type()],
        scale=scale,
        zero_point=zero_point,
        # Offset above 1: a file of more than 2 GB keeps its data behind the FlatBuffer.
        constant=buffer is not None and (buffer.DataLength() > 0 or buffer.Offset() > 1),
    )


def _op(model: Any, op: Any, tensors: tuple[TensorInfo, ...], builtin: dict[int, str]) -> Op:
    code = model.OperatorCodes(op.OpcodeIndex())
    # Codes above 127 came late: the old field is one byte and says 127 for them. The larger one is right.
    name = builtin[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    custom = name == "CUSTOM"
    if custom:
        name = (code.CustomCode() or b"CUSTOM").decode("utf-8", "replace")
    inputs = (op.Inputs(i) for i in range(op.InputsLength()))
    return Op(
        name,
        custom,
        tuple(tensors[i] if i >= 0 else None for i in inputs),
        tuple(tensors[op.Outputs(i)] for i in range(op.OutputsLength())),
    )


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
