"""The Keras model inside a SavedModel that Keras 2 wrote: its configuration lies beside the graph.

Keras 3 has no reader for it. The model is built from the configuration and gets the variables that TensorFlow
restored; it counts only if it answers as the SavedModel's own graph does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.core.errors import InputError
from learn2compress.core.silence import silenced
from learn2compress.inputs.keras2_config import modernized, refuse_unreadable
from learn2compress.inputs.keras_safety import refuse_code
from learn2compress.inputs.model_files.black_box import BlackBox
from learn2compress.inputs.model_files.protobuf import read_message

METADATA = "keras_metadata.pb"
_IMAGES = 4
# The same arithmetic, in another order at most.
_LARGEST_DIFFERENCE = 1e-4


def rebuilt_model(path: Path, loaded: Any, box: BlackBox) -> Any:
    """The Keras model; None where there is none, it can't be built, or it answers otherwise than the SavedModel.

    Args:
        path: the SavedModel's folder.
        loaded: what TensorFlow loaded from it.
        box: its signature, to compare with.
    """
    config = _config(path)
    if config is None or box.form.channels_first:
        return None
    import keras

    kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    try:
        with silenced():
            refuse_code(config, str(path))
            refuse_unreadable(config, str(path))
            model = kind.from_config(modernized(config)["config"])
            model.set_weights([variable.numpy() for variable in loaded.variables])
            same = _answers_alike(model, box)
    except (InputError, AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return None  # then it is the black box that it also is
    return model if same else None


def _config(path: Path) -> dict[str, Any] | None:
    """The configuration of the whole model; None where the folder holds none."""
    if not (path / METADATA).is_file():
        return None
    try:
        root = next(node for node in read_message(path / METADATA, "KerasMetadata").nodes if node.path == "root")
        config = json.loads(root.metadata, object_hook=_without_tuples)
    except (InputError, StopIteration, ValueError, RecursionError):
        return None
    if not isinstance(config, dict) or config.get("class_name") not in ("Functional", "Model", "Sequential"):
        return None
    return {"class_name": config["class_name"], "config": config["config"]}


def _without_tuples(value: dict[str, Any]) -> Any:
    """Tuples, which these files tell from lists, as the lists that they are in `.h5` files."""
    return value["items"] if value.get("class_name") == "__tuple__" and "items" in value else value


def _answers_alike(model: Any, box: BlackBox) -> bool:
    size = box.form.size or tuple(model.inputs[0].shape[1:3])
    if None in size or len(model.outputs) != 1:
        return False
    # Pixels, and the small values that most preprocessing makes of them.
    pixels = np.random.default_rng(0).integers(0, 256, (_IMAGES, *size, box.form.channels)).astype(np.float32)
    for images in (pixels, pixels / 127.5 - 1):
        mine, its = np.asarray(model(images, training=False), np.float32), box.run(images)
        if mine.shape != its.shape or not np.allclose(mine, its, _LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE):
            return False
    return True
