"""Teachers whose outputs come in another order than the data's classes."""

from __future__ import annotations

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.graph.outputs import with_outputs
from learn2compress.inputs.checks import check_teacher_fits
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.exchanged import find_exchange
from learn2compress.inputs.keras_file import load_keras_file
from learn2compress.inputs.splits import balanced_sample
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


def columns(counts, seed=0):
    """Images of as many classes as there are counts, which differ in which column is bright in red."""
    random = np.random.default_rng(seed)
    y = random.permutation(np.repeat(np.arange(len(counts)), counts))
    x = random.integers(0, 60, (len(y), 5, len(counts), 3))
    x[np.arange(len(y)), :, y, 0] += 120
    return x.astype(np.uint8), y


def answering(outputs, answer):
    """A teacher that says the output `answer(column, luck)` of each image; its luck is evenly among 0..99."""

    def function(images):
        images = np.asarray(images, np.float32)
        brightest = images[..., 0].mean(axis=1).argmax(axis=1)
        luck = images.sum(axis=(1, 2, 3)).astype(int) % 100
        said = [answer(int(column), int(number)) for column, number in zip(brightest, luck, strict=True)]
        return np.eye(outputs, dtype=np.float32)[said]

    return function


def of_columns(counts):
    return load_dataset((columns(counts), columns([4] * len(counts), seed=1)))


@pytest.fixture(scope="module")
def ten():
    return of_columns([40] * 10)


def warnings(events):
    return [event.message for event in events if event.kind == "warning"]


@pytest.mark.parametrize("spare", range(11))
def test_an_output_that_stands_for_none_of_the_classes_is_found_wherever_it_is(ten, events, progress, spare):
    model = answering(11, lambda column, luck: column + (column >= spare))
    teacher = load_teacher(model, dataset=ten, preprocess="raw", progress=progress)
    assert (teacher.classes, right(teacher, ten)) == (10, 1.0)
    (warning,) = warnings(events)
    assert {0: "The first stands", 10: "The last stands"}.get(spare, f"Output {spare} stands") in warning
    assert ("background" in warning) == (spare in (0, 10))


@pytest.mark.parametrize("spare", [0, 1, 5, 10])
def test_it_is_found_by_each_class_however_few_images_it_has_beside_the_others(spare):
    data = of_columns([12] + [100] * 9)
    teacher = load_teacher(answering(11, lambda c, luck: c + (c >= spare)), dataset=data, preprocess="raw")
    assert right(teacher, data) == 1.0


def test_where_a_class_has_too_few_images_to_tell_the_spare_output_is_asked_for():
    """Taking the first for a background class would be right on all images but those of class 0."""
    data = of_columns([6] + [100] * 9)
    with pytest.raises(InputError, match="11 classes apart, but the data has 10") as caught:
        load_teacher(answering(11, lambda c, luck: c + (c >= 1)), dataset=data, preprocess="raw")
    assert caught.value.code == "teacher.class_count"
    assert "0, (none of the data's), 1, 2" in caught.value.fix


def test_a_spare_output_among_others_in_disorder_is_found(ten, events, progress):
    places = [3, 0, 9, 10, 1, 8, 2, 7, 5, 4]  # output 6 is the spare one
    model = answering(11, lambda column, luck: places[column])
    teacher = load_teacher(model, dataset=ten, preprocess="raw", progress=progress)
    assert right(teacher, ten) == 1.0
    (warning,) = warnings(events)
    assert "Output 6 stands for none" in warning
    assert "in turn: 1, 4, 6, 0, 9, 8, 7, 5, 2, 3" in warning


EXCHANGES = {
    "two of ten": (10, {2: 7, 7: 2}, "images of 2 go to the output of 7, images of 7 to that of 2"),
    "three of sixteen": (16, {1: 4, 4: 8, 8: 1}, "images of 1 go to the output of 4, images of 4 to that of 8"),
    "two of many": (120, {11: 95, 95: 11}, "images of 11 go to the output of 95, images of 95 to that of 11"),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_few_exchanged_classes_are_found_and_told(events, progress, name):
    classes, goes, told = EXCHANGES[name]
    data = of_columns([14 if classes > 100 else 40] * classes)

    def mostly_right(column, luck):
        return goes.get(column, column) if luck >= 5 else (column + 3) % classes

    teacher = load_teacher(answering(classes, mostly_right), dataset=data, preprocess="raw", progress=progress)
    (warning,) = warnings(events)
    assert told in warning
    assert "--labels" in warning
    predicted = teacher.predict(data.test.stacked).argmax(1)
    moved = np.isin(data.test.labels, list(goes))
    assert (predicted == data.test.labels)[moved].mean() >= 0.75
    assert check_teacher_fits(teacher, data) > 0.85


def test_many_exchanged_classes_are_an_order_that_is_used_where_each_is_clear(ten, events, progress):
    """Though most images are right in the data's order."""
    goes = {2: 7, 7: 2, 4: 5, 5: 4}
    model = answering(10, lambda column, luck: goes.get(column, column))
    teacher = load_teacher(model, dataset=ten, preprocess="raw", progress=progress)
    assert right(teacher, ten) == 1.0
    (warning,) = warnings(events)
    assert "in turn: 0, 1, 7, 3, 5, 4, 6, 2, 8, 9" in warning


@pytest.mark.parametrize("classes", [10, 120])
def test_two_lines_of_the_labels_that_changed_places_are_told(classes):
    x, y = columns([14 if classes > 100 else 40] * classes)
    names = [f"class {i}" for i in range(classes)]
    given = names.copy()
    given[2], given[7] = "class 7", "class 2"
    data = {"x_train": x, "y_train": y, "class_names": names}
    model = answering(classes, lambda column, luck: column if luck >= 5 else (column + 3) % classes)
    wrong = load_dataset(data, labels=given)
    teacher = load_teacher(model, dataset=wrong, preprocess="raw")
    with pytest.raises(InputError, match="images of class 2 to that of class 7") as caught:
        check_teacher_fits(teacher, wrong)
    assert caught.value.code == "teacher.label_order"
    assert "class 2 instead of class 7" in caught.value.fix
    mended = load_dataset(data, labels=names)
    assert check_teacher_fits(load_teacher(model, dataset=mended, preprocess="raw"), mended) > 0.85


CONFUSED = {
    "a coin decides": lambda column, luck: 2 if luck < 50 else 7,
    "one for both": lambda column, luck: 2,
    "the other somewhat more often": lambda column, luck: column if luck < 40 else 9 - column,
    "one for the other, which goes elsewhere": lambda column, luck: 7 if column == 2 else 4,
}


@pytest.mark.parametrize("kind", CONFUSED)
def test_classes_that_a_teacher_confuses_are_not_taken_for_exchanged(ten, events, progress, kind):
    model = answering(10, lambda column, luck: CONFUSED[kind](column, luck) if column in (2, 7) else column)
    teacher = load_teacher(model, dataset=ten, preprocess="raw", progress=progress)
    check_teacher_fits(teacher, ten)
    assert not warnings(events)
    alone = np.isin(ten.test.labels, (2, 7), invert=True)
    assert (teacher.predict(ten.test.stacked).argmax(1) == ten.test.labels)[alone].all()


@pytest.mark.parametrize("images", [8, 40])
def test_luck_among_many_classes_that_can_t_be_told_apart_is_no_exchange(images):
    labels = np.arange(30 * images) % 30
    sample = balanced_sample(labels, 256)
    suspected = 0
    for seed in range(100):
        kept = np.random.default_rng(seed).random(len(labels)) < 0.5
        said = np.where(kept, labels, labels ^ 1)  # of each pair a coin says which
        asked = []

        def predict(indices, said=said, asked=asked):
            asked.append(len(indices))
            return said[indices]

        assert find_exchange(predict, labels, said[sample], labels[sample], 30) is None
        suspected += bool(asked)
    assert suspected > 5  # a first look alone would have been fooled


def only_signed(function):
    """It can't see anything but pixels of -1..1."""

    def answer(images):
        signed = -1.01 <= images.min() < -0.9 and images.max() <= 1.01
        return function(images if signed else np.zeros_like(images))

    return answer


@pytest.mark.parametrize("kind", ["in disorder", "behind a background class"])
def test_neither_hides_the_preprocessing_where_there_are_many_classes(kind):
    classes = 200
    data = of_columns([10] * classes)
    places = np.random.default_rng(5).permutation(classes) if kind == "in disorder" else np.arange(classes) + 1
    model = only_signed(answering(int(places.max()) + 1, lambda column, luck: places[column]))
    teacher = load_teacher(model, dataset=data)
    assert teacher.preprocess.name == "signed"
    assert teacher.preprocess_accuracies["raw"] < 0.1
    assert right(teacher, data) == 1.0


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
