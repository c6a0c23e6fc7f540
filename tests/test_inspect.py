"""`l2c inspect MODEL --data DATA`: what is there is shown, and beside it what speaks against compressing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from learn2compress.cli import main
from learn2compress.core.errors import EXIT_INPUT, EXIT_OK
from learn2compress.core.progress import Event
from learn2compress.inputs.checks import CHECK_IMAGES
from learn2compress.inspection import inspect_model

NAMES = ("red", "green", "blue")
COUNTS = {"train": 300, "val": CHECK_IMAGES + 120, "test": 60}
WIDE = {"COLUMNS": "400"}  # so that no sentence is broken


def written(path: Path, known: float, seed: int = 0) -> Path:
    """Noisy images of one colour each: of the share `known` of them it is the label, of the rest any."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {"class_names": np.array(NAMES)}
    for part, count in COUNTS.items():
        labels = random.permutation(np.arange(count) % len(NAMES))
        colours = np.where(random.random(count) < known, labels, random.integers(0, len(NAMES), count))
        images = random.integers(0, 156, (count, 16, 16, 3), np.uint8)
        images[np.arange(count), :, :, colours] += 99
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says the colour that an image has most of; most of its channels are of no use."""
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 1, activation="relu", name="colours")(image))
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x))
    model.get_layer("colours").set_weights([np.eye(3, 16, dtype="float32")[None, None], np.zeros(16, "float32")])
    model.get_layer("scores").set_weights([np.eye(16, 3, dtype="float32"), np.zeros(3, "float32")])
    path = tmp_path_factory.mktemp("model") / "colours.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By how much the model knows of it."""
    folder = tmp_path_factory.mktemp("data")
    shares = {"all": 1.0, "little": 0.25, "nothing": 0.0}
    return {name: written(folder / f"{name}.npz", known) for name, known in shares.items()}


def inspect(model: Path, data: Path, *more: str) -> Result:
    return CliRunner(env=WIDE).invoke(
        main, ["inspect", str(model), "--data", str(data), "--preprocess", "raw", *more]
    )


def test_how_well_the_model_does_is_said_with_the_number_of_images(model: Path, data: dict[str, Path]) -> None:
    found = inspect(model, data["all"], "--json")
    assert found.exit_code == EXIT_OK
    document = json.loads(found.stdout)
    assert document["validation_images"] == COUNTS["val"]
    assert document["validation_images_checked"] == CHECK_IMAGES
    assert document["validation_accuracy"] == 1.0
    assert document["verdict"].endswith(f" is right on 100.0% of {CHECK_IMAGES} validation images.")
    assert document["problems"] == []
    assert "error" not in document


def test_a_model_that_knows_little_is_warned_of_and_its_verdict_is_kept(model: Path, data: dict[str, Path]) -> None:
    found = inspect(model, data["little"], "--json")
    assert found.exit_code == EXIT_OK
    document = json.loads(found.stdout)
    assert 0.4 < document["validation_accuracy"] < 0.6
    assert "more than guessing (33" in document["verdict"]
    assert document["problems"] == []
    found = inspect(model, data["little"])
    assert f"warning: {document['verdict']}" in found.stderr
    assert "but little" in found.stdout


def test_reading_data_tells_how_far_it_is(model: Path, photos: Path) -> None:
    events: list[Event] = []
    inspect_model(model, photos, preprocess="raw", listeners=[events.append])
    assert {"check images", "compare images"} <= {event.stage for event in events if event.kind == "stage"}
    found = inspect(model, photos)
    assert "check images: done in" in found.stderr
    assert inspect(model, photos, "--json").stderr == ""


def shown_with_the_rest(found: Result, code: str) -> dict[str, Any]:
    """The document of a refusal that stands beside all else that was found."""
    assert found.exit_code == EXIT_INPUT
    document = json.loads(found.stdout)
    assert document["error"] == document["problems"][0]
    assert document["error"]["code"] == code
    assert document["verdict"] == document["error"]["message"]
    assert document["error"]["fix"] in found.stderr
    assert [group["name"] for group in document["structure"]["groups"]] == ["colours"]
    assert document["data"]["splits"]["validation"]["images"] == COUNTS["val"]
    assert document["validation_images_checked"] == CHECK_IMAGES
    return document


def test_a_guesser_is_refused_with_its_structure_and_the_data_shown(model: Path, data: dict[str, Path]) -> None:
    shown_with_the_rest(inspect(model, data["nothing"], "--json"), "teacher.at_chance")
    found = inspect(model, data["nothing"])
    assert found.exit_code == EXIT_INPUT
    for said in ("What can be narrowed", "3 classes", "no better than guessing"):
        assert said in found.stdout
    assert found.stderr.count("error: ") == 1
    assert "no better than guessing" in found.stderr
    assert "validation accuracy" not in found.stdout


def test_names_in_another_order_are_refused_with_the_rest_shown(
    model: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("green\nblue\nred\n")
    found = inspect(model, data["all"], "--labels", str(labels), "--json")
    document = shown_with_the_rest(found, "teacher.label_order")
    assert "red, green, blue" in document["error"]["fix"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of images of the three colours."""
    from PIL import Image

    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for channel, name in enumerate(NAMES):
        (root / name).mkdir()
        for number in range(12):
            pixels = random.integers(0, 156, (16, 16, 3), np.uint8)
            pixels[:, :, channel] += 99
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root
