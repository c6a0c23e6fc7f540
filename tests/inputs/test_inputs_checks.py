from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from learn2compress.core.chunks import MOST_BYTES
from learn2compress.core.errors import InputError
from learn2compress.inputs.checks import at_least, check_teacher_fits, judge
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.label_order import best_order
from learn2compress.inputs.teacher import load_teacher


def coded(counts, seed=0):
    """Images whose first pixel tells the class: a callable can be right or wrong as the test wants."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    x = np.full((len(y), 4, 4, 3), 100, np.uint8)
    x[:, 0, 0, 0] = y
    x[:, 0, 0, 1] = np.arange(len(y)) % 251
    return x, y


def dataset_of(counts):
    data = coded(counts)
    return load_dataset((data, data))


def teacher_saying(dataset, answer):
    """A teacher that gives `answer(class, noise)` for each image."""

    def function(images):
        classes = np.clip(np.rint(images[:, 0, 0, 0]), 0, dataset.classes - 1).astype(int)
        noise = images[:, 0, 0, 1].astype(int)
        said = np.array([answer(c, n) for c, n in zip(classes, noise, strict=True)])
        return np.eye(dataset.classes, dtype=np.float32)[said]

    return load_teacher(function, dataset=dataset, preprocess="raw")


def test_the_binomial_tail_is_exact():
    for hits, trials, rate in ((3, 10, 0.2), (1, 1, 0.3), (10, 10, 0.5), (0, 5, 0.1), (40, 500, 0.1)):
        exact = math.fsum(
            math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(hits, trials + 1)
        )
        assert at_least(hits, trials, rate) == pytest.approx(exact, rel=1e-9)


def test_large_images_are_looked_at_in_pieces():
    y = np.arange(800) % 2
    x = np.broadcast_to(200 * y[:, None, None, None], (800, 4, 4, 3)).astype(np.uint8)
    dataset = load_dataset(((x, y), (x, y)))
    calls = []

    class Large:
        name, classes, input_size = "large", 2, (512, 512)

        def predict(self, images):
            calls.append(len(images))
            return np.eye(2, dtype=np.float32)[(images[:, 0, 0, 0] > 0).astype(int)]

    assert check_teacher_fits(Large(), dataset) == 1.0
    assert sum(calls) == len(dataset.validation)
    assert max(calls) * 512 * 512 * 3 <= MOST_BYTES < len(dataset.validation) * 512 * 512 * 3


def test_a_good_teacher_passes_and_its_accuracy_is_returned(progress, events):
    dataset = dataset_of([300, 300, 300])
    assert check_teacher_fits(teacher_saying(dataset, lambda c, n: c), dataset, progress) == 1.0
    assert [event.kind for event in events] == ["note"]


@pytest.mark.parametrize(
    ("counts", "answer"),
    [
        ([300, 300], lambda c, n: 0),
        ([900, 100], lambda c, n: 0),
        ([300, 300, 300], lambda c, n: n % 3),
        ([3000, 300, 300], lambda c, n: int(n % 10 == 0)),
    ],
    ids=["always one", "always the most common", "at random", "mostly the most common"],
)
def test_a_guesser_is_refused_however_the_classes_are_distributed(counts, answer):
    dataset = dataset_of(counts)
    with pytest.raises(InputError, match="preprocessing") as caught:
        check_teacher_fits(teacher_saying(dataset, answer), dataset)
    assert caught.value.code == "teacher.at_chance"
    assert "%" in caught.value.what
    assert "--labels" in caught.value.fix


def test_a_teacher_that_knows_the_rare_class_is_no_guesser_though_it_errs_more_than_a_constant(progress, events):
    dataset = dataset_of([1800, 200])
    teacher = teacher_saying(dataset, lambda c, n: 1 if c == 1 or n % 5 == 0 else 0)
    assert check_teacher_fits(teacher, dataset, progress) < 0.9


def test_a_weak_teacher_passes_with_a_warning(progress, events):
    dataset = dataset_of([300, 300, 300])
    teacher = teacher_saying(dataset, lambda c, n: c if n % 4 == 0 else n % 3)
    assert 0.4 < check_teacher_fits(teacher, dataset, progress) < 0.6
    assert [event.kind for event in events] == ["warning"]


@pytest.mark.parametrize("order", [[1, 2, 3, 0], [0, 1, 3, 2], [3, 2, 1, 0]])
def test_another_label_order_is_recognised_and_the_right_one_is_told(order):
    dataset = dataset_of([100, 100, 100, 100])
    dataset = replace(dataset, output_names=dataset.class_names)  # as if --labels said so
    teacher = teacher_saying(dataset, lambda c, n: order[c] if n % 10 else 0)
    with pytest.raises(InputError, match="label order") as caught:
        check_teacher_fits(teacher, dataset)
    assert caught.value.code == "teacher.label_order"
    assert ", ".join(str(order.index(i)) for i in range(4)) in caught.value.fix


def test_giving_that_order_as_labels_mends_it():
    x, y = coded([100, 100, 100])
    names = ("red", "green", "blue")
    data = {"x_train": x, "y_train": y, "x_test": x, "y_test": y, "class_names": names}

    def function(images):  # its outputs stand for blue, red, green
        return np.eye(3)[(np.rint(images[:, 0, 0, 0]).astype(int) % 3 + 1) % 3]

    wrong = load_dataset(data, labels=names)
    with pytest.raises(InputError, match="blue, red, green"):
        check_teacher_fits(load_teacher(function, dataset=wrong, preprocess="raw"), wrong)
    mended = load_dataset(data, labels=["blue", "red", "green"])
    assert check_teacher_fits(load_teacher(function, dataset=mended, preprocess="raw"), mended) == 1.0


def test_very_few_images_do_not_condemn_a_perfect_teacher():
    verdict = judge(np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]))
    assert verdict.p_value > 0.001
    assert not verdict.is_luck
    assert judge(np.array([0, 0, 0, 0]), np.array([0, 1, 0, 1])).is_luck


def test_the_best_order_uses_each_class_once():
    random = np.random.default_rng(0)
    order = best_order(random.integers(0, 20, 100), random.integers(0, 20, 100), 20)
    assert sorted(order) == list(range(20))


@pytest.mark.data
@pytest.mark.parametrize(
    ("teacher", "data", "least"),
    [
        ("resnet20_cifar10.keras", "cifar10_3k.npz", 0.95),
        ("mlperf_tiny_resnet8_cifar10.h5", "cifar10_3k.npz", 0.85),
        ("efficientnet_lite0_clothing96.keras", "clothing_96", 0.85),
    ],
)
@pytest.mark.usefixtures("keras")
def test_the_real_teachers_fit_their_data(real_teacher, real_data, teacher, data, least):
    dataset = load_dataset(real_data(data))
    loaded = load_teacher(real_teacher(teacher), dataset=dataset)
    assert loaded.preprocess.name == "raw"
    assert check_teacher_fits(loaded, dataset) >= least


@pytest.mark.data
def test_an_old_h5_whose_classes_do_not_match_is_refused_for_that(keras, real_teacher, real_data):
    dataset = load_dataset(real_data("cifar10_3k.npz"))
    with pytest.raises(InputError, match="1000 classes"):
        load_teacher(real_teacher("mobilenet_v1_0.25_224_imagenet.h5"), dataset=dataset)
