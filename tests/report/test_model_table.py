"""What `l2c inspect MODEL` shows in a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
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


def saved(folder: Path, layers_after: Callable[[Any], Any], shape: tuple[int | None, ...]) -> Path:
    import keras
    from keras import layers

    image = keras.Input(shape)
    x = layers.Conv2D(16, 3, activation="relu", name="stem")(image)
    x = layers_after(layers.Conv2D(12, 3, strides=2, name="second")(x))
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="classes")(x))
    model.save(folder / "model.keras")
    return folder / "model.keras"


def test_a_model_for_any_size_is_counted_at_the_size_asked_for(tmp_path: Path) -> None:
    from keras import layers

    path = saved(tmp_path, layers.GlobalAveragePooling2D(), (None, None, 3))
    found = inspect_model(path, input_size="16")
    assert found["input"] == [16, 16, 3]
    assert found["macs"] == 14 * 14 * 27 * 16 + 6 * 6 * 9 * 16 * 12 + 12 * 3
    fixed = inspect_model(saved(tmp_path, layers.GlobalAveragePooling2D(), (16, 16, 3)))
    assert found["structure"] == fixed["structure"]
    assert [group["name"] for group in found["structure"]["groups"]] == ["stem", "second"]
    assert "macs not counted" not in shown(found)


def test_what_can_not_be_pruned_is_not_offered(tmp_path: Path) -> None:
    from keras import layers

    def remembered(x: Any) -> Any:
        return layers.LSTM(5, name="rows")(layers.Reshape((36, 12))(x))

    found = inspect_model(saved(tmp_path, remembered, (16, 16, 3)))
    assert found["own_layers_can_be_pruned"] == "no: rows is a LSTM"
    assert found["cut_points"]
    assert list(found["structure"]) == ["refused"]
    assert found["structure"]["refused"].startswith("rows is a LSTM; use --from cuts")
    assert found["macs"] == 14 * 14 * 27 * 16 + 6 * 6 * 9 * 16 * 12 + 36 * (12 + 5) * 20 + 5 * 3
    text = shown(found)
    assert "Its layers can't be pruned: rows is a LSTM" in text
    assert "channel group" not in text


def test_channels_that_go_together_are_said_to(inspected: dict[str, Any]) -> None:
    group = {"name": "wide", "channels": 64, "together": 16, "layers": 2, "macs": 0.5, "parameters": 0.25}
    structure = {"groups": [group], "blocks": [], "held": [], "notes": {}}
    assert "64, 16 together" in shown({**inspected, "structure": structure})


def test_layers_whose_work_is_not_counted_are_named(inspected: dict[str, Any]) -> None:
    assert inspected["macs_not_counted"] == []
    (line,) = [
        line for line in shown({**inspected, "macs_not_counted": ["mixing", "other"]}).splitlines() if "mix" in line
    ]
    assert line.split() == ["macs", "not", "counted", "mixing,", "other"]
