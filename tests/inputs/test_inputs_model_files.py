"""Every kind of model file teaches; what can't, or would do more than compute, is refused before it is run."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from learn2compress.cli import main
from learn2compress.core.errors import InputError
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.model_files import tflite_file
from learn2compress.inputs.model_files.black_box import Names, box_runner
from learn2compress.inputs.model_files.graph_safety import DENIED
from learn2compress.inputs.model_files.kinds import check_model_file, load_model_file
from learn2compress.inputs.model_files.ports import ImageForm, Port
from learn2compress.inputs.teacher import load_teacher

SIZE = 8
CLOTHING = Path(__file__).parents[1] / "fixtures" / "clothing_small.tflite"


def colours(n=120, seed=0):
    """Three classes that differ in which channel is bright."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = random.integers(0, 120, (n, SIZE, SIZE, 3))
    x[np.arange(n), :, :, y] += 100
    return x.astype(np.uint8), y


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(colours())


@pytest.fixture(scope="module")
def tf(keras):
    return pytest.importorskip("tensorflow")


# Of each kind, a model that tells the colours apart: mean of each channel, over 20, through a softmax.


def saved_model(tf, folder, shape=(None, SIZE, SIZE, 3), dtype="float32", more=None, name="serving_default"):
    axes = [2, 3] if shape[1] == 3 else [1, 2]

    class Model(tf.Module):
        def __init__(self):
            self.scale = tf.Variable([[0.05, 0.05, 0.05]])

        @tf.function(input_signature=[tf.TensorSpec(shape, getattr(tf, dtype), name="picture")])
        def serve(self, picture):
            logits = tf.reduce_mean(tf.cast(picture, tf.float32), axes) * self.scale
            found = {"scores": tf.nn.softmax(logits), "label": tf.argmax(logits, axis=1)}
            return {**found, **(more(tf, picture, logits) if more else {})}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={name: model.serve})
    return folder


def exported(keras, folder):
    inputs = keras.Input((SIZE, SIZE, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(0.05)(inputs))
    keras.Model(inputs, keras.layers.Softmax()(mean)).export(folder, verbose=False)
    return folder


def frozen_graph(tf, path, dtype="float32", more=None):
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        picture = v1.placeholder(getattr(tf, dtype), (None, SIZE, SIZE, 3), name="picture")
        training = v1.placeholder_with_default(False, (), name="training")
        mean = tf.reduce_mean(tf.cast(picture, tf.float32), [1, 2]) * tf.constant([[0.05, 0.05, 0.05]])
        mean = tf.cond(training, lambda: mean * 0, lambda: mean)
        scores = tf.nn.softmax(mean, name="scores")
        tf.argmax(scores, axis=1, name="label")
        if more:
            more(tf, picture, mean)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def tflite(keras, tf, path, dtype=None, batch=1):
    inputs = keras.Input((SIZE, SIZE, 3), batch_size=batch)
    mean = keras.layers.GlobalAveragePooling2D()(
        keras.layers.DepthwiseConv2D(1, depthwise_initializer="ones")(inputs)
    )
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Rescaling(0.05)(mean)))
    spec = tf.TensorSpec((batch, SIZE, SIZE, 3), tf.float32)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([tf.function(model).get_concrete_function(spec)])
    if dtype:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        extremes = np.zeros((1, SIZE, SIZE, 3), np.float32)
        converter.representative_dataset = lambda: [[extremes], [extremes + 255], *([x[None]] for x in some_images())]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
    path.write_bytes(converter.convert())
    return path


def some_images():
    return colours(30)[0].astype(np.float32)


def onnx_file(path, shape=("n", 3, SIZE, SIZE), dtype="FLOAT", outputs=("scores",)):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["picture"], ["values"], to=kind.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("picture", getattr(kind, dtype), shape)],
        [helper.make_tensor_value_info(name, kind.FLOAT, (shape[0], 3)) for name in outputs],
        [helper.make_tensor("scale", kind.FLOAT, (1, 3), [0.05] * 3)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


FILES = {
    "SavedModel": lambda k, tf, t: saved_model(tf, t / "m"),
    "SavedModel of whole numbers, one at a time": lambda k, tf, t: saved_model(tf, t / "m", (1, 8, 8, 3), "uint8"),
    "SavedModel, channels first, four at a time": lambda k, tf, t: saved_model(tf, t / "m", (4, 3, 8, 8)),
    "SavedModel with another signature": lambda k, tf, t: saved_model(tf, t / "m", name="classify"),
    "SavedModel of any size": lambda k, tf, t: saved_model(tf, t / "m", (None, None, None, 3)),
    "Keras export": lambda k, tf, t: exported(k, t / "m"),
    "frozen graph": lambda k, tf, t: frozen_graph(tf, t / "m.pb"),
    "frozen graph of whole numbers": lambda k, tf, t: frozen_graph(tf, t / "m.pb", "uint8"),
    "tflite": lambda k, tf, t: tflite(k, tf, t / "m.tflite"),
    "tflite of an open batch": lambda k, tf, t: tflite(k, tf, t / "m.tflite", batch=None),
    "tflite uint8": lambda k, tf, t: tflite(k, tf, t / "m.tflite", "uint8"),
    "tflite int8": lambda k, tf, t: tflite(k, tf, t / "m.tflite", "int8"),
    "onnx": lambda k, tf, t: onnx_file(t / "m.onnx"),
    "onnx, channels last, seven at a time": lambda k, tf, t: onnx_file(t / "m.onnx", (7, 8, 8, 3)),
    "onnx of whole numbers": lambda k, tf, t: onnx_file(t / "m.onnx", ("n", 3, "h", "w"), "UINT8"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_teaches(keras, tf, dataset, tmp_path, name):
    path = FILES[name](keras, tf, tmp_path)
    check_model_file(path)
    teacher = load_teacher(path, dataset=dataset, preprocess="auto")
    images = np.concatenate([dataset.test.stacked, dataset.validation.stacked])
    labels = np.concatenate([dataset.test.labels, dataset.validation.labels])
    probabilities = teacher.predict(images)
    assert probabilities.shape == (len(images), 3)
    assert (probabilities.argmax(1) == labels).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (teacher.input_size, teacher.channels, teacher.classes) == ((8, 8), 3, 3)
    assert (teacher.keras_model, teacher.preprocess.name) == (None, "raw")
    means = images.astype(np.float64).mean((1, 2)) / 20
    expected = np.exp(means) / np.exp(means).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=0.03 if "int8" in name else 1e-3)
    assert load_teacher(path, dataset=dataset, preprocess="raw").fingerprint == teacher.fingerprint


ASKED = {
    "one at a time": lambda k, tf, t: tflite(k, tf, t / "m.tflite"),
    "two at a time": lambda k, tf, t: tflite(k, tf, t / "m.tflite", batch=2),
    "any number": lambda k, tf, t: tflite(k, tf, t / "m.tflite", batch=None),
}


@pytest.fixture
def met(monkeypatch):
    """Two threads in which files are run, each of which goes on only when the other is there."""
    meeting = threading.Barrier(2)
    own_interpreters = tflite_file._Interpreters.__call__

    def interpreters(self, stored):
        meeting.wait(20)
        return own_interpreters(self, stored)

    monkeypatch.setattr(tflite_file, "usable_cores", lambda: 2)
    monkeypatch.setattr(tflite_file._Interpreters, "__call__", interpreters)
    return meeting


def one_at_a_time(silenced):
    """The terminal belongs to the process: two threads that silence it at once may leave it so."""
    inside = threading.Lock()

    @contextmanager
    def alone():
        assert inside.acquire(blocking=False)
        time.sleep(0.05)
        with silenced():
            yield
        inside.release()

    return alone


@pytest.mark.parametrize("name", ASKED)
def test_a_file_is_asked_in_several_threads_and_answers_in_order(keras, tf, tmp_path, met, monkeypatch, name):
    monkeypatch.setattr(tflite_file, "silenced", one_at_a_time(tflite_file.silenced))
    box = load_model_file(ASKED[name](keras, tf, tmp_path), Names())
    images = colours(40)[0].astype(np.float32)
    means = images.mean((1, 2)) / 20
    expected = np.exp(means) / np.exp(means).sum(1, keepdims=True)
    np.testing.assert_allclose(box.run(images), expected, atol=1e-3)


def test_of_what_goes_wrong_in_several_threads_the_first_is_told():
    def call(stored):
        if stored[0, 0, 0, 0] >= 3:
            raise ValueError(f"image {stored[0, 0, 0, 0]:.0f}")
        return stored[:, 0, 0]

    form = ImageForm((1, 1), 3, False, 1, Port("picture", (1, 1, 1, 3), "float32"))
    run = box_runner(call, form, "m", threads=4)
    images = np.arange(40, dtype=np.float32)[:, None, None, None] * np.ones(3, np.float32)
    with pytest.raises(InputError, match="image 3") as caught:
        run(images)
    assert caught.value.code == "teacher.call_failed"
    np.testing.assert_array_equal(run(images[:3]), images[:3, 0, 0])


def layered(tf, folder, layout, blocks=False):
    """Convolution, batch norm and pooling, all in one layout, as a SavedModel of plain TensorFlow."""
    first = layout == "NCHW"
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.01, (3, 3, 3, 8)).astype(np.float32)
    # The first three channels are the picture's own.
    kernel[..., :3] = 0
    kernel[1, 1, [0, 1, 2], [0, 1, 2]] = 0.05
    shape = (None, 3, SIZE, SIZE) if first else (None, SIZE, SIZE, 3)
    twos = [1, 1, 2, 2] if first else [1, 2, 2, 1]

    class Model(tf.Module):
        def __init__(self):
            self.kernel = tf.Variable(kernel)
            self.statistics = tf.Variable(np.ones((4, 8), np.float32))

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="picture")])
        def serve(self, picture):
            x = tf.nn.conv2d(picture, self.kernel, 1, "SAME", data_format=layout)
            scale, offset, mean, variance = tf.unstack(self.statistics)
            x, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=offset, mean=mean, variance=variance, is_training=False, data_format=layout
            )
            x = tf.nn.max_pool2d(x, twos, twos, "VALID", data_format=layout)
            if blocks:
                x = tf.nn.space_to_depth(x, 2, data_format=layout)
            return {"scores": tf.nn.softmax(tf.reduce_mean(x, [2, 3] if first else [1, 2])[:, :3])}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.serve)
    return folder


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="only oneDNN has channels first on a CPU")
def test_layers_of_channels_first_teach_as_those_of_channels_last(tf, dataset, tmp_path):
    teachers = [load_teacher(layered(tf, tmp_path / layout, layout), dataset=dataset) for layout in ("NCHW", "NHWC")]
    first, last = (teacher.predict(dataset.test.stacked) for teacher in teachers)
    assert (first.argmax(1) == dataset.test.labels).all()
    np.testing.assert_allclose(first, last, atol=1e-4)


def test_where_tensorflow_has_no_operation_for_channels_first_the_error_says_so(tf, dataset, tmp_path):
    with pytest.raises(InputError, match="channels first") as caught:
        load_teacher(layered(tf, tmp_path / "m", "NCHW", blocks=True), dataset=dataset)
    assert caught.value.code == "teacher.channels_first"
    assert "ONNX" in caught.value.fix
    assert "NHWC" in caught.value.fix


def test_a_member_of_our_own_is_a_teacher_with_its_preprocessing_decided():
    teacher = load_teacher(CLOTHING)
    assert (teacher.input_size, teacher.classes, teacher.preprocess.name) == ((96, 96), 10, "raw")
    assert teacher.given_file == CLOTHING
    with pytest.raises(InputError) as caught:
        load_teacher(CLOTHING, preprocess="unit")
    assert caught.value.code == "preprocess.whole_numbers"


def test_a_function_that_takes_channels_first_teaches(dataset):
    def torch_like(images):
        if images.shape[1] != 3:
            raise RuntimeError(f"expected 3 channels, got {images.shape[1]}")
        return images.mean(axis=(2, 3))

    teacher = load_teacher(torch_like, dataset=dataset)
    assert (teacher.predict(dataset.test.stacked).argmax(1) == dataset.test.labels).all()


def two_heads(tf, picture, logits):
    return {"logits": logits}


NAMED = {
    "SavedModel": lambda k, tf, t: saved_model(tf, t / "m", more=two_heads),
    "onnx": lambda k, tf, t: onnx_file(t / "m.onnx", outputs=("logits", "scores")),
    "frozen graph": lambda k, tf, t: frozen_graph(
        tf, t / "m.pb", more=lambda tf, picture, mean: tf.identity(mean * 2, name="logits")
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_of_several_outputs_the_one_that_is_named_is_used(keras, tf, dataset, tmp_path, name):
    path = NAMED[name](keras, tf, tmp_path)
    with pytest.raises(InputError, match=r"logits.*scores|scores.*logits") as caught:
        load_teacher(path, dataset=dataset)
    assert caught.value.code == "teacher.many_outputs"
    assert "--model-output" in caught.value.fix
    kinds = [load_teacher(path, dataset=dataset, names=Names("picture", out)) for out in ("scores", "logits")]
    assert [teacher.outputs for teacher in kinds] == ["probabilities", "logits"]
    assert kinds[0].fingerprint != kinds[1].fingerprint
    for names, code in [
        (Names("nothing", ""), "teacher.no_such_input"),
        (Names("", "nothing"), "teacher.no_such_output"),
    ]:
        with pytest.raises(InputError, match=r"picture|scores") as caught:
            load_teacher(path, dataset=dataset, names=names)
        assert caught.value.code == code


def test_an_output_of_a_keras_model_is_picked_by_name(keras, dataset, tmp_path):
    inputs = keras.Input((8, 8, 3), name="picture")
    mean = keras.layers.Rescaling(0.05, name="logits")(keras.layers.GlobalAveragePooling2D(name="pool")(inputs))
    keras.Model(inputs, [keras.layers.Softmax(name="scores")(mean), mean]).save(tmp_path / "two.keras")
    teacher = load_teacher(tmp_path / "two.keras", dataset=dataset, names=Names("picture", "scores"))
    assert (teacher.outputs, teacher.keras_model is not None) == ("probabilities", True)
    with pytest.raises(InputError, match="pool") as caught:
        load_teacher(tmp_path / "two.keras", dataset=dataset, names=Names("", "other"))
    assert caught.value.code == "teacher.no_such_output"
    with pytest.raises(InputError) as caught:
        load_teacher(lambda images: images.mean(axis=(1, 2)), dataset=dataset, names=Names("", "scores"))
    assert caught.value.code == "teacher.no_names"


def python_call(tf, picture, logits):
    return {"more": tf.ensure_shape(tf.numpy_function(lambda x: x, [logits], tf.float32), (None, 3))}


def reads_a_file(tf, picture, logits):
    return {"more": tf.strings.length(tf.io.read_file("/etc/passwd"))[None]}


def writes_a_checkpoint(tf, picture, logits):
    with tf.control_dependencies(
        [tf.raw_ops.SaveV2(prefix="/nowhere/x", tensor_names=["a"], shape_and_slices=[""], tensors=[logits])]
    ):
        return {"more": tf.identity(logits[:, 0])}


DANGEROUS = {
    "python": (python_call, "PyFunc"),
    "file": (reads_a_file, "ReadFile"),
    "checkpoint": (writes_a_checkpoint, "SaveV2"),
}


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_graph_that_does_more_than_compute_is_refused_before_it_is_loaded(tf, tmp_path, name):
    more, operation = DANGEROUS[name]
    with pytest.raises(InputError, match=operation) as caught:
        check_model_file(saved_model(tf, tmp_path / "m", more=more))
    assert caught.value.code == "teacher.carries_code"


def test_a_frozen_graph_that_runs_python_or_reads_files_is_refused(tf, tmp_path):
    def inside(tf, picture, mean):
        tf.strings.length(tf.io.read_file("/etc/passwd"))

    with pytest.raises(InputError, match="ReadFile") as caught:
        check_model_file(frozen_graph(tf, tmp_path / "m.pb", more=inside))
    assert caught.value.code == "teacher.carries_code"


def test_of_tensorflows_operations_with_effects_on_files_none_is_forgotten(tf):
    """Against TensorFlow's own list: a new version may bring new ones."""
    import re

    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    known = op_def_pb2.OpList()
    known.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    names = [op.name for op in known.op]
    denied = [re.compile(pattern) for pattern in DENIED]
    suspect = re.compile(
        r"File|PyFunc|Dataset|Iterator|Rpc|Reader|SummaryWriter|Debug(Identity|Nan|Num)|Remote|Abort|Proto|[Qq]ueue"
        r"|Barrier|[Ss]tage|Accumulator|Mutex|^(Ordered)?Map(Clear|Incomplete|Peek|Size)"
    )
    # Found by chance: these put names together, or are for compilers.
    harmless = {"ShardedFilename", "ShardedFilespec", "TpuHandleToProtoKey", "XlaOptimizationBarrier"}
    left = [n for n in names if suspect.search(n) and n not in harmless and not any(d.fullmatch(n) for d in denied)]
    assert left == []
    assert len(names) > 1000


def test_variables_make_a_graph_that_is_not_frozen(tf, tmp_path):
    def inside(tf, picture, mean):
        weight = tf.compat.v1.get_variable("weight", (3, 3), use_resource=False)
        tf.identity(tf.matmul(mean, weight), name="late")

    with pytest.raises(InputError, match="weight") as caught:
        load_teacher(frozen_graph(tf, tmp_path / "m.pb", more=inside), names=Names("", "late"))
    assert caught.value.code == "teacher.not_frozen"


def test_a_frozen_graph_that_needs_more_than_the_image_says_what(tf, tmp_path):
    def inside(tf, picture, mean):
        keep = tf.compat.v1.placeholder(tf.float32, (), name="keep_share")
        tf.identity(mean * keep, name="late")

    with pytest.raises(InputError, match="keep_share") as caught:
        load_teacher(frozen_graph(tf, tmp_path / "m.pb", more=inside), names=Names("", "late"))
    assert caught.value.code == "teacher.many_inputs"


def test_a_tflite_file_that_needs_tensorflow_is_refused(tf, tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3))])
    def digest(picture):
        return tf.image.adjust_hue(picture, 0.1)[:, 0, 0]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([digest.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / "flex.tflite").write_bytes(converter.convert())
    with pytest.raises(InputError) as caught:
        load_teacher(tmp_path / "flex.tflite")
    assert caught.value.code == "teacher.custom_ops"


def test_onnx_weights_outside_the_folder_are_not_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(onnx_file(tmp_path / "m.onnx"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for location, code in [("../other.bin", "teacher.carries_code"), ("beside.bin", "teacher.damaged_file")]:
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=location)
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match=location.removeprefix("../")) as caught:
            check_model_file(tmp_path / "m.onnx")
        assert caught.value.code == code


def tensor_outside(onnx):
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1, 3])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../other.bin")
    return tensor


def sparse_outside(onnx, part="values"):
    sparse = onnx.SparseTensorProto(dims=[1, 3])
    getattr(sparse, part).CopyFrom(tensor_outside(onnx))
    return sparse


def held_by_a_function(onnx, model, node=None, **more):
    nodes = [onnx.helper.make_node("Identity", ["x"], ["y"]) if node is None else node]
    opsets = [onnx.helper.make_opsetid("", 13)]
    model.functions.append(onnx.helper.make_function("own", "Own", ["x"], ["y"], nodes, opsets, **more))


def graph_of(onnx, *attributes):
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    node.attribute.extend(attributes)
    return onnx.helper.make_graph([node], "inner", [], [])


def attribute(onnx, value):
    return onnx.helper.make_attribute("held", value)


HIDING_PLACES = {
    "a sparse initializer": lambda o, m: m.graph.sparse_initializer.append(sparse_outside(o)),
    "the indices of one": lambda o, m: m.graph.sparse_initializer.append(sparse_outside(o, "indices")),
    "an attribute": lambda o, m: m.graph.node[0].attribute.append(attribute(o, tensor_outside(o))),
    "an attribute of tensors": lambda o, m: m.graph.node[0].attribute.append(attribute(o, [tensor_outside(o)])),
    "a sparse attribute": lambda o, m: m.graph.node[0].attribute.append(attribute(o, sparse_outside(o))),
    "an attribute of sparse ones": lambda o, m: m.graph.node[0].attribute.append(attribute(o, [sparse_outside(o)])),
    "a graph in an attribute of a graph in an attribute": lambda o, m: m.graph.node[0].attribute.append(
        attribute(o, graph_of(o, attribute(o, [graph_of(o, attribute(o, [tensor_outside(o)]))])))
    ),
    "a function": lambda o, m: held_by_a_function(
        o, m, o.helper.make_node("Constant", [], ["y"], value=tensor_outside(o))
    ),
    "a graph in a function": lambda o, m: held_by_a_function(
        o, m, o.helper.make_node("If", ["x"], ["y"], then_branch=graph_of(o, attribute(o, tensor_outside(o))))
    ),
    "a default of a function": lambda o, m: held_by_a_function(
        o, m, attribute_protos=[attribute(o, tensor_outside(o))]
    ),
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_onnx_weights_outside_the_folder_are_found_wherever_they_are_held(tmp_path, place):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(onnx_file(tmp_path / "m.onnx"))
    HIDING_PLACES[place](onnx, model)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"other\.bin, outside its folder") as caught:
        check_model_file(tmp_path / "m.onnx")
    assert caught.value.code == "teacher.carries_code"


def test_onnx_weights_beside_the_file_are_read_by_a_link_too(tmp_path):
    onnx = pytest.importorskip("onnx")
    real = tmp_path / "real"
    real.mkdir()
    model = onnx.load(onnx_file(real / "m.onnx"))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save_model(
        model,
        real / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
    )
    assert (real / "m.data").is_file()
    (tmp_path / "link").symlink_to(real)
    for folder in ("real", "link"):
        check_model_file(tmp_path / folder / "m.onnx")


def test_without_onnx_runtime_the_error_names_the_extra(tmp_path, monkeypatch):
    path = onnx_file(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = CliRunner().invoke(main, ["compress", str(path), "--data", "nowhere", "--out", str(tmp_path / "family")])
    assert done.exit_code == 2
    assert "pip install 'learn2compress[onnx]'" in done.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["m.onnx"]


@pytest.fixture(scope="module")
def whole(keras, tf, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {
        "m.pb": frozen_graph(tf, folder / "m.pb"),
        "m.onnx": onnx_file(folder / "m.onnx"),
        "m.tflite": CLOTHING,
        "m": saved_model(tf, folder / "m"),
    }


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["m.pb", "m.onnx", "m.tflite"])
def test_a_file_that_is_cut_off_is_refused(whole, tmp_path, name, share):
    content = whole[name].read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError) as caught:
        load_teacher(tmp_path / name)
    assert caught.value.code in ("teacher.damaged_file", "teacher.not_a_model", "teacher.load_failed")
    assert caught.value.fix


GARBAGE = {
    "text.pb": b"hello world, this is no graph",
    "text.onnx": b"\x08hello world, this is no graph",
    "lines.pb": b"\nhello world, this is no graph",
    "short.tflite": b"\x1c\0\0\0TFL3",
    "zero.tflite": b"\0\0\0\0TFL3" + bytes(100),
    "noise.onnx": b"\x08\x07" + bytes(range(256)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_early_by_the_command(tmp_path, name):
    (tmp_path / name).write_bytes(GARBAGE[name])
    arguments = ["compress", str(tmp_path / name), "--data", "nowhere", "--out", str(tmp_path / "family"), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["code"] in ("teacher.damaged_file", "teacher.not_a_model")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_saved_model_without_its_parts_is_refused(whole, tmp_path):
    content = (whole["m"] / "saved_model.pb").read_bytes()
    cases = {"cut": content[: len(content) // 2], "no variables": content, "empty": b""}
    for name, part in cases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(part)
        with pytest.raises(InputError) as caught:
            check_model_file(tmp_path / name)
        assert caught.value.code == "teacher.damaged_file"
    with pytest.raises(InputError, match="give its folder"):
        check_model_file(whole["m"] / "saved_model.pb")


CHECKS_ONLY = """
import sys
from pathlib import Path
from learn2compress.inputs.model_files.kinds import check_model_file
for path in sys.argv[1:]:
    check_model_file(Path(path))
print(sorted({"tensorflow", "keras", "onnxruntime", "ai_edge_litert"} & sys.modules.keys()))
"""


def test_checking_loads_no_library_that_runs_models(whole):
    done = subprocess.run(
        [sys.executable, "-c", CHECKS_ONLY, *map(str, whole.values())], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_command_says_what_a_black_box_is(whole):
    for name, kind in [("m.onnx", "an ONNX model"), ("m", "a SavedModel"), ("m.pb", "a frozen TensorFlow graph")]:
        done = CliRunner().invoke(main, ["inspect", str(whole[name]), "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert (found["kind"], found["input"], found["classes"]) == (kind, [8, 8, 3], 3)
        assert "--from fresh" in found["structure"]["refused"]
