"""The whole way with a teacher of a single score: a family of two classes, whatever the teacher is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from learn2compress.cli import main

SIZE = 16
QUICK = ["training.joint_steps=6", "training.quantization_steps=3", "training.batch_size=16", "views.count=1"]

pytestmark = pytest.mark.usefixtures("timed_briefly")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red pictures, called cats, and green ones, called dogs."""
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in {"train": 24, "val": 10, "test": 10}.items():
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 120, (SIZE, SIZE, 3))
                pixels[:, :, label] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


def dog_or_not() -> Any:
    """Gives the probability of a dog for pixels 0..255."""
    import keras

    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Conv2D(16, 3, activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))
    first, second = np.zeros((3, 3, 3, 8)), np.zeros((3, 3, 8, 16))
    first[1, 1, [0, 1, 2], [0, 1, 2]] = second[1, 1, [0, 1, 2], [0, 1, 2]] = 1
    head = np.zeros((16, 1))
    head[[0, 1]] = [[-20], [20]]
    model.set_weights([first, np.zeros(8), second, np.zeros(16), head, np.zeros(1)])
    return model


def as_tflite(model: Any, path: Path) -> Path:
    import tensorflow as tf

    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([tf.function(model).get_concrete_function(spec)])
    path.write_bytes(converter.convert())
    return path


@pytest.mark.parametrize("kind", ["keras", "tflite"])
def test_a_cat_or_dog_model_becomes_a_family_of_two_classes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("L2C_CACHE", str(tmp_path / "cache"))
    teacher, out = tmp_path / f"cat_or_dog.{kind}", tmp_path / "family"
    if kind == "keras":
        dog_or_not().save(teacher)
    else:
        as_tflite(dog_or_not(), teacher)
    route = {"keras": "prunings", "tflite": "fresh"}[kind]
    arguments = ["compress", str(teacher), "--data", str(photos), "--out", str(out), "--json", "--students", "1"]
    settings = [word for setting in QUICK for word in ("--set", setting)]
    done = CliRunner().invoke(main, [*arguments, *settings, "--budget", "30s", "--from", route])
    assert done.exit_code == 0, done.stdout + done.stderr
    family = json.loads(done.stdout)
    assert family["teacher"]["accuracy"]["test"] == 1.0
    assert family["dataset"]["class_names"] == ["cat", "dog"]
    assert any(
        "single score" in finding and "dog" in finding for finding in family["plan"]["found out of the teacher"]
    )
    files = [one["file"] for one in family["baselines"]]
    if kind == "keras":
        assert len(files) == 2
        assert family["baselines"][0]["accuracy"]["test"] == 1.0
    else:
        assert files == ["baseline/teacher.tflite"]
        assert (out / files[0]).read_bytes() == teacher.read_bytes()
    (member,) = family["members"]
    assert (out / member["file"]).is_file()
    assert (out / "labels.txt").read_text() == "cat\ndog\n"
