"""The whole way with a teacher that is a `.tflite` file: nothing of it is known but what it answers."""

from __future__ import annotations

import json
import os
from pathlib import Path

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
    """Pictures of three classes that differ in which channel is bright."""
    root, random = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for split, count in {"train": 24, "val": 10, "test": 10}.items():
        for label, name in enumerate(("red", "green", "blue")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 120, (SIZE, SIZE, 3))
                pixels[:, :, label] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes float32 pixels in 0..1, gives logits in the order of the names: blue, green, red."""
    import keras
    import tensorflow as tf

    inputs = keras.Input((SIZE, SIZE, 3), batch_size=1)
    # Clipped, so that no other scale of the pixels tells the channels apart.
    features = keras.layers.ReLU(max_value=1)(keras.layers.Conv2D(8, 3)(inputs))
    last = keras.layers.Dense(3)
    model = keras.Model(inputs, last(keras.layers.GlobalAveragePooling2D()(features)))
    kernel = np.zeros((3, 3, 3, 8), np.float32)
    kernel[1, 1, [0, 1, 2], [0, 1, 2]] = 1
    head = np.zeros((8, 3), np.float32)
    head[[2, 1, 0], [0, 1, 2]] = 20
    model.set_weights([kernel, np.zeros(8, np.float32), head, np.zeros(3, np.float32)])
    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([tf.function(model).get_concrete_function(spec)])
    path = tmp_path_factory.mktemp("teacher") / "colours.tflite"
    path.write_bytes(converter.convert())
    return path


def compress(teacher: Path, photos: Path, out: Path, *more: str) -> tuple[int, dict]:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    arguments = ["compress", str(teacher), "--data", str(photos), "--out", str(out), "--json", "--students", "1"]
    done = CliRunner().invoke(main, [*arguments, *settings, "--budget", "30s", *more])
    return done.exit_code, json.loads(done.stdout)


def test_a_tflite_file_teaches_and_is_its_own_baseline(
    teacher: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2C_CACHE", str(tmp_path / "cache"))
    code, family = compress(teacher, photos, tmp_path / "family")
    assert code == 0, family
    assert family["route"] == "fresh"
    assert family["teacher"]["accuracy"]["test"] == 1.0  # with its own preprocessing, which the file does not hold
    assert family["teacher"]["size_bytes"] == teacher.stat().st_size
    assert family["teacher"]["latency_ms"]["median"] > 0
    assert [one["file"] for one in family["baselines"]] == ["baseline/teacher.tflite"]
    assert (tmp_path / "family" / "baseline" / "teacher.tflite").read_bytes() == teacher.read_bytes()
    (member,) = family["members"]
    assert member["ratio_to_teacher"]["size"] > 0
    assert (tmp_path / "family" / member["file"]).is_file()
    assert (tmp_path / "family" / "report.html").is_file()
    assert 'preprocess = "unit"' in (tmp_path / "family" / "recipe.toml").read_text()
    given = str(tmp_path / "family" / "baseline" / "teacher.tflite")
    done = CliRunner().invoke(main, ["evaluate", given, "--data", str(photos), "--json"])
    assert json.loads(done.stdout)["accuracy"] == family["teacher"]["accuracy"]["test"]


@pytest.mark.parametrize("route", ["teacher", "cuts", "prunings"])
def test_a_black_box_has_no_layers_to_take(teacher: Path, photos: Path, tmp_path: Path, route: str) -> None:
    code, document = compress(teacher, photos, tmp_path / "family", "--from", route)
    assert code == 2
    assert document["error"]["code"] == "route.teacher_refused"
    assert "--from fresh" in document["error"]["fix"]
    assert list(tmp_path.iterdir()) == []
