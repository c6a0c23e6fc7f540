from __future__ import annotations

import sys

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.recipe import Recipe
from learn2compress.inputs.dataset import load_dataset


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # what Python does for a module that is not there
    with pytest.raises(InputError, match="which is not installed") as caught:
        load_dataset("tfds:cifar10")
    assert caught.value.code == "dataset.tfds_missing"
    assert caught.value.fix == "pip install 'learn2compress[tfds]'"


def test_a_recipe_keeps_the_name_as_it_is():
    recipe = Recipe.compose(None, (), {"model": "m.keras", "data": "tfds:beans:0.1.0", "test_data": "more"})
    assert recipe.data == "tfds:beans:0.1.0"
    assert recipe.test_data.endswith("/more")


@pytest.fixture
def tfds(tmp_path, monkeypatch, keras):
    import tensorflow_datasets

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(tensorflow_datasets.core.constants, "DATA_DIR", str(tmp_path), raising=False)
    return tensorflow_datasets


def test_a_prepared_set_is_read_by_its_name(tfds, tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 10, 12, 3), np.uint8)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(10, 12, 3)), "label": tfds.features.ClassLabel(names=["dog", "cat"])}
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name="pets",
        version="1.0.0",
        data_dir=tmp_path,
        features=features,
        split_datasets={
            "train": [(i, {"image": images[i], "label": i % 2}) for i in range(30)],
            "test": [(i, {"image": images[i], "label": i % 2}) for i in range(30, 40)],
        },
    )
    dataset = load_dataset("tfds:pets:1.0.0")
    assert dataset.class_names == ("dog", "cat")
    assert (len(dataset.train) + len(dataset.validation), len(dataset.test)) == (27 + 3, 10)
    known = {image.tobytes(): i % 2 for i, image in enumerate(images)}
    for split in (dataset.train, dataset.validation, dataset.test):
        for i in range(len(split)):
            assert known[split.image(i).tobytes()] == split.labels[i]


@pytest.mark.parametrize("name", ["no_such_set_at_all", "beans:9.9.9"])
def test_an_unknown_name_is_refused(tfds, name):
    with pytest.raises(InputError) as caught:
        load_dataset(f"tfds:{name}")
    assert caught.value.code == "dataset.tfds_unknown"
