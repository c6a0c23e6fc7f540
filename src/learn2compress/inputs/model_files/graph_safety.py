"""What a TensorFlow graph would do besides computing: graphs that run code, or read or write files, are refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.inputs.wording import listed

# Patterns of whole operation names, and what they do. A classifier has no use for any of them.
DENIED: dict[str, str] = {
    r"(Eager)?PyFunc(Stateless)?": "runs Python code",
    r"ReadFile|WriteFile|MatchingFiles|WholeFileReader.*|ImportEvent|DumpTensor|RecordInput|LoadAndRemapMatrix": (
        "reads or writes files"
    ),
    r"(TextLine|FixedLengthRecord|TFRecord|LMDB|Identity)Reader.*|Reader[A-Z].*|DecodeProtoV2|EncodeProto": (
        "reads files"  # those of protobufs, their descriptions
    ),
    r".*Dataset.*|.*Iterator.*|InitializeTableFrom.*": "reads data or files",
    r"CreateSummary.*|.*SummaryWriter|Write.*Summary": "writes files",
    r"CalibrationStatisticsSaver|FileSystemSetConfiguration|DistributedSave": "writes files",
    r"Debug(Identity|NanCount|NumericSummary).*": "writes files or sends data away",
    r".*Rpc.*|RemoteCall|RemoteFusedGraphExecute|WorkerHeartbeat|_?(Host)?(Send|Recv)|Collective.*": (
        "talks to other machines"
    ),
    r"Abort": "ends the process",
    r".*[Qq]ueue.*|Barrier.*|.*Accumulator.*|(Consume)?Mutex.*": "may wait for ever",
    r"((Ordered)?Map)?(Uns|S)tage(NoKey|Clear|Peek|Size)?|(Ordered)?Map(Clear|IncompleteSize|Peek|Size)": (
        "may wait for ever"
    ),
}
# Those of checkpoints: TensorFlow restores variables by them, so they may stand where nothing but that leads to them.
CHECKPOINTS = re.compile(r"Save(V2|Slices)?|Restore(V2|Slice)?|DTensorRestoreV2|MergeV2Checkpoints")
_DENIED = [(re.compile(pattern), what) for pattern, what in DENIED.items()]


def refuse_operations(graph: Any, path: Path, run: Collection[str], restored: Collection[str] = ()) -> None:
    """Refuses a graph with operations that do more than compute.

    Args:
        graph: a `GraphDef` of `protobuf.read_message`.
        path: for the message.
        run: names of the nodes and functions that are run; operations of checkpoints are refused only there.
        restored: names of those that restore variables; there checkpoints may be read, but not written.

    Raises:
        InputError: `teacher.carries_code`.
    """
    found: dict[str, str] = {}
    for owner, node in _nodes(graph):
        what = _effect(node, owner in run, owner in restored)
        if what:
            found.setdefault(node.op, what)
    if found:
        raise InputError(
            "teacher.carries_code",
            f"{path} is not loaded, because its graph does more than compute: "
            f"{listed(f'{op} {what}' for op, what in sorted(found.items()))}.",
            "export the model for inference alone; if you trust where it comes from, load it in Python yourself and "
            "pass a function that calls it to learn2compress.compress(function, ...).",
        )


def _effect(node: Any, is_run: bool, is_restored: bool) -> str:
    """What a node does besides computing; empty for nothing."""
    if CHECKPOINTS.fullmatch(node.op):
        writes = "Restore" not in node.op
        return "reads or writes checkpoints" if is_run or (is_restored and writes) else ""
    if node.op == "PrintV2" and _stream(node).startswith(b"file:"):
        return "writes files"
    return next((what for pattern, what in _DENIED if pattern.fullmatch(node.op)), "")


def _stream(node: Any) -> bytes:
    return next((bytes(entry.value.s) for entry in node.attr if entry.key == "output_stream"), b"")


def _nodes(graph: Any) -> Iterator[tuple[str, Any]]:
    """Every node, with the function that it stands in, or its own name in the main graph."""
    for node in graph.node:
        yield node.name, node
    for function in graph.library.function:
        for node in function.node_def:
            yield function_owner(function.signature.name), node


def reached(graph: Any, tensors: Iterable[str], functions: Iterable[str] = ()) -> set[str]:
    """Nodes, by name, and functions, by `function_owner`, that some tensors or functions lead to.

    Args:
        graph: a `GraphDef` of `protobuf.read_message`.
        tensors: names of tensors or nodes of the main graph.
        functions: names of functions of its library.
    """
    owners: dict[str, list[Any]] = {node.name: [node] for node in graph.node}
    library = {function.signature.name for function in graph.library.function}
    owners |= {function_owner(f.signature.name): list(f.node_def) for f in graph.library.function}
    found: set[str] = set()
    waiting = [*map(node_name, tensors), *map(function_owner, functions)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for node in owners.get(name, ()):
            if name == node.name:  # inside of functions all is run, and names are their own
                waiting += map(node_name, node.input)
            waiting += (function_owner(called) for called in _called(node) if called in library)
    return found


def function_owner(name: str) -> str:
    """What stands for a function of the library, told apart from a node of the same name."""
    return f"{name}()"


def node_name(tensor: str) -> str:
    """`conv/Relu` of `conv/Relu:0` and of the control input `^conv/Relu`."""
    return tensor.removeprefix("^").partition(":")[0]


def _called(node: Any) -> list[str]:
    """Functions that a node calls: by the name of its operation, as old graphs do, or by its attributes."""
    found, waiting = [node.op], [entry.value for entry in node.attr]
    while waiting:
        value = waiting.pop()
        for function in (value.func, *value.list.func):
            if function.name:
                found.append(function.name)
                waiting += [entry.value for entry in function.attr]
    return found
