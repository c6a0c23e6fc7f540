"""What `l2c inspect MODEL` shows in a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from learn2compress.inspection import inspect_model
from learn2compress.report.tables.model import model_tables


def shown(found: dict[str, Any]) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(*model_tables(found))
    return text.getvalue()


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, activation="silu", name="stem")(image)
    for number in range(2):
        x = layers.LayerNormalization(name=f"norm_{number}")(layers.Conv2D(16, 3)(x))
    x = layers.GlobalAveragePooling2D()(layers.Activation("mish", name="end")(x))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    path: Path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return inspect_model(path)


def test_it_is_found_what_can_be_made_of_the_layers_and_what_stays_float(inspected: dict[str, Any]) -> None:
    assert inspected["own_layers_can_be_cut"] is True
    assert inspected["own_layers_can_be_pruned"] is True
    assert "stem_activation" in inspected["cut_points"]
    assert set(inspected["float32_in_int8_files"]) == {"norm_0", "norm_1", "end"}


def test_layers_with_one_reason_are_shown_together(inspected: dict[str, Any]) -> None:
    text = shown(inspected)
    assert "norm_0, norm_1: there is no integer kernel for a LayerNormalization" in text
    assert "end: there is no integer kernel for the activation mish" in text
    assert "What can be narrowed" in text
    assert "none" not in text
    assert "none" in shown({**inspected, "float32_in_int8_files": {}})


def test_what_can_not_be_pruned_is_said_with_the_reason(inspected: dict[str, Any]) -> None:
    text = shown({**inspected, "structure": {"refused": "it is code"}})
    assert "Its layers can't be pruned: it is code." in text
