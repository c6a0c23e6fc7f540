"""Teachers whose outputs come in another order than the data's classes."""

from __future__ import annotations

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.graph.outputs import with_outputs
from learn2compress.inputs.checks import check_teacher_fits
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.keras_file import load_keras_file
from learn2compress.inputs.teacher import load_teacher

ORDER = (2, 0, 4, 1, 3)  # output i stands for this class
CLASSES = len(ORDER)


def brightest_cell(n=400, seed=0):
    """Five classes that differ in which column of a dim image is bright."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % CLASSES
    x = random.integers(0, 60, (n, 5, 5, 3))
    x[np.arange(n), :, y, :] += 120
    return x.astype(np.uint8), y


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(brightest_cell())


@pytest.fixture(scope="module")
def shuffled(keras):
    """A model whose outputs stand for the classes in an order of their own; `spare` places one that is never right.

    It sees how far pixels are below zero, and nothing where they are not: they must be made signed (or be raw, with
    `signed` false).
    """

    def build(order=ORDER, signed=True, spare=None):
        places = [*order] if spare is None else [*order[:spare], None, *order[spare:]]
        sign = -1 if signed else 1
        inputs = keras.layers.Input((5, 5, 3))
        x = keras.layers.Conv2D(3, 1)(inputs)
        x = keras.layers.ReLU(max_value=1 if signed else 255)(x)
        x = keras.layers.Flatten()(keras.layers.AveragePooling2D((5, 1))(x))
        model = keras.Model(inputs, keras.layers.Dense(len(places), activation="softmax")(x))
        kernel = np.zeros((5, 3, len(places)), np.float32)
        for output, label in enumerate(places):
            if label is not None:
                kernel[label, :, output] = sign
        bias = np.array([-900.0 if label is None else 0.0 for label in places], np.float32)
        model.layers[1].set_weights([sign * np.eye(3, dtype=np.float32)[None, None], np.zeros(3, np.float32)])
        model.layers[-1].set_weights([kernel.reshape(15, -1), bias])
        return model

    return build


def right(teacher, data):
    return float((teacher.predict(data.test.stacked).argmax(1) == data.test.labels).mean())


def test_an_order_that_images_leave_no_doubt_of_is_used_and_told(shuffled, dataset, events, progress):
    teacher = load_teacher(shuffled(), dataset=dataset, progress=progress)
    assert teacher.preprocess.name == "signed"  # a permutation does not hide it
    assert right(teacher, dataset) == 1.0
    assert check_teacher_fits(teacher, dataset) == 1.0
    (warning,) = [event.message for event in events if event.kind == "warning"]
    assert "2, 0, 4, 1, 3" in warning
    assert "--labels" in warning
    assert warning in teacher.findings
    assert teacher.keras_model.predict(np.zeros((1, 5, 5, 3)), verbose=0).shape == (1, CLASSES)


def test_it_is_used_of_a_callable_as_well_and_with_a_given_preprocessing(shuffled, dataset):
    model = shuffled(signed=False)
    teacher = load_teacher(lambda images: model.predict(images, verbose=0), dataset=dataset, preprocess="raw")
    assert teacher.keras_model is None
    assert right(teacher, dataset) == 1.0


def test_the_data_s_own_order_is_left_alone(shuffled, dataset, events, progress):
    teacher = load_teacher(shuffled(order=(0, 1, 2, 3, 4)), dataset=dataset, progress=progress)
    assert right(teacher, dataset) == 1.0
    assert not [event for event in events if event.kind == "warning"]


def test_an_order_that_the_user_gives_is_not_overruled(shuffled, dataset):
    """With wrong --labels the run is refused, with the order that fits."""
    x, y = brightest_cell()
    names = ["a", "b", "c", "d", "e"]
    given = load_dataset({"x_train": x, "y_train": y, "class_names": names}, labels=names)
    teacher = load_teacher(shuffled(signed=False), dataset=given, preprocess="raw")
    with pytest.raises(InputError, match="c, a, e, b, d") as caught:
        check_teacher_fits(teacher, given)
    assert caught.value.code == "teacher.label_order"
    mended = load_dataset({"x_train": x, "y_train": y, "class_names": names}, labels=["c", "a", "e", "b", "d"])
    teacher = load_teacher(shuffled(signed=False), dataset=mended, preprocess="raw")
    assert check_teacher_fits(teacher, mended) == 1.0


def test_an_order_that_leaves_a_doubt_is_refused_with_what_it_looks_like(dataset):
    def unsure(images):  # of classes 3 and 4 it can't tell which is which
        column = np.asarray(images, np.float32).mean(axis=(1, 3)).argmax(axis=1)
        noise = np.asarray(images, np.float32).sum(axis=(1, 2, 3)).astype(int) % 2
        said = np.where(column >= 3, 3 + noise, (column + 1) % 3)
        return np.eye(CLASSES, dtype=np.float32)[said]

    with pytest.raises(InputError, match="doubt") as caught:
        load_teacher(unsure, dataset=dataset, preprocess="raw")
    assert caught.value.code == "teacher.label_order"
    assert "--labels" in caught.value.fix
    assert "2, 0, 1" in caught.value.fix


def test_a_model_that_knows_nothing_is_given_no_order(keras, dataset):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((5, 5, 3)), keras.layers.GlobalAveragePooling2D()])
    model.add(keras.layers.Dense(CLASSES))
    teacher = load_teacher(model, dataset=dataset)
    with pytest.raises(InputError) as caught:
        check_teacher_fits(teacher, dataset)
    assert caught.value.code == "teacher.at_chance"


@pytest.mark.parametrize(("spare", "end"), [(0, "first"), (5, "last")])
def test_a_background_class_before_or_behind_the_data_s_is_left_out(shuffled, dataset, events, progress, spare, end):
    model = shuffled(order=(0, 1, 2, 3, 4), spare=spare)
    teacher = load_teacher(model, dataset=dataset, progress=progress)
    assert (teacher.classes, right(teacher, dataset)) == (CLASSES, 1.0)
    assert teacher.preprocess.name == "signed"
    assert any(f"The {end} stands for none" in event.message for event in events if event.kind == "warning")


def test_one_output_too_many_that_images_don_t_explain_is_refused(keras, dataset):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((5, 5, 3)), keras.layers.GlobalAveragePooling2D()])
    model.add(keras.layers.Dense(CLASSES + 1))
    with pytest.raises(InputError, match="6 classes apart, but the data has 5") as caught:
        load_teacher(model, dataset=dataset)
    assert caught.value.code == "teacher.class_count"


@pytest.mark.data
def test_a_real_teacher_with_its_outputs_shuffled_teaches_in_the_data_s_order(
    real_data, real_teacher, events, progress
):
    order = np.random.default_rng(3).permutation(10)
    model = with_outputs(load_keras_file(real_teacher("resnet20_cifar10.keras")), order)
    data = load_dataset(real_data("cifar10_3k.npz"))
    teacher = load_teacher(model, dataset=data, progress=progress)
    assert teacher.preprocess.name == "raw"
    assert check_teacher_fits(teacher, data) > 0.85
    (warning,) = [event.message for event in events if event.kind == "warning"]
    assert ", ".join(data.class_names[i] for i in order) in warning
