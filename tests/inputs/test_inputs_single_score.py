"""Models of a single score, as `Dense(1, activation="sigmoid")` gives, teach two classes, whatever kind they are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from learn2compress.cli import main
from learn2compress.core.errors import InputError
from learn2compress.graph.trunk import own_layers
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.model_files.black_box import Names
from learn2compress.inputs.model_files.kinds import check_model_file
from learn2compress.inputs.symbolic import can_be_traced, pixels_to_probabilities
from learn2compress.inputs.teacher import load_teacher

SIZE = 8
# The logit of "green" (the second class): so much of red is against it, so much of green for it. Blue has no say, or
# it would be red and blue in another order that are told apart where channels are turned around.
WEIGHTS = np.array([-0.05, 0.05, 0.0], np.float32)


def pictures(n=120, classes=2, seed=0):
    """Red, then green ones; of three classes, the third blue."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = random.integers(0, 120, (n, SIZE, SIZE, 3))
    x[np.arange(n), :, :, y] += 100
    return x.astype(np.uint8), y


def logits(images):
    return np.asarray(images, np.float32).mean((1, 2)) @ WEIGHTS


def probabilities(images):
    return 1 / (1 + np.exp(-logits(images)))


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(pictures())


@pytest.fixture(scope="module")
def tf(keras):
    return pytest.importorskip("tensorflow")


def check(teacher, data, atol=1e-4):
    """It gives the probabilities of both classes, and is right."""
    images = np.concatenate([data.test.stacked, data.validation.stacked])
    labels = np.concatenate([data.test.labels, data.validation.labels])
    found = teacher.predict(images)
    expected = probabilities(images)
    np.testing.assert_allclose(found, np.stack([1 - expected, expected], axis=1), atol=atol)
    assert (found.argmax(1) == labels).all()
    assert (teacher.classes, teacher.preprocess.name) == (2, "raw")


# --- Keras models, by how they end


def built(keras, end):
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(3, 1, name="colours")(inputs)
    if end in ("map of logits", "map of sigmoids"):
        # No pooling of a sigmoid is the sigmoid of the pooled: its pictures are of one colour (see below).
        x = layers.Conv2D(1, 1, activation="sigmoid" if end == "map of sigmoids" else None, name="score")(x)
        return keras.Model(inputs, finished(keras, layers.GlobalAveragePooling2D()(x), end))
    if end == "convolution":
        x = layers.Conv2D(1, 1, name="score")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        return keras.Model(inputs, layers.Activation("sigmoid")(layers.Flatten()(x)))
    x = layers.GlobalAveragePooling2D()(x)
    made = {"sigmoid": "sigmoid", "cast": "sigmoid", "reshaped": "sigmoid"}.get(end)
    x = layers.Dense(1, activation=made, name="score")(layers.Dropout(0.2)(x))
    return keras.Model(inputs, finished(keras, x, end))


def finished(keras, x, end):
    layers = keras.layers
    if end in ("layer", "map of logits"):
        return layers.Activation("sigmoid")(x)
    if end == "cast":
        return layers.Activation("linear", dtype="float32")(x)
    if end == "reshaped":
        return layers.Reshape((1,))(x)
    if end == "operation":
        return keras.ops.sigmoid(x)
    if end == "vector":
        return keras.ops.squeeze(keras.ops.sigmoid(x), axis=-1)
    if end == "arithmetic":
        return 1 / (1 + keras.ops.exp(-x))
    return layers.Lambda(lambda z: z * 1.0)(x) if end == "lambda" else x


def trained(keras, end):
    model = built(keras, end)
    model.get_layer("colours").set_weights([np.eye(3)[None, None], np.zeros(3)])
    score = model.get_layer("score")
    score.set_weights([WEIGHTS.reshape(score.kernel.shape), np.zeros(1)])
    return model


ENDS = {
    **dict.fromkeys(("sigmoid", "layer", "cast", "reshaped", "convolution", "map of logits"), "probabilities"),
    **dict.fromkeys(("operation", "vector", "arithmetic"), "probabilities"),
    **dict.fromkeys(("linear", "lambda"), "logits"),
}
# Another layer makes both of the one score where what is behind the last layer with weights can't be said of two.
# What is behind a softmax is in the way of pruning for any number of classes.
NOT_PRUNED = ("operation", "vector", "arithmetic", "lambda", "reshaped")


@pytest.mark.parametrize("end", ENDS)
def test_a_keras_model_gets_a_second_output_whatever_it_ends_in(keras, dataset, end):
    model = trained(keras, end)
    before = model.get_weights()
    teacher = load_teacher(model, dataset=dataset)
    check(teacher, dataset)
    assert teacher.outputs == ENDS[end]
    assert teacher.keras_model.output_shape == (None, 2)
    own = own_layers(teacher.keras_model, teacher.input_size, teacher.outputs)
    assert (own.unpruned is None) == (end not in NOT_PRUNED)
    assert (own.uncut is None) == (end != "lambda")
    # The user's own model is what it was.
    assert model.output_shape in ((None, 1), (None,))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_pooled_map_of_sigmoids_keeps_its_sum(keras):
    model = trained(keras, "map of sigmoids")
    x, y = pictures()
    x[:] = x.mean((1, 2), keepdims=True)
    data = load_dataset((x, y))
    teacher = load_teacher(model, dataset=data)
    check(teacher, data)
    assert own_layers(teacher.keras_model).uncut is None


@pytest.mark.parametrize("kind", ["file", "sequential", "nested"])
def test_files_and_nested_models_are_read_too(keras, dataset, tmp_path, kind):
    model = trained(keras, "sigmoid")
    if kind == "sequential":
        layers = [keras.layers.Rescaling(1.0), *model.layers[1:]]
        model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *layers])
    elif kind == "nested":
        inputs = keras.Input((SIZE, SIZE, 3))
        model = keras.Model(inputs, model(keras.layers.Rescaling(1.0)(inputs)))
    else:
        model.save(tmp_path / "cat_or_dog.keras")
        model = tmp_path / "cat_or_dog.keras"
    teacher = load_teacher(model, dataset=dataset)
    check(teacher, dataset)
    assert own_layers(teacher.keras_model, outputs=teacher.outputs).unpruned is None


def test_a_subclassed_model_is_asked_as_it_is(keras, dataset):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = trained(keras, "sigmoid")

        def call(self, x):
            return self.inner(x)

    check(load_teacher(Own(), dataset=dataset), dataset)


def test_without_data_it_tells_two_classes_apart(keras):
    for end, outputs in (("sigmoid", "probabilities"), ("linear", "logits"), ("arithmetic", "probabilities")):
        teacher = load_teacher(trained(keras, end))
        assert (teacher.classes, teacher.outputs) == (2, outputs)


# --- Functions


def as_column(function):
    return lambda images: function(images)[:, None]


FUNCTIONS = {
    "probability": (as_column(probabilities), "probabilities"),
    "logit": (as_column(logits), "logits"),
    "probability, flat": (probabilities, "probabilities"),
    "logit, flat": (logits, "logits"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_one_score_teaches(dataset, name):
    function, outputs = FUNCTIONS[name]
    teacher = load_teacher(function, dataset=dataset)
    check(teacher, dataset)
    assert teacher.outputs == outputs


def test_logits_that_are_small_with_other_pixels_are_none_the_less_logits(dataset):
    """It takes pixels of 0..1, and nothing but a logit is below zero."""
    teacher = load_teacher(lambda images: logits(images * 255)[:, None], dataset=dataset, preprocess="unit")
    assert teacher.outputs == "logits"
    assert (teacher.predict(dataset.test.stacked).argmax(1) == dataset.test.labels).all()


# --- Files


def saved_model(tf, folder, *, logit=False, flat=False, wide=False):
    class Model(tf.Module):
        def __init__(self):
            self.weights = tf.Variable(WEIGHTS[:, None])

        @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), name="picture")])
        def serve(self, picture):
            score = tf.reduce_mean(picture, [1, 2]) @ self.weights
            score = score if logit else tf.sigmoid(score)
            both = {"both": tf.concat([1 - score, score], axis=1)} if wide else {}
            return {"score": score[:, 0] if flat else score, **both}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.serve)
    return folder


def frozen_graph(tf, path):
    """With a wide layer before the score, as most have."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        picture = v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), name="picture")
        wide = tf.nn.relu(tf.reduce_mean(picture, [1, 2]) @ tf.constant(np.eye(3, 16, dtype=np.float32)))
        kernel = np.concatenate([WEIGHTS, np.zeros(13, np.float32)])[:, None]
        tf.sigmoid(tf.nn.bias_add(wide @ tf.constant(kernel), tf.constant([0.0])), name="score")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def tflite(keras, tf, path, dtype=None):
    model = trained(keras, "sigmoid")
    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([tf.function(model).get_concrete_function(spec)])
    if dtype:
        some = pictures(30)[0].astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        extremes = np.zeros((1, SIZE, SIZE, 3), np.float32)
        converter.representative_dataset = lambda: [[extremes], [extremes + 255], *([x[None]] for x in some)]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
    path.write_bytes(converter.convert())
    return path


def onnx_file(path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "yes",
        [helper.make_tensor_value_info("picture", kind.FLOAT, ("n", 3, SIZE, SIZE))],
        [helper.make_tensor_value_info("score", kind.FLOAT, ("n", 1))],
        [onnx.numpy_helper.from_array(WEIGHTS[:, None], "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


FILES = {
    "SavedModel": (lambda k, tf, t: saved_model(tf, t / "m"), "probabilities"),
    "SavedModel of logits": (lambda k, tf, t: saved_model(tf, t / "m", logit=True), "logits"),
    "SavedModel, flat": (lambda k, tf, t: saved_model(tf, t / "m", flat=True), "probabilities"),
    "SavedModel with both beside": (lambda k, tf, t: saved_model(tf, t / "m", wide=True), "probabilities"),
    "frozen graph": (lambda k, tf, t: frozen_graph(tf, t / "m.pb"), "probabilities"),
    "tflite": (lambda k, tf, t: tflite(k, tf, t / "m.tflite"), "probabilities"),
    "tflite int8": (lambda k, tf, t: tflite(k, tf, t / "m.tflite", "int8"), "probabilities"),
    "tflite uint8": (lambda k, tf, t: tflite(k, tf, t / "m.tflite", "uint8"), "probabilities"),
    "onnx": (lambda k, tf, t: onnx_file(t / "m.onnx"), "probabilities"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_one_score_teaches(keras, tf, dataset, tmp_path, name):
    build, outputs = FILES[name]
    path = build(keras, tf, tmp_path)
    check_model_file(path)
    teacher = load_teacher(path, dataset=dataset)
    check(teacher, dataset, atol=0.03 if "int8" in name else 1e-4)
    assert (teacher.outputs, teacher.keras_model) == (outputs, None)
    assert teacher.fingerprint == load_teacher(path, dataset=dataset).fingerprint
    # A file of LiteRT is its own baseline; of a graph, one is made that gives both.
    assert teacher.given_file == (path if path.suffix == ".tflite" else None)
    assert can_be_traced(teacher) == (path.suffix not in (".tflite", ".onnx"))
    if can_be_traced(teacher):
        images = dataset.test.stacked
        traced = pixels_to_probabilities(teacher)(tf.constant(images, tf.float32))
        np.testing.assert_allclose(np.asarray(traced), teacher.predict(images), atol=1e-5)


def test_of_a_graph_that_ends_in_the_largest_score_the_scores_are_used(tf, tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        picture = v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), name="picture")
        kernel = tf.constant(0.05 * np.eye(3, dtype=np.float32))
        scores = tf.nn.softmax(tf.reduce_mean(picture, [1, 2]) @ kernel)
        tf.reduce_max(scores, axis=1, keepdims=True, name="how_sure")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    data = load_dataset(pictures(classes=3))
    teacher = load_teacher(tmp_path / "m.pb", dataset=data)
    assert teacher.classes == 3
    assert (teacher.predict(data.test.stacked).argmax(1) == data.test.labels).all()


# --- Which class it is, and what data it is for


@pytest.mark.parametrize("kind", ["keras", "function"])
def test_where_the_score_is_that_of_the_first_class_the_order_is_found(keras, events, progress, kind):
    x, y = pictures(200)
    turned = load_dataset((x, 1 - y))
    model = trained(keras, "sigmoid") if kind == "keras" else as_column(probabilities)
    teacher = load_teacher(model, dataset=turned, progress=progress)
    assert (teacher.predict(turned.test.stacked).argmax(1) == turned.test.labels).all()
    assert any("another order" in event.message for event in events if event.kind == "warning")
    if kind == "keras":
        assert own_layers(teacher.keras_model, outputs=teacher.outputs).unpruned is None


def test_what_the_score_is_taken_for_is_told(keras, dataset):
    named = replace(dataset, class_names=("cat", "dog"))
    teacher = load_teacher(trained(keras, "sigmoid"), dataset=named)
    assert any("single score" in finding and "dog" in finding for finding in teacher.findings)


def test_data_of_other_than_two_classes_is_refused_by_what_the_model_is(keras, tf, tmp_path):
    three = load_dataset(pictures(classes=3))
    cases = {
        r"Dense\(3": trained(keras, "sigmoid"),
        "SavedModel.*--model-output": saved_model(tf, tmp_path / "m"),
        "LiteRT file.*--model-output": tflite(keras, tf, tmp_path / "m.tflite"),
        r"scores \(n, 3\)": as_column(probabilities),
    }
    for fix, model in cases.items():
        with pytest.raises(InputError, match=r"single score.*3 classes") as caught:
            load_teacher(model, dataset=three)
        assert caught.value.code == "teacher.binary_output"
        assert re.search(fix, caught.value.fix), caught.value.fix


def test_a_softmax_of_one_score_is_refused(keras, dataset):
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Dense(1, activation="softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(InputError, match="softmax") as caught:
        load_teacher(keras.Model(inputs, x), dataset=dataset)
    assert caught.value.code == "teacher.binary_output"
    assert "sigmoid" in caught.value.fix


def test_of_several_outputs_of_one_score_the_one_that_is_named_is_used(tf, dataset, tmp_path):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), name="picture")])
        def serve(self, picture):
            logit = tf.reduce_mean(picture, [1, 2]) @ WEIGHTS[:, None]
            return {"logit": logit, "score": tf.sigmoid(logit)}

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures=model.serve)
    with pytest.raises(InputError, match=r"scores: logit.*score") as caught:
        load_teacher(tmp_path / "m", dataset=dataset)
    assert caught.value.code == "teacher.many_outputs"
    teacher = load_teacher(tmp_path / "m", dataset=dataset, names=Names("", "logit"))
    check(teacher, dataset)
    assert teacher.outputs == "logits"


def test_the_command_says_how_right_a_cat_or_dog_model_is(keras, tmp_path: Path):
    trained(keras, "sigmoid").save(tmp_path / "cat_or_dog.keras")
    for number, (image, label) in enumerate(zip(*pictures(80), strict=True)):
        folder = tmp_path / "photos" / ("cat", "dog")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03}.png")
    command = ["inspect", str(tmp_path / "cat_or_dog.keras"), "--data", str(tmp_path / "photos"), "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["classes"], found["class_names"], found["validation_accuracy"]) == (2, ["cat", "dog"], 1.0)
    assert found["own_layers_can_be_pruned"] is True
