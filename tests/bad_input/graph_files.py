"""ONNX models and TensorFlow graphs that are damaged, run code, reach outside or are no image classifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bad_input.keras_files import MARKER, bytes_of, part_of

SIZE, CLASSES = 8, 2


def onnx_file(
    shape: tuple[Any, ...] = ("n", 3, SIZE, SIZE),
    outputs: int = 1,
    change: Callable[[Any], object] = lambda model: None,
    *,
    pooled: bool = True,
) -> Callable[[Path, Any], None]:
    """A maker of a model that averages over the image and weighs the channels."""

    def make(path: Path, shop: Any) -> None:
        import onnx

        helper, kinds = onnx.helper, onnx.TensorProto
        weights = np.ones((int(shape[1]), CLASSES), np.float32)
        nodes = [
            helper.make_node("ReduceMean", ["image", "axes"], ["means"], keepdims=0)
            if pooled
            else helper.make_node("Identity", ["image"], ["means"])
        ]
        nodes += [helper.make_node("MatMul", ["means", "weights"], [f"scores{n}"]) for n in range(outputs)]
        graph = helper.make_graph(
            nodes,
            "classifier",
            [helper.make_tensor_value_info("image", kinds.FLOAT, shape)],
            [helper.make_tensor_value_info(f"scores{n}", kinds.FLOAT, ("n", CLASSES)) for n in range(outputs)],
            [
                onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
                onnx.numpy_helper.from_array(weights, "weights"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        change(model)
        path.write_bytes(model.SerializeToString())

    return make


def outside(model: Any) -> None:
    """Its weights are said to be in a file that is not the model's."""
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = 1  # external
    tensor.external_data.add(key="location", value="../../etc/passwd")


def missing(model: Any) -> None:
    """Its weights are said to be beside it."""
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="weights.bin")


def unknown_operation(model: Any) -> None:
    model.graph.node[0].op_type = "Teleport"


def frozen_graph(build: Callable[[Any], None]) -> Callable[[Path, Any], None]:
    """A maker of a graph of TensorFlow 1."""

    def make(path: Path, shop: Any) -> None:
        import tensorflow as tf

        with tf.Graph().as_default() as graph:
            build(tf)
        path.write_bytes(graph.as_graph_def().SerializeToString())

    return make


def _image(tf: Any) -> Any:
    return tf.compat.v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), "image")


def runs_python(tf: Any) -> None:
    means = tf.reduce_mean(_image(tf), (1, 2))

    def run(x: Any) -> Any:
        Path(MARKER).touch()
        return x[:, :CLASSES]

    tf.identity(tf.compat.v1.py_func(run, [means], tf.float32), "scores")


def writes_file(tf: Any) -> None:
    scores = tf.reduce_mean(_image(tf), (1, 2))
    with tf.control_dependencies([tf.io.write_file(MARKER, "written")]):
        tf.nn.softmax(scores, name="scores")


def aborts(tf: Any) -> None:
    scores = tf.reduce_mean(_image(tf), (1, 2))
    with tf.control_dependencies([tf.raw_ops.Abort(error_msg="gone")]):
        tf.nn.softmax(scores, name="scores")


def not_frozen(tf: Any) -> None:
    weights = tf.compat.v1.get_variable("weights", (3, CLASSES), use_resource=False)
    tf.matmul(tf.reduce_mean(_image(tf), (1, 2)), weights, name="scores")


def of_vectors(tf: Any) -> None:
    tf.nn.softmax(tf.compat.v1.placeholder(tf.float32, (None, 5), "numbers"), name="scores")


def pixelwise(tf: Any) -> None:
    tf.nn.softmax(_image(tf), name="scores")


def saved_model(scores: Callable[[Any, Any], Any]) -> Callable[[Path, Any], None]:
    """A maker of a SavedModel whose scores are `scores(tf, means of the channels)`; nothing of it is run here."""

    def make(path: Path, shop: Any) -> None:
        import tensorflow as tf

        @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), name="image")], autograph=False)
        def serve(image: Any) -> Any:
            return {"scores": scores(tf, tf.reduce_mean(image, (1, 2)))}

        module = tf.Module()
        module.weight = tf.Variable(1.0)
        module.serve = serve
        tf.saved_model.save(module, str(path), signatures=serve)

    return make


def by_python(tf: Any, means: Any) -> Any:
    def run(x: Any) -> Any:
        Path(MARKER).touch()
        return x[:, :CLASSES]

    return tf.ensure_shape(tf.py_function(run, [means], tf.float32), (None, CLASSES))


def beside_a_file(tf: Any, means: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file(MARKER, "written")]):
        return tf.nn.softmax(means)


def by_a_file(tf: Any, means: Any) -> Any:
    return means + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)


def graph_alone(share: float) -> Callable[[Path, Any], None]:
    """A maker of a SavedModel without its variables, whose graph is cut off to a share of its length."""

    def make(path: Path, shop: Any) -> None:
        path.mkdir()
        content = (shop.made("good_model") / "saved_model.pb").read_bytes()
        (path / "saved_model.pb").write_bytes(content[: int(len(content) * share)])

    return make


GRAPH_FILES: dict[str, Callable[[Path, Any], object]] = {
    "good.onnx": onnx_file(),
    "empty.onnx": bytes_of(b""),
    "text.onnx": bytes_of(b"this is not a model\n"),
    "cut.onnx": part_of("good.onnx", 0.5),
    "outside.onnx": onnx_file(change=outside),
    "missing.onnx": onnx_file(change=missing),
    "unknown_operation.onnx": onnx_file(change=unknown_operation),
    "two_outputs.onnx": onnx_file(outputs=2),
    "four_channels.onnx": onnx_file(("n", 4, SIZE, SIZE)),
    "vectors.onnx": onnx_file(("n", 5), pooled=False),
    "text.pb": bytes_of(b"this is not a graph\n"),
    "runs_python.pb": frozen_graph(runs_python),
    "writes_file.pb": frozen_graph(writes_file),
    "aborts.pb": frozen_graph(aborts),
    "not_frozen.pb": frozen_graph(not_frozen),
    "of_vectors.pb": frozen_graph(of_vectors),
    "pixelwise.pb": frozen_graph(pixelwise),
    "good_model": saved_model(lambda tf, means: tf.nn.softmax(means)),
    "python_model": saved_model(by_python),
    "writing_model": saved_model(beside_a_file),
    "reading_model": saved_model(by_a_file),
    "half_model": graph_alone(0.5),
    "without_variables": graph_alone(1),
}
