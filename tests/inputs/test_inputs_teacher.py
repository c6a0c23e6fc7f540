from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from learn2compress.cli import main
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import load_teacher


def colours(n=240, seed=0, size=8):
    """Three classes that differ in which channel is bright."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = random.integers(0, 120, (n, size, size, 3))
    x[np.arange(n), :, :, y] += 100
    return x.astype(np.uint8), y


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(colours())


@pytest.fixture(scope="module")
def make(keras):
    """A model that tells the colours apart in pixels 0..255."""

    def build(activation="softmax", size=(8, 8)):
        inputs = keras.layers.Input((*size, 3))
        mean = keras.layers.GlobalAveragePooling2D()(inputs)
        hidden = keras.layers.Dense(3)(keras.layers.Rescaling(1 / 20)(mean))
        model = keras.Model(inputs, keras.layers.Activation(activation)(hidden))
        model.layers[-2].set_weights([np.eye(3, dtype=np.float32) - 1 / 3, np.zeros(3, np.float32)])
        return model

    return build


@pytest.mark.parametrize(
    ("activation", "kind"), [("softmax", "probabilities"), ("linear", "logits"), ("sigmoid", "scores")]
)
def test_probabilities_come_out_whatever_the_model_gives(make, dataset, activation, kind):
    teacher = load_teacher(make(activation=activation), dataset=dataset, preprocess="raw")
    probabilities = teacher.predict(dataset.test.stacked)
    assert teacher.outputs == kind
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (len(dataset.test), 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == dataset.test.labels).all()
    assert (teacher.input_size, teacher.classes, teacher.source) == ((8, 8), 3, "live model")


def test_logits_and_softmax_of_them_agree(make, dataset):
    images = dataset.test.stacked
    plain = load_teacher(make(), dataset=dataset, preprocess="raw").predict(images)
    logits = load_teacher(make(activation="linear"), dataset=dataset, preprocess="raw").predict(images)
    np.testing.assert_allclose(plain, logits, atol=1e-5)


def test_a_file_and_the_live_model_have_one_fingerprint_and_weights_and_preprocessing_change_it(
    make, dataset, tmp_path
):
    model = make()
    model.save(tmp_path / "mine.keras")
    live = load_teacher(model, dataset=dataset, preprocess="raw")
    file = load_teacher(tmp_path / "mine.keras", dataset=dataset, preprocess="raw")
    assert live.fingerprint == file.fingerprint
    assert (file.name, file.source) == ("mine", str(tmp_path / "mine.keras"))
    assert load_teacher(model, dataset=dataset, preprocess="unit").fingerprint != live.fingerprint
    model.layers[-2].set_weights([np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    assert load_teacher(model, dataset=dataset, preprocess="raw").fingerprint != live.fingerprint


@pytest.mark.parametrize(("name", "sign"), [("unit", 1), ("signed", -1)])
def test_preprocessing_is_found_by_trying(keras, events, progress, name, sign):
    x, y = colours()
    dataset = load_dataset((x // 2, y))  # all darker than 127: negative when signed
    inputs = keras.layers.Input((8, 8, 3))
    # Clipped to 0..1: under any other scale all three channels saturate alike.
    clipped = keras.layers.ReLU(max_value=1)(keras.layers.Rescaling(sign)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(clipped)))
    model.layers[-1].set_weights([sign * np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    teacher = load_teacher(model, dataset=dataset, progress=progress)
    assert teacher.preprocess.name == name
    assert (teacher.predict(dataset.test.stacked).argmax(1) == dataset.test.labels).all()
    assert any(f"preprocessing: {name}" in event.message for event in events if event.kind == "note")


def test_a_bgr_model_is_recognised(keras, dataset):
    inputs = keras.layers.Input((8, 8, 3))
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, outputs)
    model.layers[-1].set_weights(
        [np.eye(3, dtype=np.float32)[::-1].copy(), np.array([113.68 - 103.939, 0, -10], np.float32)]
    )
    assert load_teacher(model, dataset=dataset).preprocess.name == "caffe"


def test_a_grey_model_teaches_colour_images(keras):
    x = np.full((60, 8, 8, 3), 30, np.uint8)
    y = np.arange(60) % 2
    x[y == 1] = 220
    inputs = keras.layers.Input((8, 8, 1))
    outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, outputs)
    model.layers[-1].set_weights([np.array([[-1.0, 1.0]], np.float32), np.array([125.0, -125.0], np.float32)])
    data = load_dataset((x, y))
    teacher = load_teacher(model, dataset=data)
    assert teacher.channels == 1
    assert (teacher.predict(data.test.stacked).argmax(1) == data.test.labels).all()


def test_a_model_of_any_size_takes_the_data_s(make, dataset):
    assert load_teacher(make(size=(None, None)), dataset=dataset).input_size == (8, 8)
    assert load_teacher(make(size=(None, None)), dataset=dataset, input_size=(16, 16)).input_size == (16, 16)
    large = load_dataset((np.kron(dataset.train.stacked, np.ones((1, 41, 1, 1), np.uint8)), dataset.train.labels))
    events = []
    teacher = load_teacher(make(size=(None, None)), dataset=large, progress=Progress(events.append))
    assert teacher.input_size == (224, 224)
    assert any("--input-size" in event.message for event in events)
    with pytest.raises(InputError) as caught:
        load_teacher(make(size=(None, None)))
    assert caught.value.code == "teacher.size_unknown"
    with pytest.raises(InputError) as caught:
        load_teacher(make(), input_size=(9, 9))
    assert caught.value.code == "teacher.input_size"


def test_a_model_that_resizes_images_of_any_size_gets_them_so(keras, dataset):
    layers = keras.layers
    inputs = keras.Input((None, None, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Resizing(12, 16)(layers.Rescaling(1 / 255)(inputs)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(pooled))
    model.layers[-1].set_weights([9 * np.eye(3), np.zeros(3)])
    for given in (dataset, None):
        assert load_teacher(model, dataset=given).input_size == (12, 16)
    front = keras.Sequential([keras.Input((None, None, 3)), layers.RandomFlip(), layers.Resizing(12, 16)])
    nested = keras.Model(inputs, model.layers[-1](layers.GlobalAveragePooling2D()(front(inputs))))
    assert load_teacher(nested, dataset=dataset).input_size == (12, 16)
    assert load_teacher(model, dataset=dataset, input_size=(24, 24)).input_size == (24, 24)


def test_without_data_a_model_is_described_all_the_same(make):
    teacher = load_teacher(make())
    assert (teacher.classes, teacher.preprocess.name, teacher.outputs) == (3, "raw", "probabilities")
    assert teacher.parameters == 12


def test_without_data_a_model_is_run_once_and_not_compiled(keras, dataset):
    import tensorflow as tf

    runs = []

    class Watched(keras.layers.Layer):
        def call(self, x):
            runs.append("eager" if tf.executing_eagerly() else "compiled")
            return x

    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(Watched()(inputs)))
    model = keras.Model(inputs, outputs)
    model.layers[-1].set_weights([np.eye(3), np.zeros(3)])
    runs.clear()
    load_teacher(model)
    assert runs == ["eager"]
    runs.clear()
    load_teacher(model, dataset=dataset).predict(dataset.test.stacked)
    assert runs == ["eager", "compiled"]


def brightest(images):
    return np.asarray(images, np.float32).mean(axis=(1, 2))


def only_uint8(images):
    if images.dtype != np.uint8:
        raise TypeError("uint8 only")
    return brightest(images)


@pytest.mark.parametrize("function", [brightest, only_uint8])
def test_any_callable_can_teach(function, dataset):
    teacher = load_teacher(function, dataset=dataset)
    assert (teacher.name, teacher.source, teacher.keras_model) == (function.__name__, "callable", None)
    assert (teacher.predict(dataset.test.stacked).argmax(1) == dataset.test.labels).all()
    assert teacher.fingerprint == load_teacher(function, dataset=dataset).fingerprint


def test_predicting_in_parts_gives_what_predicting_at_once_gives(make, dataset):
    teacher = load_teacher(make(), dataset=dataset)
    images = np.concatenate([dataset.train.stacked] * 2)  # more than one batch
    parts = np.concatenate([teacher.predict(images[:100]), teacher.predict(images[100:])])
    np.testing.assert_allclose(teacher.predict(images), parts, atol=1e-6)


def test_images_of_another_size_or_type_are_a_programming_error(make, dataset):
    teacher = load_teacher(make(), dataset=dataset)
    for images in (np.zeros((1, 9, 9, 3), np.uint8), np.zeros((1, 8, 8, 3), np.float32)):
        with pytest.raises(ValueError, match="expected uint8"):
            teacher.predict(images)


def dense_on(keras, shape, *layers):
    return keras.Sequential([keras.layers.Input(shape), *layers])


def two_inputs(k):
    a, b = k.layers.Input((8, 8, 3)), k.layers.Input((8, 8, 3))
    return k.Model([a, b], k.layers.Dense(3)(k.layers.GlobalAveragePooling2D()(a + b)))


def two_outputs(k):
    a = k.layers.Input((8, 8, 3))
    pooled = k.layers.GlobalAveragePooling2D()(a)
    return k.Model(a, [k.layers.Dense(3)(pooled), k.layers.Dense(3)(pooled)])


def pooled(k, shape, units):
    return dense_on(k, shape, k.layers.GlobalAveragePooling2D(), k.layers.Dense(units))


def not_numbers(k):
    model = pooled(k, (8, 8, 3), 3)
    model.set_weights([w * np.nan for w in model.get_weights()])
    return model


BAD_TEACHERS = {
    "two inputs": (two_inputs, "teacher.many_inputs"),
    "two outputs": (two_outputs, "teacher.many_outputs"),
    "vector": (lambda k: dense_on(k, (9,), k.layers.Dense(3)), "teacher.not_an_image"),
    "sequence": (lambda k: dense_on(k, (9, 4), k.layers.LSTM(3)), "teacher.not_an_image"),
    "five channels": (lambda k: pooled(k, (8, 8, 5), 3), "teacher.not_an_image"),
    "channels first": (
        lambda k: dense_on(k, (3, 8, 8), k.layers.Flatten(), k.layers.Dense(3)),
        "teacher.channels_first",
    ),
    "single score": (lambda k: pooled(k, (8, 8, 3), 1), "teacher.binary_output"),
    "segmentation": (lambda k: dense_on(k, (8, 8, 3), k.layers.Conv2D(3, 1)), "teacher.not_a_classifier"),
    "class count": (lambda k: pooled(k, (8, 8, 3), 7), "teacher.class_count"),
    "nan": (not_numbers, "teacher.nan"),
    "a number": (lambda k: 3, "teacher.unknown_kind"),
    "a callable that fails": (lambda k: lambda images: 1 / 0, "teacher.call_failed"),
    "a callable with too few rows": (lambda k: lambda images: np.zeros((1, 3)), "teacher.call_failed"),
    "a callable that returns text": (lambda k: lambda images: ["a"] * len(images), "teacher.call_failed"),
    "a callable that returns maps": (lambda k: lambda images: images, "teacher.not_a_classifier"),
    "a callable with other classes": (lambda k: lambda x: np.zeros((len(x), 5)), "teacher.class_count"),
}


@pytest.mark.parametrize("name", BAD_TEACHERS)
def test_what_cannot_teach_is_refused_with_a_code_and_a_remedy(keras, dataset, name):
    build, code = BAD_TEACHERS[name]
    with pytest.raises(InputError) as caught:
        load_teacher(build(keras), dataset=dataset)
    assert caught.value.code == code
    assert caught.value.fix


def test_the_class_count_error_says_both_numbers(keras, dataset):
    with pytest.raises(InputError, match=r"7 classes.* 3"):
        load_teacher(pooled(keras, (8, 8, 3), 7), dataset=dataset)


def test_a_model_that_is_not_built_yet_is_built_by_trying(keras, dataset):
    model = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, kernel_initializer="zeros")]
    )
    assert load_teacher(model, dataset=dataset).classes == 3
    model = keras.Sequential([keras.layers.Conv2D(3, 1)])
    with pytest.raises(InputError) as caught:
        load_teacher(model, dataset=dataset)
    assert caught.value.code == "teacher.not_a_classifier"


@pytest.mark.parametrize("kind", ["keras", "callable"])
def test_outputs_for_classes_that_the_data_lacks_are_left_out(keras, make, dataset, events, progress, kind):
    """A teacher of five outputs, of which the data has three, in another order."""
    names = ("x", *reversed(dataset.class_names), "y")
    columns = [3, 2, 1]
    whole = make()
    wide = keras.Sequential([*whole.layers[:-2], keras.layers.Dense(5, activation="softmax")])
    kernel, bias = np.zeros((3, 5), np.float32), np.zeros(5, np.float32)
    kernel[:, columns] = whole.layers[-2].get_weights()[0]
    wide.layers[-1].set_weights([kernel, bias])

    def answers(images):
        return np.asarray(wide(np.asarray(images, np.float32)))

    known = replace(dataset, output_names=names)
    model = wide if kind == "keras" else answers
    teacher = load_teacher(model, dataset=known, preprocess="raw", progress=progress)
    assert teacher.classes == 3
    probabilities = teacher.predict(dataset.test.stacked)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == dataset.test.labels).all()
    (warning,) = [event.message for event in events if event.kind == "warning"]
    assert "2 of the 5 outputs" in warning
    assert "x" in warning
    if kind == "keras":
        assert teacher.parameters == wide.count_params() - 2 * 4
        assert any("weights instead of" in event.message for event in events)
    with pytest.raises(InputError, match="5 classes"):
        load_teacher(model, dataset=dataset, preprocess="raw")


def test_numbered_data_of_some_of_a_model_s_classes_is_read_by_the_names_of_its_outputs(keras, tmp_path):
    """A model of ten classes, and an .npz file of three of them: nothing but `--labels` says which."""
    x, y = colours()
    numbers = np.array([8, 3, 5])
    inputs = keras.Input((8, 8, 3))
    mean = keras.layers.Rescaling(1 / 20)(keras.layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(mean))
    kernel = np.zeros((3, 10))
    kernel[:, numbers] = np.eye(3) - 1 / 3
    # The others go before the three, were they not left out.
    model.layers[-1].set_weights([kernel, np.where(np.isin(np.arange(10), numbers), 0, 50)])
    model.save(tmp_path / "ten.keras")
    np.savez(tmp_path / "three.npz", x_train=x, y_train=numbers[y])
    (tmp_path / "ten.txt").write_text("\n".join(f"class {number}" for number in range(10)))
    command = ["inspect", str(tmp_path / "ten.keras"), "--data", str(tmp_path / "three.npz"), "--json"]
    refused = CliRunner().invoke(main, command)
    assert json.loads(refused.stdout)["error"]["code"] == "dataset.empty_class"
    found = CliRunner().invoke(main, [*command, "--labels", str(tmp_path / "ten.txt")])
    assert found.exit_code == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["class_names"] == ["class 3", "class 5", "class 8"]
    assert (told["classes"], told["validation_accuracy"]) == (3, 1.0)
    assert any("7 of the 10 outputs of ten" in finding and "class 0" in finding for finding in told["findings"])
    assert any("weights instead of" in finding for finding in told["findings"])


def behind_code(keras, model):
    """A model that calls another, and shows no graph."""

    class Caller(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = model

        def call(self, images):
            return self.inner(images)

    return Caller()


def squash(x):
    """A sigmoid that only its code tells of."""
    return 1 / (1 + 2.0**-x)


def own_layer(keras):
    class Squash(keras.layers.Layer):
        def call(self, x):
            return squash(x)

    return Squash()


ENDS = ["layer", "activation", "operation", "nested", "cast", "subclassed", "lambda", "own layer", "own function"]


@pytest.mark.parametrize("end", ENDS)
def test_sigmoids_are_told_from_logits_wherever_they_are_made(keras, dataset, end):
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    made = dict.fromkeys(("activation", "operation", "lambda", "own layer"))
    made["own function"] = squash
    dense = layers.Dense(3, activation=made.get(end, "sigmoid"))
    x = dense(layers.GlobalAveragePooling2D()(inputs))
    if end == "activation":
        x = layers.Activation("sigmoid")(x)
    if end == "operation":
        x = keras.ops.sigmoid(x)
    if end == "cast":
        x = layers.Activation("linear", dtype="float32")(x)
    if end == "lambda":
        x = layers.Lambda(squash)(x)
    if end == "own layer":
        x = own_layer(keras)(x)
    model = keras.Model(inputs, x)
    dense.set_weights([0.05 * np.eye(3), -6.0 * np.ones(3)])
    if end == "nested":
        model = keras.Sequential([inputs, layers.Rescaling(1.0), model])
    if end == "subclassed":
        model = behind_code(keras, model)
    assert load_teacher(model, dataset=dataset, preprocess="raw").outputs == "scores"


def test_logits_may_lie_in_0_to_1_where_the_end_can_be_read(keras, dataset):
    model = pooled(keras, (8, 8, 3), 3)
    model.set_weights([0.003 * np.eye(3), np.zeros(3)])
    assert load_teacher(model, dataset=dataset, preprocess="raw").outputs == "logits"
    # The same answers of a model that shows nothing of itself.
    hidden = behind_code(keras, model)
    assert load_teacher(hidden, dataset=dataset, preprocess="raw").outputs == "scores"
