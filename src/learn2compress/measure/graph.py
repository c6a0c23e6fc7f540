"""What a `.tflite` file holds: operations, types, parameters, multiply-accumulates, and its float parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from learn2compress.measure.flatbuffer import Op, Subgraph, TensorInfo, read_subgraphs

# Operators behind which scores are no probabilities yet.
GIVE_LOGITS = frozenset(
    {"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL"}
)
MOVE_VALUES = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE"})
FLOAT = frozenset({"FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64"})
NOT_A_WEIGHT = frozenset({"INT32", "INT64", "UINT32", "UINT64", "BOOL", "STRING"})
# Where an operation's bias stands. Any other int32 constant is a shape, an axis or a padding.
BIAS_AT = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}


@dataclass(frozen=True)
class FileDescription:
    """What is in a file.

    Attributes:
        inputs, outputs: of the main graph.
        ops: operation -> how often, most frequent first. A custom operation goes by its own name.
        dtypes: element type -> number of tensors, most frequent first.
        parameters: elements of the constants that operations compute with (weights, biases, tables); shapes,
            axes and paddings are none. Equal constants that the converter merged count once.
        macs: multiply-accumulates of one inference: convolutions, transposed and depthwise ones, fully
            connected layers and batched matrix products.
        float_islands: `"12:CONV_2D"` (position and operation) for each operation with a float activation.
        custom_ops: operations that the standard runtime does not have.
        fully_integer: neither an operation nor an input or output has a float activation.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    ops: Mapping[str, int]
    dtypes: Mapping[str, int]
    parameters: int
    macs: int
    float_islands: tuple[str, ...]
    custom_ops: tuple[str, ...]
    fully_integer: bool

    @property
    def float_ops(self) -> int:
        """How many operations read or write a float tensor that is no constant."""
        return len(self.float_islands)


def describe(path: str | Path) -> FileDescription:
    """Reads the file without running it. An operation in the body of a loop or branch counts once.

    Raises:
        InputError: `tflite.missing`, `tflite.not_tflite` or `tflite.unreadable`.
    """
    graphs = read_subgraphs(path)
    ops = [op for graph in graphs for op in graph.ops]
    inputs, outputs = graphs[0].inputs, graphs[0].outputs
    islands = tuple(f"{position}:{op.name}" for position, op in enumerate(ops) if has_float_activation(op))
    return FileDescription(
        inputs=inputs,
        outputs=outputs,
        ops=dict(Counter(op.name for op in ops).most_common()),
        dtypes=dict(Counter(tensor.dtype for graph in graphs for tensor in graph.tensors).most_common()),
        parameters=sum(parameters(graph) for graph in graphs),
        macs=sum(macs(op) for op in ops),
        float_islands=islands,
        custom_ops=tuple(sorted({op.name for op in ops if op.custom})),
        fully_integer=not islands and not any(tensor.dtype in FLOAT for tensor in inputs + outputs),
    )


@dataclass(frozen=True)
class FloatOperator:
    """An operator with a float activation.

    Attributes:
        label: position and operation, as in `FileDescription.float_islands`.
        name: of the operation.
        inputs, outputs: names of the float tensors that it reads and writes, constants left out.
        tensor: name of its first output, of whatever type.
    """

    label: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensor: str


def float_operators(path: str | Path) -> tuple[FloatOperator, ...]:
    """The operators behind `FileDescription.float_islands`, with the tensors that they handle.

    Raises:
        InputError: `tflite.missing`, `tflite.not_tflite` or `tflite.unreadable`.
    """

    def floats(tensors: tuple[TensorInfo | None, ...]) -> tuple[str, ...]:
        return tuple(t.name for t in tensors if t is not None and t.dtype in FLOAT and not t.constant)

    ops = [op for graph in read_subgraphs(path) for op in graph.ops]
    return tuple(
        FloatOperator(
            label=f"{position}:{op.name}",
            name=op.name,
            inputs=floats(op.inputs),
            outputs=floats(op.outputs),
            tensor=op.outputs[0].name if op.outputs else "",
        )
        for position, op in enumerate(ops)
        if has_float_activation(op)
    )


def gives_logits(path: str | Path) -> bool:
    """Whether the file's output comes straight from a layer, with no softmax or other normalisation behind it.

    Raises:
        InputError: `tflite.missing`, `tflite.not_tflite` or `tflite.unreadable`.
    """
    graph = read_subgraphs(path)[0]
    wanted = graph.outputs[0].name if graph.outputs else ""
    for op in reversed(graph.ops):
        if not any(tensor.name == wanted for tensor in op.outputs):
            continue
        first = op.inputs[0] if op.inputs else None
        if op.name not in MOVE_VALUES or first is None:
            return op.name in GIVE_LOGITS
        wanted = first.name
    return False


def has_float_activation(op: Op) -> bool:
    """Whether the operation reads or writes a float tensor that is no constant."""
    return any(t is not None and t.dtype in FLOAT and not t.constant for t in op.inputs + op.outputs)


def parameters(graph: Subgraph) -> int:
    """Elements of the weights; a tensor that several operations share counts once."""
    weights = {
        id(tensor): prod(tensor.shape)
        for op in graph.ops
        for place, tensor in enumerate(op.inputs)
        if tensor is not None
        and tensor.constant
        and (tensor.dtype not in NOT_A_WEIGHT or BIAS_AT.get(op.name) == place)
    }
    return sum(weights.values())


def macs(op: Op) -> int:
    """Multiply-accumulates of one run of the operation; 0 for one that only moves, adds or looks up."""
    if not op.outputs:
        return 0
    shapes = [tensor.shape if tensor is not None else () for tensor in op.inputs]
    output = op.outputs[0].shape
    match op.name:
        case "CONV_2D":  # weights (out, height, width, in / groups)
            return prod(output) * prod(shapes[1][1:])
        case "DEPTHWISE_CONV_2D":  # weights (1, height, width, in * multiplier)
            return prod(output) * prod(shapes[1][1:3])
        case "FULLY_CONNECTED":  # weights (out, in)
            return prod(output) * shapes[1][1]
        case "TRANSPOSE_CONV":  # inputs: output shape, weights (out, height, width, in), activations
            return prod(shapes[2]) * prod(shapes[1][:3])
        case "BATCH_MATMUL":  # (..., rows, inner) x (..., inner, columns), either transposed on request
            return prod(output) * (prod(shapes[0][-2:]) // output[-2])
    return 0
