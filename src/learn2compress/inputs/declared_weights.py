"""How many weights a model's configuration asks for, found out without making them."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.core.units import show_bytes
from learn2compress.inputs.archives import is_bomb

_WEIGHT_BYTES = 4


def refuse_weights_out_of_nothing(config: Any, path: Path) -> None:
    """Refuses a small file whose layers would fill the memory with weights that are not in it.

    The model is built once in a scope in which Keras only notes the shapes of variables.

    Args:
        config: of the model; it carries no code.
        path: of its file.

    Raises:
        InputError: `teacher.damaged_file`.
    """
    # In a thread of its own: Keras keeps a list a thread of what is still to be made, and would make it later.
    with ThreadPoolExecutor(1) as executor:
        needed = _WEIGHT_BYTES * executor.submit(_weights, config).result()
    packed = path.stat().st_size
    if is_bomb(packed, needed):
        raise InputError(
            "teacher.damaged_file",
            f"{path} is {show_bytes(packed)}, but its layers have {show_bytes(needed)} of weights: it is not whole.",
            "copy or download it again, or save the model again with model.save('model.keras').",
        )


def _weights(config: Any) -> int:
    """How many there would be; 0 where that can't be told, and loading will say why."""
    import keras

    try:
        with keras.StatelessScope(initialize_variables=False):
            model = _built(keras, copy.deepcopy({**config, "compile_config": None}))
            return sum(prod(variable.shape) for variable in model.variables)
    except Exception:  # noqa: BLE001 - whatever a layer says to its arguments, it says again when the model is loaded
        return 0


def _built(keras: Any, config: dict[str, Any]) -> Any:
    if "module" in config:
        return keras.saving.deserialize_keras_object(config, safe_mode=True)
    # So .h5 files have it: without saying where a class is found.
    family = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    return family.from_config(config["config"])
