"""What a copy of a layer is made of."""

from __future__ import annotations

from typing import Any

import keras

from learn2compress.graph import walk

# How weights begin, and what is done to them while they are trained.
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")


def plain_settings(layer: Any) -> dict[str, Any]:
    """What a copy of a layer is made of, whose weights are set afterwards.

    Keras writes down a function of the user's own by its name, by which it is not found again; or another is: one
    that is called `gelu` would become Keras' own. So an activation that is not Keras' is given itself, and what else
    is not, which matters for training alone, is left away. So are constants to start from: arrays of the whole shape.
    """
    aside = {name: part for name, part in vars(layer).items() if _is_lost_by_name(name, part)}
    try:
        # Not all of them can be written down at all.
        vars(layer).update({name: _in_place_of(name) for name in aside})
        config = dict(layer.get_config())
    finally:
        vars(layer).update(aside)
    for name, part in aside.items():
        key = name.lstrip("_")
        written = config.get(key)
        if written == _other.__name__:
            # A layer of the user's own that finds its activation by the name itself.
            config[key] = getattr(part, "__name__", written)
        elif isinstance(written, dict) and written.get("config") == _other.__name__:
            config[key] = type(part).from_config(plain_settings(part)) if isinstance(part, keras.Layer) else part
    return config


def _is_lost_by_name(attribute: str, part: Any) -> bool:
    """Whether a part of a layer does not come back from the layer's settings as what it is."""
    if not callable(part):
        return False
    name = getattr(part, "__name__", "")
    if attribute.endswith("activation"):
        # `keras.ops.gelu` is another one than the activation of that name.
        known = (
            walk.is_known(part) if isinstance(part, keras.Layer) else part is getattr(keras.activations, name, None)
        )
        return not known
    array = isinstance(part, keras.initializers.Constant)
    return attribute.endswith(_OF_TRAINING) and bool(name or array or not walk.is_known(part))


def _in_place_of(attribute: str) -> Any:
    if attribute.endswith("activation"):
        return _other
    return keras.initializers.Zeros() if attribute.endswith("_initializer") else None


def _other(tensor: Any) -> Any:
    """Stands for an activation while a layer's settings are read."""
    return tensor
