"""How much memory TensorFlow Lite Micro needs for a file's tensors: a plan from the tensors' lifetimes."""

from __future__ import annotations

from math import prod
from pathlib import Path

from learn2compress.measure.flatbuffer import Subgraph, TensorInfo, read_subgraphs

ALIGNMENT = 16
BYTES = {"INT8": 1, "UINT8": 1, "BOOL": 1, "INT16": 2, "FLOAT16": 2, "INT32": 4, "FLOAT32": 4, "INT64": 8}
# What the interpreter keeps beside activations, on a 64-bit host: a little above its account (`print_allocations`)
# of members of this project. A 32-bit controller takes less.
PER_TENSOR, PER_OP, PER_CHANNEL, FIXED = 24, 64, 8, 2048
OP_DATA = 256
PER_CHANNEL_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


def planned_arena_bytes(path: str | Path) -> int:
    """An estimate of the arena that TensorFlow Lite Micro needs for the file; `measure.micro` measures it.

    Activations are placed as its greedy planner does: the largest first, each at the lowest place that is free
    while it lives. What the interpreter keeps for tensors, operators and channels is added by rule. Kernels
    that a chip's maker provides may want scratch memory on top.

    Raises:
        InputError: `tflite.*`.
    """
    graph = read_subgraphs(path)[0]
    return activation_bytes(graph) + _kept_bytes(graph)


def activation_bytes(graph: Subgraph) -> int:
    """Peak of the activations when those that never live at once share their place."""
    placed: list[tuple[int, int, int, int]] = []  # start, end of place; first, last operation
    for size, first, last in sorted(_lifetimes(graph), reverse=True):
        start = 0
        for other_start, other_end, other_first, other_last in sorted(placed):
            if first <= other_last and other_first <= last and start < other_end and other_start < start + size:
                start = other_end
        placed.append((start, start + size, first, last))
    return max((end for _, end, _, _ in placed), default=0)


def _lifetimes(graph: Subgraph) -> list[tuple[int, int, int]]:
    """(bytes, first operation, last operation) of each activation."""
    ends = len(graph.ops)
    lives: dict[int, list[int]] = {id(tensor): [0, 0] for tensor in graph.inputs}
    tensors: dict[int, TensorInfo] = {id(tensor): tensor for tensor in graph.inputs}
    for number, op in enumerate(graph.ops):
        for tensor in (*op.inputs, *op.outputs):
            if tensor is not None and not tensor.constant:
                tensors[id(tensor)] = tensor
                lives.setdefault(id(tensor), [number, number])[1] = number
    for tensor in graph.outputs:
        if id(tensor) in lives:
            lives[id(tensor)][1] = ends
    return [(_aligned(_bytes(tensors[key])), first, last) for key, (first, last) in lives.items()]


def _kept_bytes(graph: Subgraph) -> int:
    channels = sum(op.outputs[0].shape[-1] for op in graph.ops if op.name in PER_CHANNEL_OPS and op.outputs)
    return PER_TENSOR * len(graph.tensors) + (PER_OP + OP_DATA) * len(graph.ops) + PER_CHANNEL * channels + FIXED


def _bytes(tensor: TensorInfo) -> int:
    return prod(tensor.shape) * BYTES.get(tensor.dtype, 4)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
