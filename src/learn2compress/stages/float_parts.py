"""What an integer file does in float32, each operator with its reason; what has none is not let through."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from learn2compress.core.family import FloatPart
from learn2compress.core.precision import INTEGER, FileFormat
from learn2compress.export.convert import PIXELS_SCOPE
from learn2compress.measure.flatbuffer import read_subgraphs
from learn2compress.measure.graph import FloatOperator, float_operators

# These change numbers from one type into another, and compute nothing.
CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
NO_INT16_KERNEL = frozenset({"NEG", "PRELU"})


def kept_for(wide: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """For each layer that computes in float32 because of a tensor that is kept so, the reason.

    Args:
        wide: for each such tensor, by the layer that gives it, the layers.
    """
    return {
        layer: f"the output of {name} is kept in float32: see mixed"
        for name, layers in reversed(list(wide.items()))
        for layer in layers
    }


def float_parts(
    path: Path, written: FileFormat, reasons: Mapping[str, str]
) -> tuple[tuple[FloatPart, ...], tuple[str, ...]]:
    """The parts of a file that are in float32 for a reason, and the operators that are without any.

    Args:
        path: the file.
        written: what it should be. In a float file nothing needs a reason.
        reasons: for each layer that computes in float32, by its name, why.

    Returns:
        Parts with their reasons; `POSITION:NAME` of the operators that have none.
    """
    if written.precision not in INTEGER:
        return (), ()
    graph = read_subgraphs(path)[0]
    ends = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
    found: dict[str, list[str]] = {}
    explained: dict[str, str] = {}  # float tensor -> the reason that it is one
    if written.input_type == "float32":
        explained |= dict.fromkeys((t.name for t in graph.inputs), "the app feeds float32 pixels")
    if written.output_type == "float32":
        explained |= dict.fromkeys((t.name for t in graph.outputs), "the app gets float32")
    operators = float_operators(path)

    def reason_of(operator: FloatOperator) -> str | None:
        if operator.name in CONVERSIONS:
            return next((explained[t] for t in (*operator.inputs, *operator.outputs) if t in explained), None)
        if written.precision == "int16x8" and operator.name in NO_INT16_KERNEL:
            return f"there is no int16 kernel for {operator.name}"
        layers = layer_names(operator.tensor)
        if written.input_type == "float32" and PIXELS_SCOPE in layers:
            return "the app feeds float32 pixels"
        return next((reasons[layer] for layer in layers if layer in reasons), None)

    for operator in operators:
        if operator.name not in CONVERSIONS and (reason := reason_of(operator)):
            explained |= {t: reason for t in (*operator.inputs, *operator.outputs) if t not in ends}
    left = []
    for operator in operators:
        reason = reason_of(operator)
        if reason is None:
            left.append(operator.label)
        else:
            found.setdefault(reason, []).append(operator.label)
    parts = tuple(FloatPart(operators=tuple(labels), reason=reason) for reason, labels in found.items())
    return parts, tuple(left)


def layer_names(tensor: str) -> list[str]:
    """The Keras layers that a tensor's name in a file speaks of.

    The converter joins the names of what it has fused, `member_1/out_1/Relu6;member_1/sum_1/Add`, and a layer that is
    called a second time gets a number.
    """
    pieces = [piece for part in tensor.split(";") for piece in part.split("/")]
    return list(dict.fromkeys(name for piece in pieces for name in (piece, re.sub(r"_\d+$", "", piece))))
