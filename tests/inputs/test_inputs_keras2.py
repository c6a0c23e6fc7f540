"""Files that Keras 2 wrote (see fixtures/make_keras2.py for how) are read as what they are, or not at all."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from learn2compress.core.choice import Choice
from learn2compress.core.errors import InputError
from learn2compress.export.write import write_baselines
from learn2compress.graph.channels import find_channels
from learn2compress.graph.lower import lowered
from learn2compress.graph.surgery import prune
from learn2compress.graph.trunk import build_whole, own_layers
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.keras_file import check_keras_file, load_keras_file
from learn2compress.inputs.symbolic import pixels_to_probabilities
from learn2compress.inputs.teacher import load_teacher
from learn2compress.measure.accuracy import tflite_probabilities

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "keras2.zip"


@pytest.fixture(scope="module")
def keras2(keras, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras2")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


def images():
    return np.random.RandomState(0).randint(0, 256, (4, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["sequential", "nested", "mixed", "operations", "hard"])
def test_an_h5_of_keras_2_answers_as_keras_2_did(keras2, name):
    model = load_keras_file(keras2 / f"{name}.h5")
    answers = np.asarray(model(images().astype(np.float32), training=False))
    np.testing.assert_allclose(answers, np.load(keras2 / f"{name}.npy"), atol=1e-5 if name != "mixed" else 1e-2)


def test_a_keras_file_of_keras_2_is_refused_with_a_way_out(keras2):
    with pytest.raises(InputError, match="SavedModel") as caught:
        check_keras_file(keras2 / "archive.keras")
    assert caught.value.code == "teacher.keras2_archive"


# --- Operations between layers, in files written by hand as Keras 2 writes them


def layer(kind, name, inputs, **config):
    nodes = [[[one, 0, 0, {}] for one in inputs]] if inputs else []
    return {"class_name": kind, "config": {"name": name, **config}, "name": name, "inbound_nodes": nodes}


def operation(function, name, *call):
    """`call` is `[layer, node, tensor, arguments]`."""
    config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
    return {"class_name": "TFOpLambda", "config": config, "name": name, "inbound_nodes": [list(call)]}


def with_y(tensor, y):
    return (tensor, 0, 0, {"y": y, "name": None})


def written(path, layers, weights):
    """A functional model from its first layer to its last, in their order; weights by the name of their layer."""
    import h5py

    config = {
        "name": "model",
        "layers": layers,
        "input_layers": [[layers[0]["name"], 0, 0]],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        group = file.create_group("model_weights")
        group.attrs["keras_version"], group.attrs["backend"] = "2.15.0", "tensorflow"
        group.attrs["layer_names"] = [one["name"].encode() for one in layers]
        for one in layers:
            own = group.create_group(one["name"])
            arrays = weights.get(one["name"], [])
            names = [f"{one['name']}/{number}:0" for number in range(len(arrays))]
            own.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays, strict=True):
                own.create_dataset(name, data=np.asarray(array, np.float32))
    return path


IMAGE = layer("InputLayer", "image", [], batch_input_shape=[None, 8, 8, 3], dtype="float32")


def arithmetic(path):
    """Writes preprocessing, MobileNetV3's hard swish and a gate; returns what they give for `images()`."""
    random = np.random.default_rng(0)
    first, second = random.normal(0, 1, (1, 1, 3, 4)), random.normal(0, 1, (1, 1, 4, 4))
    head, bias = random.normal(0, 1, (4, 3)), random.normal(0, 1, 3)
    layers = [
        IMAGE,
        operation("math.truediv", "tf.math.truediv", *with_y("image", 127.5)),
        operation("math.subtract", "tf.math.subtract", *with_y("tf.math.truediv", [1.0, 0.9, 1.1])),
        layer("Conv2D", "first", ["tf.math.subtract"], filters=4, kernel_size=[1, 1], use_bias=False),
        operation("__operators__.add", "tf.__operators__.add", *with_y("first", 3.0)),
        operation("nn.relu6", "tf.nn.relu6", "tf.__operators__.add", 0, 0, {}),
        operation("math.multiply", "tf.math.multiply", *with_y("tf.nn.relu6", 1 / 6)),
        operation("math.multiply", "swish", *with_y("first", ["tf.math.multiply", 0, 0])),
        layer(
            "Conv2D", "second", ["swish"], filters=4, kernel_size=[1, 1], use_bias=False, activation="hard_sigmoid"
        ),
        operation("math.subtract", "other", "_CONSTANT_VALUE", -1, 1.0, {"y": ["second", 0, 0], "name": None}),
        operation("__operators__.add", "sum", *with_y("swish", ["other", 0, 0])),
        operation("math.subtract", "difference", *with_y("sum", ["second", 0, 0])),
        layer("GlobalAveragePooling2D", "pool", ["difference"]),
        layer("Dense", "scores", ["pool"], units=3, activation="softmax"),
    ]
    written(path, layers, {"first": [first], "second": [second], "scores": [head, bias]})

    x = (images() / 127.5 - np.array([1.0, 0.9, 1.1])) @ first[0, 0]
    swish = x * np.clip(x + 3, 0, 6) / 6
    gate = np.clip(0.2 * (swish @ second[0, 0]) + 0.5, 0, 1)
    assert (gate == 0).any()
    assert ((gate > 0) & (gate < 1)).any()
    logits = (swish + 1 - gate - gate).mean((1, 2)) @ head + bias
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_operations_between_layers_become_layers_that_can_be_pruned(keras, tmp_path):
    expected = arithmetic(tmp_path / "old.h5")
    pixels = images().astype(np.float32)
    teacher = load_teacher(tmp_path / "old.h5")
    np.testing.assert_allclose(teacher.predict(images()), expected, atol=1e-5)
    own = own_layers(teacher.keras_model, outputs=teacher.outputs)
    assert (own.uncut, own.unpruned) == (None, None)
    np.testing.assert_allclose(np.asarray(lowered(teacher.keras_model)(pixels)), expected, atol=1e-5)
    # What was given is read, never written to.
    assert json.loads(stored(tmp_path / "old.h5"))["config"]["layers"][1]["class_name"] == "TFOpLambda"


ELLIPSIS = {"class_name": "__ellipsis__"}
ALL = {"start": None, "stop": None, "step": None}
BACK = {**ALL, "step": -1}
KEYS = {
    "x[..., ::-1]": [ELLIPSIS, BACK],
    "x[:, :, :, ::-1]": [ALL, {**ALL, "step": 1}, ALL, BACK],
}
MEANS = [103.939, 116.779, 123.68]


def slicing(name, before, key):
    """`before[key]` as Keras 2 writes it."""
    entry = operation("__operators__.getitem", name, before, 0, 0, {"slice_spec": key})
    return {**entry, "class_name": "SlicingOpLambda"}


def turning(how):
    """`x` with its channels from BGR to RGB or back."""
    if how in KEYS:
        return slicing("turned", "image", KEYS[how])
    return operation("reverse", "turned", "image", 0, 0, {"axis": [-1], "name": None})


def caffe(path, how):
    """Writes a model that prepares its pixels itself, as `preprocess_input` in mode `caffe` does."""
    random = np.random.default_rng(0)
    kernel, head = random.normal(0, 0.02, (3, 3, 3, 16)), random.normal(0, 0.1, (16, 3))
    less = {"bias": [-mean for mean in MEANS], "data_format": "NHWC"}
    layers = [
        IMAGE,
        turning(how),
        operation("nn.bias_add", "less", "turned", 0, 0, less),
        layer("Conv2D", "first", ["less"], filters=16, kernel_size=[3, 3], use_bias=False, activation="relu"),
        layer("GlobalAveragePooling2D", "pool", ["first"]),
        layer("Dense", "scores", ["pool"], units=3, use_bias=False),
    ]
    written(path, layers, {"first": [kernel], "scores": [head]})
    x = images()[..., ::-1] - np.array(MEANS)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel), 0).mean((1, 2)) @ head


@pytest.mark.parametrize("how", [*KEYS, "tf.reverse"])
def test_pixels_that_the_model_prepares_itself_keep_nothing_from_being_pruned(keras, tmp_path, how):
    expected = caffe(tmp_path / "caffe.h5", how)
    model = load_keras_file(tmp_path / "caffe.h5")
    pixels = images().astype(np.float32)
    np.testing.assert_allclose(np.asarray(model(pixels)), expected, rtol=1e-4, atol=1e-4)
    own = own_layers(model, outputs="logits")
    assert (own.uncut, own.unpruned) == (None, None)
    assert [type(one).__name__ for one in own.model.layers[1:3]] == ["Rescaling", "Conv2D"]
    np.testing.assert_allclose(np.asarray(own.model(pixels)), expected, rtol=1e-4, atol=1e-4)
    member = build_whole(own.model, "whole", np.ones(3), np.zeros(3), reverse_channels=False)
    np.testing.assert_allclose(np.asarray(member((pixels - 128) / 128)), expected, rtol=1e-3, atol=1e-3)
    channels = find_channels(member)
    (group,) = channels.prunable
    assert prune(channels, Choice({group.index: np.arange(8)})).model.get_layer("first").filters == 8


def test_pixels_that_the_model_prepares_itself_are_prepared_in_its_baseline_files_too(keras, tmp_path):
    caffe(tmp_path / "caffe.h5", "x[..., ::-1]")
    teacher = load_teacher(tmp_path / "caffe.h5")
    expected = teacher.predict(images())
    split = ArraySplit(images(), np.zeros(len(images()), np.int64))
    files = write_baselines(pixels_to_probabilities(teacher), (8, 8), images(), tmp_path / "baseline")
    for file, tolerance in zip(files, (1e-4, 0.05), strict=True):
        np.testing.assert_allclose(tflite_probabilities(file, split), expected, atol=tolerance)


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_operations_in_a_nested_model_say_where_they_are_from(keras, tmp_path, package):
    place = {"module": f"{package}.src.layers.core.tf_op_layer", "registered_name": "TFOpLambda", "build_config": {}}
    inner = [
        {**IMAGE, "config": {**IMAGE["config"], "name": "inside"}, "name": "inside"},
        {**slicing("turned", "inside", KEYS["x[:, :, :, ::-1]"]), **place, "registered_name": "SlicingOpLambda"},
        {**operation("nn.bias_add", "less", "turned", 0, 0, {"bias": [1.0, 2.0, 3.0]}), **place},
    ]
    nested = layer(
        "Functional", "base", ["image"], layers=inner, input_layers=[["inside", 0, 0]], output_layers=[["less", 0, 0]]
    )
    pool = {**layer("GlobalAveragePooling2D", "pool", []), "inbound_nodes": [[["base", 1, 0, {}]]]}
    model = load_keras_file(written(tmp_path / "nested.h5", [IMAGE, nested, pool], {}))
    expected = images().mean((1, 2))[:, ::-1] + [1, 2, 3]
    np.testing.assert_allclose(np.asarray(model(images().astype(np.float32))), expected, rtol=1e-5)


def test_other_code_that_pretends_to_be_of_the_old_package_is_refused(tmp_path):
    strange = {**layer("Dense", "op", ["image"], units=1), "module": "tf_keras.src.layers.core.tf_op_layer"}
    with pytest.raises(InputError) as caught:
        check_keras_file(written(tmp_path / "old.h5", [IMAGE, strange], {}))
    assert caught.value.code == "teacher.custom_objects"


def test_what_hard_sigmoid_is_behind_can_be_pruned(keras2):
    own = own_layers(load_keras_file(keras2 / "hard.h5"), outputs="logits")
    assert (own.uncut, own.unpruned) == (None, None)


def test_weights_find_their_layers_beside_a_branch_with_hard_sigmoid(keras, tmp_path):
    """Of two branches, as long as each other: what one is made of must not put the other's layers before its own."""
    random = np.random.default_rng(1)
    kernels = {name: random.normal(0, 1, (1, 1, 3, 3)) for name in ("a1", "b1", "a2", "b2")}

    def conv(name, before, **more):
        return layer("Conv2D", name, [before], filters=3, kernel_size=[1, 1], use_bias=False, **more)

    layers = [
        IMAGE,
        conv("a1", "image"),
        conv("b1", "image"),
        conv("a2", "a1", activation="hard_sigmoid"),
        conv("b2", "b1"),
        layer("Add", "sum", ["a2", "b2"]),
        layer("GlobalAveragePooling2D", "pool", ["sum"]),
    ]
    written(tmp_path / "two.h5", layers, {name: [kernel] for name, kernel in kernels.items()})
    pixels = images() / 255
    a1, a2, b1, b2 = (kernels[name][0, 0] for name in ("a1", "a2", "b1", "b2"))
    expected = (np.clip(0.2 * (pixels @ a1 @ a2) + 0.5, 0, 1) + pixels @ b1 @ b2).mean((1, 2))
    found = load_keras_file(tmp_path / "two.h5")(pixels.astype(np.float32))
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


def stored(path):
    import h5py

    with h5py.File(path) as file:
        return file.attrs["model_config"]


UNKNOWN = {
    "tf.math.sin": operation("math.sin", "op", "image", 0, 0, {"name": None}),
    "tf.math.truediv": operation(
        "math.truediv", "op", "_CONSTANT_VALUE", -1, 1.0, {"y": ["image", 0, 0], "name": None}
    ),
    "tf.math.divide": operation("math.divide", "op", *with_y("image", 0.0)),
    "tf.math.multiply": operation("math.multiply", "op", *with_y("image", [[1.0, 2.0], [3.0, 4.0]])),
    "tf.nn.relu6": operation("nn.relu6", "op", "image", 0, 0, {"features": 1}),
    "tf.__operators__.getitem": slicing("op", "image", [ELLIPSIS, {**ALL, "stop": 2}]),
    "tf.reverse": operation("reverse", "op", "image", 0, 0, {"axis": [1, 2], "name": None}),
    "tf.nn.bias_add": operation("nn.bias_add", "op", "image", 0, 0, {"bias": [1.0] * 8, "data_format": "NCHW"}),
    "tf.add": {
        **operation("add", "op"),
        "inbound_nodes": [list(with_y("image", 1.0)), list(with_y("image", 2.0))],
    },
    "TensorFlowOpLayer": layer("TensorFlowOpLayer", "op", ["image"]),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_operation_that_no_layer_does_is_refused_by_name_with_a_way_out(tmp_path, name):
    layers = [IMAGE, UNKNOWN[name], layer("GlobalAveragePooling2D", "pool", ["op"])]
    with pytest.raises(InputError, match=rf"(?s)does: {name}\..*SavedModel") as caught:
        check_keras_file(written(tmp_path / "old.h5", layers, {}))
    assert caught.value.code == "teacher.keras2_operations"


@pytest.mark.parametrize("key", ["activation", "recurrent_activation"])
def test_hard_sigmoid_inside_a_recurrence_is_refused(tmp_path, key):
    layers = [IMAGE, layer("ConvLSTM2D", "memory", ["image"], **{key: "hard_sigmoid"})]
    with pytest.raises(InputError, match=r"(?s)memory.*SavedModel") as caught:
        check_keras_file(written(tmp_path / "old.h5", layers, {}))
    assert caught.value.code == "teacher.keras2_hard_sigmoid"


def test_a_saved_model_of_keras_2_answers_as_keras_2_did(keras2):
    """Its layers are rebuilt, so that they can be cut; where that fails it still answers, as a black box."""
    for metadata, layers in ((True, True), (False, False)):
        if not metadata:
            (keras2 / "saved_model" / "keras_metadata.pb").unlink()
        teacher = load_teacher(keras2 / "saved_model")
        np.testing.assert_allclose(teacher.predict(images()), np.load(keras2 / "saved_model.npy"), atol=1e-5)
        assert (teacher.input_size, teacher.classes, teacher.outputs) == ((8, 8), 3, "probabilities")
        assert (teacher.keras_model is not None) == layers


# Where the ten classes of Imagenette stand among ImageNet's thousand, in the order of their folders' names.
IMAGENET = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)


@pytest.mark.data
def test_the_published_mobilenet_recognises_imagenette(real_teacher, real_data):
    """An `.h5` of 2019: 49.8 % of ImageNet's validation images are published for it."""
    from learn2compress.inputs.dataset import load_dataset

    teacher = load_teacher(real_teacher("mobilenet_v1_0.25_224_imagenet.h5"), preprocess="signed")
    images = load_dataset(real_data("imagenette") / "val_ilsvrc", seed=0).train
    chosen = np.arange(0, len(images), 2)
    answers = teacher.predict(images.batch(chosen, teacher.input_size))
    assert (answers.shape[1], teacher.outputs) == (1000, "probabilities")
    right = answers.argmax(1) == np.array(IMAGENET)[images.labels[chosen]]
    assert right.mean() > 0.45


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "published"),
    [("mlperf_tiny_resnet8_cifar10.h5", 0.8719), ("mlperf_tiny_resnet8_cifar10_int8.tflite", 0.8697)],
)
def test_the_published_mlperf_models_reach_their_accuracy(real_teacher, real_data, name, published):
    teacher = load_teacher(real_teacher(name))
    data = np.load(real_data("cifar10_3k.npz"))
    right = teacher.predict(data["x_test"]).argmax(1) == data["y_test"].reshape(-1)
    assert abs(right.mean() - published) < 0.03
