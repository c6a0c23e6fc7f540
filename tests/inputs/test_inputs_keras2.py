"""Files that Keras 2 wrote (see fixtures/make_keras2.py for how) are read as what they are, or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.inputs.keras_file import check_keras_file, load_keras_file
from learn2compress.inputs.teacher import load_teacher

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "keras2.zip"


@pytest.fixture(scope="module")
def keras2(keras, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras2")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


def images():
    return np.random.RandomState(0).randint(0, 256, (4, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["sequential", "nested", "mixed"])
def test_an_h5_of_keras_2_answers_as_keras_2_did(keras2, name):
    model = load_keras_file(keras2 / f"{name}.h5")
    answers = np.asarray(model(images().astype(np.float32), training=False))
    np.testing.assert_allclose(answers, np.load(keras2 / f"{name}.npy"), atol=1e-5 if name != "mixed" else 1e-2)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("operations.h5", "teacher.keras2_operations"),
        ("hard.h5", "teacher.keras2_hard_sigmoid"),
        ("archive.keras", "teacher.keras2_archive"),
    ],
)
def test_what_keras_3_would_misread_is_refused_with_a_way_out(keras2, name, code):
    with pytest.raises(InputError, match="SavedModel") as caught:
        check_keras_file(keras2 / name)
    assert caught.value.code == code


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
