"""For microcontrollers: the file as a C array, the operators it needs, and the arena it runs in."""

from __future__ import annotations

from learn2compress.apps.contents import AppModel
from learn2compress.apps.rendering import rendered
from learn2compress.core.errors import InputError
from learn2compress.measure.arena import planned_arena_bytes
from learn2compress.measure.flatbuffer import Op, read_subgraphs
from learn2compress.measure.micro import available, measured_arena_bytes

BYTES_A_LINE = 16
KIBIBYTE = 1024
# Methods of MicroMutableOpResolver whose names do not follow from the operation's by capitalising its words.
IRREGULAR = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "L2_POOL_2D": "AddL2Pool2D",
    "PADV2": "AddPadV2",
    "REDUCE_MAX": "AddReduceMax",
}
# Operations with weights, all of which Micro wants in the type that goes with the activations'.
WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"})
# What members of images are made of and TensorFlow Lite Micro runs.
# fmt: off
KNOWN = frozenset({
    "ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BATCH_TO_SPACE_ND", "CAST", "CONCATENATION", "CONV_2D",
    "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE", "DIV", "ELU", "EXP", "EXPAND_DIMS",
    "FULLY_CONNECTED", "GATHER", "HARD_SWISH", "L2_NORMALIZATION", "L2_POOL_2D", "LEAKY_RELU", "LOG",
    "LOGISTIC", "LOG_SOFTMAX", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NEG",
    "PACK", "PAD", "PADV2", "PRELU", "QUANTIZE", "REDUCE_MAX", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SHAPE", "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH",
    "SPLIT", "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM",
    "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK",
})
# fmt: on


def micro_files(model: AppModel) -> dict[str, str]:
    """Path -> text of the files for a microcontroller.

    Raises:
        InputError: `micro.operator`, `micro.types` or `micro.refused`.
    """
    for op in read_subgraphs(model.path)[0].ops:
        check_types(op, model.name)
    measured = available()
    arena_bytes = measured_arena_bytes(model.path) if measured else planned_arena_bytes(model.path)
    data = model.path.read_bytes()
    more = {
        "additions": [resolver_call(operator, model.name) for operator in model.operators],
        "arena_bytes": arena_bytes,
        "arena_size": -(-arena_bytes // KIBIBYTE) * KIBIBYTE,
        "measured": measured,
        "length": len(data),
        "rows": array_rows(data),
    }
    names = ("model_data.h", "model_data.cc", "classifier.h", "classifier.cc", "README.md")
    return rendered("micro", model, {name: f"{name}.j2" for name in names}, **more)


def resolver_call(operator: str, member: str) -> str:
    """The method of `MicroMutableOpResolver` that adds an operation.

    Raises:
        InputError: `micro.operator` where TensorFlow Lite Micro has none.
    """
    if operator not in KNOWN:
        raise InputError(
            "micro.operator",
            f"{member} has the operation {operator}, which TensorFlow Lite Micro does not run.",
            "export another member; those that `l2c compress` trains as int8 have none such.",
        )
    # A piece that begins with a digit, as in CONV_2D, keeps its capital letter.
    pieces = (piece if piece[0].isdigit() else piece.capitalize() for piece in operator.split("_"))
    return IRREGULAR.get(operator, "Add" + "".join(pieces))


def check_types(op: Op, member: str) -> None:
    """Refuses weights that TensorFlow Lite Micro has no kernel for: known without running it, which is an extra.

    Raises:
        InputError: `micro.types`.
    """
    first = op.inputs[0]
    types = {tensor.dtype for tensor in op.inputs if tensor is not None}
    from_half = op.name == "DEQUANTIZE" and "FLOAT16" in types
    hybrid = first is not None and first.dtype == "FLOAT32" and op.name in WEIGHTED and "INT8" in types
    if from_half or hybrid:
        found = "float16 weights" if from_half else "int8 weights for float activations (dynamic-range)"
        raise InputError(
            "micro.types",
            f"{member} has {found}, which TensorFlow Lite Micro does not run.",
            "export a member of precision int8, int16x8 or float32.",
        )


def array_rows(data: bytes) -> list[str]:
    """The bytes as C hexadecimal numbers, so many a line."""
    lines = (data[start : start + BYTES_A_LINE] for start in range(0, len(data), BYTES_A_LINE))
    return [", ".join(f"0x{byte:02x}" for byte in line) for line in lines]
