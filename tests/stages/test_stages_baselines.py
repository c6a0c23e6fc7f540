"""The teacher's files say what members say of themselves, and one that can't be written does not cost the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.progress import Event, Progress
from learn2compress.evaluation import evaluate_file
from learn2compress.export.metadata import read_metadata
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import load_teacher
from learn2compress.tasks import IMAGE_CLASSIFICATION

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SIZE = 8
OUTPUTS = (
    "red",
    "grey",
    "green",
    "blue",
    "black",
)  # in another order than the alphabet's, and more than the data has
FLOAT32, INT8 = "teacher-float32.tflite", "teacher-int8.tflite"
Files = Callable[..., list[Path]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images three times as wide as high, whose colour is at their left end; the classes by the alphabet."""
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = random.integers(0, 120, (90, SIZE, 3 * SIZE, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :SIZE, {"blue": 2, "green": 1, "red": 0}[("blue", "green", "red")[label]]] += 130
    path = tmp_path_factory.mktemp("data") / "data.npz"
    names = np.array(["blue", "green", "red"])
    np.savez(path, x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30], class_names=names)
    return path


def colours(end: Callable[[Any], Any] = lambda x: x) -> Any:
    """Gives the scores of `OUTPUTS` for pixels 0..255; `end` is done to the mean colour."""
    import keras

    image = keras.Input((SIZE, SIZE, 3))
    scores = keras.layers.Dense(5, activation="softmax", name="scores")
    model = keras.Model(image, scores(end(keras.layers.GlobalAveragePooling2D()(image))), name="colours")
    kernel = np.zeros((3, 5), np.float32)
    kernel[[0, 1, 2], [0, 2, 3]] = 0.2
    scores.set_weights([kernel, np.array([0, -99, 0, 0, -99], np.float32)])
    return model


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def files(data: Path, tmp_path: Path, events: list[Event]) -> Files:
    """Writes the files of a teacher into the state of a run."""

    def write(model: Any, **more: Any) -> list[Path]:
        from learn2compress.stages.baselines import teacher_files

        dataset = load_dataset(data, labels=OUTPUTS, framing="squeeze")
        teacher = load_teacher(model, dataset=dataset, preprocess="raw")
        run = Checkpoints(tmp_path)
        run.staging.mkdir(exist_ok=True)
        return teacher_files(IMAGE_CLASSIFICATION, teacher, dataset, run, Progress(events.append))

    return write


def test_baselines_say_their_classes_framing_and_normalization(files: Files, data: Path) -> None:
    written = files(colours())
    assert [path.name for path in written] == [FLOAT32, INT8]
    for path in written:
        metadata = read_metadata(path)
        assert metadata is not None
        assert metadata.labels == ("red", "green", "blue")
        assert metadata.framing == "squeeze"
        assert (metadata.input_mean, metadata.input_std) == ((0.0,), (pytest.approx(1.0, abs=0.05),))
        assert "colours" in metadata.name
        found = evaluate_file(path, data, "auto", None, 0, ())
        assert (found["framing"], found["preprocessing"], found["notes"]) == ("squeeze", "raw", [])
        assert found["accuracy"] > 0.9
        # What the metadata are for: without them the classes come in the data's order, and the images cropped.
        assert evaluate_file(path, data, "auto", None, 0, (), framing="crop")["accuracy"] < 0.7


def without_int8(x: Any) -> Any:
    """Does nothing, by an operator that can't be calibrated: LiteRT transforms powers of two only."""
    import keras

    return x + 0 * keras.ops.sum(keras.ops.rfft(x)[0], axis=-1, keepdims=True)


def test_without_an_int8_baseline_there_is_the_float32_one(files: Files, tmp_path: Path, events: list[Event]) -> None:
    folder = Checkpoints(tmp_path).staging / "baseline"
    folder.mkdir(parents=True)
    (folder / INT8).write_bytes(b"what an attempt that was killed has left")
    written = files(colours(without_int8))
    assert written == [folder / FLOAT32]
    assert [path.name for path in folder.iterdir()] == [FLOAT32]
    metadata = read_metadata(written[0])
    assert metadata is not None
    assert metadata.labels == ("red", "green", "blue")
    (warning,) = [event.message for event in events if event.kind == "warning"]
    assert "post-training int8" in warning


def test_of_a_teacher_with_a_loop_there_is_the_float32_file_without_metadata(
    files: Files, events: list[Event]
) -> None:
    """A loop is a graph of its own in the file: metadata are of one, and calibrating several kills the process."""
    import keras

    def looped(x: Any) -> Any:
        rows = keras.layers.Reshape((3, 1))(x)
        return keras.layers.GRU(3, unroll=False, kernel_initializer="zeros")(rows) + x

    written = files(colours(looped))
    assert [path.name for path in written] == [FLOAT32]
    assert read_metadata(written[0]) is None
    told = {event.kind: event.message for event in events}
    assert "carries no class names" in told["note"]
    assert "loops" in told["warning"]
