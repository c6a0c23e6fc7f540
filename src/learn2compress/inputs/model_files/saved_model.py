"""A SavedModel: a folder with a TensorFlow graph, its variables and the signatures by which it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.core.silence import silenced
from learn2compress.inputs.model_files.black_box import Names, digest
from learn2compress.inputs.model_files.graph_safety import reached, refuse_operations
from learn2compress.inputs.model_files.keras_saved_model import rebuilt_model
from learn2compress.inputs.model_files.ports import class_port, image_form, image_port
from learn2compress.inputs.model_files.protobuf import damaged, read_message
from learn2compress.inputs.model_files.tensorflow_graph import graph_box, load_failed, port_of
from learn2compress.inputs.wording import listed

GRAPH = "saved_model.pb"
_SERVING = "serving_default"
_INITIALIZERS = ("saved_model_main_op", "legacy_init_op")
_INIT_SIGNATURE = "__saved_model_init_op"


def check_saved_model(path: Path) -> None:
    """Refuses a folder that holds no whole SavedModel, or one that does more than compute, without TensorFlow.

    Raises:
        InputError: `teacher.damaged_file`, `teacher.carries_code`, `teacher.no_signature`.
    """
    _checked(path)


def _checked(path: Path) -> Any:
    """The meta graph that is for serving."""
    graphs = read_message(path / GRAPH, "SavedModel").meta_graphs
    if not graphs:
        raise damaged(path, f"{GRAPH} holds no graph")
    serving = [one for one in graphs if "serve" in one.info.tags] or list(graphs)
    chosen = serving[0]
    for one in graphs:
        # Restoring the variables leads to checkpoints, and so does saving, which nobody calls. Nothing else may.
        restored = reached(one.graph, [one.saver.restore]) if one.saver.restore else set()
        refuse_operations(one.graph, path, _run(one), restored)
    signatures = [entry.key for entry in chosen.signature if entry.key != _INIT_SIGNATURE]
    if not signatures:
        raise InputError(
            "teacher.no_signature",
            f"{path} has no signature, so nothing says how it is called.",
            "export it with one: model.export(folder) for a Keras model, or tf.saved_model.save(model, folder, "
            "signatures=function).",
        )
    has_variables = any(node.op in ("VarHandleOp", "VariableV2", "Variable") for node in chosen.graph.node)
    files = [path / "variables" / "variables.index", path / "variables" / "variables.data-00000-of-00001"]
    if has_variables and not files[0].exists():
        raise damaged(path, f"its folder {files[0].parent.name} is not there")
    return chosen


def _run(graph: Any) -> set[str]:
    """Names of the nodes and functions that loading and calling lead to, but for the restoring of variables."""
    tensors = [info.value.name for entry in graph.signature for info in entry.value.outputs if info.value.name]
    for entry in graph.collection:
        if entry.key in _INITIALIZERS:
            tensors += entry.value.nodes.value
    return reached(graph.graph, tensors, [entry.key for entry in graph.objects.functions])


def load_saved_model(path: Path, names: Names) -> Any:
    """Loads a signature of the model as a black box; as a `keras.Model` where Keras 2 left what it takes to build it.

    Args:
        path: the folder.
        names: of the signature's input and output to use; what is left out is found by type and shape.

    Raises:
        InputError: as `check_saved_model`, and `teacher.load_failed`, `teacher.custom_ops`, `teacher.many_inputs`,
            `teacher.many_outputs`, `teacher.no_such_input`, `teacher.no_such_output`, `teacher.not_an_image`,
            `teacher.not_a_classifier`.
    """
    tags = list(_checked(path).info.tags)
    import tensorflow as tf

    try:
        with silenced():
            loaded = tf.saved_model.load(str(path), tags=tags)
    except Exception as error:
        raise load_failed(path, error) from error
    name = _signature(loaded.signatures, path)
    signature = loaded.signatures[name]
    takes = signature.structured_input_signature[1]
    gives = signature.structured_outputs
    inputs = [port_of(spec, key) for key, spec in takes.items()]
    source = image_port(inputs, names.input, path.name)
    others = [port for port in inputs if port is not source]
    if others:
        raise InputError(
            "teacher.many_inputs",
            f"The signature {name} of {path} wants more than the image {source.name}: {listed(others)}.",
            "export it with a signature of the image alone.",
        )
    target = class_port([port_of(spec, key) for key, spec in gives.items()], names.output, path.name)

    def function(images: Any) -> Any:
        assert loaded is not None  # the signature does not keep the model, and with it the variables, alive
        return signature(**{source.name: images})[target.name]

    box = graph_box(
        "a SavedModel",
        path.name,
        function,
        image_form(source, channels_first=False),
        digest([path / GRAPH, *sorted(path.glob("variables/variables.*"))], name, source.name, target.name),
        _weights(signature),
    )
    model = rebuilt_model(path, loaded, box) if names == Names() else None
    return box if model is None else model


def _signature(signatures: Any, path: Path) -> str:
    known = [str(name) for name in signatures]
    if _SERVING in known:
        return _SERVING
    if len(known) == 1:
        return known[0]
    raise InputError(
        "teacher.no_signature",
        f"{path} has no signature {_SERVING}, but {listed(known)}.",
        f"export it with the one to use as {_SERVING}.",
    )


def _weights(signature: Any) -> int | None:
    """Number of values in the variables; None where there are none, as they may have become constants."""
    count = sum(int(variable.shape.num_elements() or 0) for variable in signature.variables)
    return count or None


def is_saved_model(path: Path) -> bool:
    """Whether a folder holds a SavedModel."""
    return (path / GRAPH).is_file()
