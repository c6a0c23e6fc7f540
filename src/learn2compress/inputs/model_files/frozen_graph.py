"""A TensorFlow 1 frozen graph: a `.pb` file of one GraphDef whose variables have become constants."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.core.silence import silenced
from learn2compress.inputs.model_files.black_box import BlackBox, Names, digest
from learn2compress.inputs.model_files.graph_safety import node_name, reached, refuse_operations
from learn2compress.inputs.model_files.ports import FLOATS, Port, class_port, image_form, image_port
from learn2compress.inputs.model_files.protobuf import damaged, read_message
from learn2compress.inputs.model_files.tensorflow_graph import graph_box, load_failed, port_of
from learn2compress.inputs.wording import listed

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
# What makes scores: operations with weights.
_LAYERS = ("MatMul", "Conv2D")


def check_frozen_graph(path: Path) -> None:
    """Refuses what is no graph, or does more than compute, without importing TensorFlow.

    Raises:
        InputError: `teacher.damaged_file`, `teacher.carries_code`.
    """
    _checked(path)


def _checked(path: Path) -> Any:
    graph = read_message(path, "GraphDef")
    if not graph.node or not all(node.op for node in graph.node):
        raise damaged(path, "it holds no graph of operations")
    # Nothing may stand anywhere that runs code: TensorFlow evaluates small parts of a graph when it reads one.
    refuse_operations(graph, path, run=())
    return graph


def load_frozen_graph(path: Path, names: Names) -> BlackBox:
    """Loads the graph as a black box.

    Args:
        path: the file.
        names: of the tensors or nodes to use; what is left out is found by type and shape: the placeholder that takes
            images, and the last tensor of floats with one score a class.

    Raises:
        InputError: as `check_frozen_graph`, and `teacher.load_failed`, `teacher.custom_ops`, `teacher.not_frozen`,
            `teacher.many_inputs`, `teacher.many_outputs`, `teacher.no_such_input`, `teacher.no_such_output`,
            `teacher.not_an_image`, `teacher.not_a_classifier`.
    """
    plain = _checked(path)
    import tensorflow as tf

    try:
        with silenced():
            definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
            whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    except Exception as error:
        raise load_failed(path, error) from error
    source = _input(whole.graph, names.input, path.name)
    target = _output(whole.graph, source, names.output, path.name)
    _check_part(plain, source.name, target.name, path)
    try:
        with silenced():
            function = whole.prune(source, target)
    except Exception as error:
        raise load_failed(path, error) from error
    form = image_form(port_of(source, source.name), channels_first=False)
    needed = reached(_cut(plain, source.name), [target.name])
    return graph_box(
        "a frozen TensorFlow graph",
        path.name,
        function,
        form,
        digest([path], source.name, target.name),
        _weights(definition, needed),
    )


def _input(graph: Any, wanted: str, model: str) -> Any:
    """The tensor that takes the image."""
    found = [op.outputs[0] for op in graph.get_operations() if op.type in _PLACEHOLDERS]
    if wanted:
        found = [_tensor(graph, wanted)] if _tensor(graph, wanted) is not None else found
    ports = {tensor.name: tensor for tensor in found}
    chosen = image_port([port_of(tensor, name) for name, tensor in ports.items()], wanted, model)
    return ports[chosen.name]


def _tensor(graph: Any, name: str) -> Any:
    """The tensor of that name, or the first output of the node of that name; None where there is none."""
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError):
        return None


def _output(graph: Any, source: Any, wanted: str, model: str) -> Any:
    """The tensor of the scores."""
    found = _candidates(graph, source)
    named = _tensor(graph, wanted) if wanted else None
    if named is not None:
        found = [named]
    ports = {tensor.name: tensor for tensor in found}
    chosen: Port = class_port([port_of(tensor, name) for name, tensor in ports.items()], wanted, model)
    return ports[chosen.name]


def _candidates(graph: Any, source: Any) -> list[Any]:
    """Tensors that may be the scores: made from the image, floats of shape (n, classes), and no others come after."""
    made: list[Any] = []
    seen, waiting = {source.op}, [source.op]
    while waiting:
        for output in waiting.pop().outputs:
            for user in output.consumers():
                if user not in seen:
                    seen.add(user)
                    waiting.append(user)
                    made += [tensor for tensor in user.outputs if tensor.dtype.name in FLOATS]
    fitting = [tensor for tensor in made if _like_scores(tensor)]
    if not fitting:
        return [tensor for tensor in made if not tensor.consumers()]
    earlier: set[Any] = set()
    waiting = [taken.op for tensor in fitting for taken in tensor.op.inputs]
    while waiting:
        operation = waiting.pop()
        if operation not in earlier:
            earlier.add(operation)
            waiting += [taken.op for taken in operation.inputs]
    return [tensor for tensor in fitting if tensor.op not in earlier]


def _like_scores(tensor: Any) -> bool:
    if tensor.shape.rank is None or tensor.shape.rank < 2:
        return False
    _, *middle, last = tensor.shape.as_list()
    return last is not None and all(n == 1 for n in middle) and (last > 1 or (last == 1 and _made_single(tensor)))


def _made_single(tensor: Any) -> bool:
    """Whether one number an image is all that its layer makes: no largest or mean of several scores."""
    seen, waiting = {tensor.op}, [tensor.op]
    while waiting:
        operation = waiting.pop(0)
        if operation.type in _LAYERS:
            shape = operation.outputs[0].shape
            return shape.rank is not None and shape[-1] == 1
        makers = [taken.op for taken in operation.inputs if taken.op not in seen]
        seen.update(makers)
        waiting += makers
    return False


def _check_part(graph: Any, source: str, target: str, path: Path) -> None:
    """Refuses a part of the graph, from the image to the scores, that can't be run by itself."""
    part = _cut(graph, source)
    needed = reached(part, [target])
    refuse_operations(part, path, run=needed)
    nodes = [node for node in part.node if node.name in needed]
    variables = [node.name for node in nodes if node.op in _VARIABLES]
    if variables:
        raise InputError(
            "teacher.not_frozen",
            f"{path} is a graph without its weights: {listed(variables, 3)} are variables.",
            "freeze it (its variables become constants), or give the folder of the SavedModel.",
        )
    others = [node.name for node in nodes if node.op in _PLACEHOLDERS[:2] and node.name != node_name(source)]
    if others:
        raise InputError(
            "teacher.many_inputs",
            f"{path} needs more than the image {source} for {target}: {listed(others)}.",
            "export it for inference alone, with constants in place of these; or name other tensors with "
            "--model-input and --model-output.",
        )


def _cut(graph: Any, source: str) -> Any:
    """The graph without what comes before the image."""
    cut = type(graph).FromString(graph.SerializeToString())
    for node in cut.node:
        if node.name == node_name(source):
            del node.input[:]
    return cut


def _weights(definition: Any, needed: Collection[str]) -> int:
    """Number of values in the constants of floats that are needed."""
    count = 0
    for node in definition.node:
        if node.op == "Const" and node.name in needed and node.attr["dtype"].type in (1, 2, 14, 19):  # floats
            sizes = [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
            product = 1
            for size in sizes:
                product *= size
            count += product
    return count
