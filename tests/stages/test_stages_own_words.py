"""What a `.tflite` teacher says of itself, in its metadata, goes first where images don't speak against it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from learn2compress.cli import main
from learn2compress.export.metadata import add_metadata
from learn2compress.stages.own_words import own_words

SIZE = 16
NAMES = ("red", "green", "blue")
FIVE = ("x", "Blue", "green", "red ", "light_red")
# What the model takes: pixels from 10 to 260 as 0 to 1.
MEAN, STD = 10.0, 250.0
Made = Callable[..., Path]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three classes that differ in which channel is bright."""
    root, random = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        (root / name).mkdir()
        for i in range(40):
            pixels = random.integers(0, 120, (SIZE, SIZE, 3))
            pixels[:, :, label] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Writes a float32 file whose outputs stand for what `NAMES` are, in some order, with metadata."""
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("teachers")
    bare: dict[tuple[int, ...], bytes] = {}

    def build(channels: tuple[int, ...]) -> bytes:
        inputs = keras.Input((SIZE, SIZE, 3), batch_size=1)
        # Clipped, so that no other scale of the pixels tells the channels apart.
        features = keras.layers.ReLU(max_value=1)(keras.layers.Conv2D(3, 1)(inputs))
        last = keras.layers.Dense(len(channels), activation="softmax")
        model = keras.Model(inputs, last(keras.layers.GlobalAveragePooling2D()(features)))
        head, bias = np.zeros((3, len(channels))), np.zeros(len(channels))
        for output, channel in enumerate(channels):
            if channel >= 0:
                head[channel, output] = 20
            else:
                bias[output] = 9  # of nothing in particular: right or wrong on some of all
        model.set_weights([np.eye(3)[None, None], np.zeros(3), head, bias])
        spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)
        traced = tf.function(model).get_concrete_function(spec)
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())

    def write(name: str, channels: tuple[int, ...], labels: Sequence[str], mean: float, std: float) -> Path:
        if channels not in bare:
            bare[channels] = build(channels)
        words = {"name": "it", "description": "", "version": "1", "author": "", "license": ""}
        path = folder / f"{name}.tflite"
        path.write_bytes(add_metadata(bare[channels], **words, labels=labels, input_mean=[mean], input_std=[std]))
        return path

    return write


def inspect(teacher: Path, photos: Path, *more: str) -> Any:
    done = CliRunner().invoke(main, ["inspect", str(teacher), "--data", str(photos), "--json", *more])
    assert done.exit_code in (0, 2), done.output
    return json.loads(done.stdout)


def test_outputs_are_known_by_the_labels_inside_and_pixels_by_mean_and_deviation(make: Made, photos: Path) -> None:
    teacher = make("five", (-1, 2, 1, 0, -1), FIVE, MEAN, STD)
    found = inspect(teacher, photos)
    assert (found["classes"], found["class_names"]) == (3, sorted(NAMES))
    assert found["validation_accuracy"] == 1.0
    assert found["preprocessing"] == "10,10,10,250,250,250"
    findings = " ".join(found["findings"])
    assert "2 of the 5 outputs" in findings
    assert "light_red" in findings
    assert "metadata say 10,10,10,250,250,250" in findings
    # What the user says goes before both.
    assert inspect(teacher, photos, "--preprocess", "unit")["preprocessing"] == "unit"


def test_compress_heeds_them_too(make: Made, photos: Path, tmp_path: Path) -> None:
    """It comes as far as to say that a black box has no layers to take, and not to ask for names of five outputs."""
    teacher = make("five", (-1, 2, 1, 0, -1), FIVE, MEAN, STD)
    arguments = ["compress", str(teacher), "--data", str(photos), "--out", str(tmp_path / "family"), "--json"]
    done = CliRunner().invoke(main, [*arguments, "--from", "cuts"])
    assert json.loads(done.stdout)["error"]["code"] == "route.teacher_refused"


def test_mean_and_deviation_that_do_worse_than_others_are_not_taken(make: Made, photos: Path) -> None:
    found = inspect(make("dark", (2, 1, 0), ("blue", "green", "red"), 300.0, 1.0), photos)
    assert found["preprocessing"] == "unit"
    assert found["validation_accuracy"] == 1.0
    assert any("300,300,300,1,1,1" in one and "instead" in one for one in found["findings"])


def test_labels_that_images_contradict_are_not_believed(make: Made, photos: Path) -> None:
    found = inspect(make("turned", (2, 1, 0), ("green", "red", "blue"), 0.0, 255.0), photos)
    assert found["validation_accuracy"] == 1.0
    assert any("another order" in one for one in found["findings"])


def test_labels_that_name_none_of_the_data_s_classes_say_nothing(make: Made, photos: Path) -> None:
    found = inspect(make("foreign", (2, 1, 0), ("blau", "grün", "rot"), 0.0, 255.0), photos)
    assert found["validation_accuracy"] == 1.0
    assert found["class_names"] == sorted(NAMES)


def test_of_other_models_and_of_broken_metadata_nothing_is_said(make: Made, tmp_path: Path) -> None:
    whole = make("five", (-1, 2, 1, 0, -1), FIVE, MEAN, STD)
    assert own_words(whole).labels == FIVE
    assert own_words(str(whole)).preprocess is not None
    for other in (None, len, tmp_path / "nowhere.tflite", tmp_path):
        assert own_words(other).labels == ()
    content = whole.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: content.rindex(b"PK\x01\x02")])
    assert own_words(tmp_path / "cut.tflite") == own_words(None)


def test_a_list_of_labels_that_would_fill_the_memory_is_not_read(make: Made, tmp_path: Path) -> None:
    path = tmp_path / "bomb.tflite"
    path.write_bytes(make("five", (-1, 2, 1, 0, -1), FIVE, MEAN, STD).read_bytes())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("more.txt", "w") as more:
        for _ in range(300):
            more.write(bytes(10**6))
    assert own_words(path) == own_words(None)
