from __future__ import annotations

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.inputs.dataset import load_dataset

X = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
Y = np.arange(60) % 3


@pytest.fixture(scope="module")
def tf(keras):
    return pytest.importorskip("tensorflow")


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds,
        lambda ds: ds.batch(7),
        lambda ds: ds.shuffle(60, seed=3).batch(7),
        lambda ds: ds.map(lambda x, y: {"image": x, "label": y}),
        lambda ds: ds.map(lambda x, y: (x / 255, y)).batch(16),
        lambda ds: ds.map(lambda x, y: (x, [y == 0, y == 1, y == 2])).batch(16),
    ],
    ids=["single", "batched", "shuffled", "dictionary", "unit floats", "one-hot"],
)
def test_tf_datasets_of_every_form_hold_the_same_examples(tf, change):
    plain = tf.data.Dataset.from_tensor_slices((X, Y))
    expected, dataset = load_dataset(plain), load_dataset(change(plain))
    assert dataset.train.fingerprint == expected.train.fingerprint
    assert dataset.source == "tf.data"
    seen = np.concatenate([s.stacked for s in (dataset.train, dataset.validation, dataset.test)])
    assert sorted(map(bytes, seen)) == sorted(map(bytes, X))


def test_named_tf_datasets_become_splits(tf):
    plain = tf.data.Dataset.from_tensor_slices((X, Y))
    dataset = load_dataset({"train": plain, "val": plain.take(6), "test": plain.take(9)})
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (60, 6, 9)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda ds: ds.repeat(), "dataset.tf_infinite"),
        (lambda ds: ds.take(0), "dataset.tf_empty"),
        (lambda ds: ds.map(lambda x, y: x), "dataset.tf_elements"),
        (lambda ds: ds.map(lambda x, y: (y, x)), "dataset.tf_elements"),
        (lambda ds: ds.batch(7).batch(2), "dataset.tf_elements"),
        (lambda ds: ds.batch(7).map(lambda x, y: (x, y[1:])), "dataset.length_mismatch"),
    ],
)
def test_bad_tf_datasets_are_refused(tf, change, code):
    with pytest.raises(InputError) as caught:
        load_dataset(change(tf.data.Dataset.from_tensor_slices((X, Y))))
    assert caught.value.code == code


def test_a_tf_dataset_that_fails_midway_is_an_input_error(tf):
    def examples():
        yield X[0], Y[0]
        raise RuntimeError("the disk is gone")

    spec = (tf.TensorSpec((8, 8, 3), tf.uint8), tf.TensorSpec((), tf.int64))
    with pytest.raises(InputError) as caught:
        load_dataset(tf.data.Dataset.from_generator(examples, output_signature=spec))
    assert caught.value.code == "dataset.tf_failed"
