"""Keras models that take images as (channels, height, width), rebuilt to take them as (height, width, channels).

TensorFlow's convolutions on a CPU take channels last alone, and so does LiteRT. In Keras a kernel has one shape in
both layouts, so the weights stay as they are: only the layers' settings say where the channels stand.
"""

from __future__ import annotations

import copy
from typing import Any

from learn2compress.core.errors import InputError

# Where each axis of (n, c, h, w) stands in (n, h, w, c).
_AXIS = {0: 0, 1: 3, 2: 1, 3: 2, -1: 2, -2: 1, -3: 3, -4: 0}
# They do the same in both layouts once their data format, if they have one, and their axes are changed.
_SAME = frozenset(
    {
        *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "Dropout", "SpatialDropout2D"),
        *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
        *("ZeroPadding2D", "Cropping2D", "UpSampling2D", "BatchNormalization", "GroupNormalization", "Concatenate"),
        *("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Identity", "GaussianNoise", "GaussianDropout"),
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
    }
)
_CHANNELS = (1, 3)


def channels_last(model: Any, name: str) -> Any:
    """The model itself, or, where it takes channels first, a copy that takes channels last and answers the same.

    Args:
        model: a `keras.Model`.
        name: what to call it in errors.

    Raises:
        InputError: `teacher.channels_first` where a layer's meaning would depend on the layout.
    """
    if not _takes_channels_first(model):
        return model
    try:
        config = _turned(model, name)
        turned = type(model).from_config(config)
        turned.set_weights(model.get_weights())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise _refusal(name, f"it is a {type(model).__name__} that can't be rebuilt") from error
    return turned


def _takes_channels_first(model: Any) -> bool:
    try:
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
    except (AttributeError, TypeError, ValueError):  # Keras raises any for a model that is not built
        return False
    return len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] in _CHANNELS and shapes[0][3] not in _CHANNELS


def _turned(model: Any, name: str) -> dict[str, Any]:
    """The model's configuration with the channels last in every layer."""
    config = copy.deepcopy(model.get_config())
    config.pop("build_input_shape", None)
    layers = {layer.name: layer for layer in getattr(model, "_layers", model.layers)}
    for entry in config["layers"]:
        entry.pop("build_config", None)
        inner = entry["config"]
        layer = layers.get(inner.get("name"))
        if layer is None:
            if entry["class_name"] != "InputLayer":
                raise _refusal(name, f"{entry['class_name']} is an operation whose axes can't be told")
        elif entry["class_name"] in ("Functional", "Sequential", "Model"):
            entry["config"] = _turned(layer, name)
            continue
        if entry["class_name"] != "InputLayer":
            _turn(layer, inner, name)
        elif len(inner["batch_shape"]) == 4:
            batch, channels, height, width = inner["batch_shape"]
            inner["batch_shape"] = (batch, height, width, channels)
    return config


def _turn(layer: Any, config: dict[str, Any], name: str) -> None:
    kind = type(layer).__name__
    ranks = {len(tensor.shape) for tensor in _tensors(layer.input)}
    if 4 not in ranks and len(layer.output.shape) != 4:
        return  # behind the pooling: vectors have no layout
    target = tuple(config.get("target_shape") or ())
    if kind == "Reshape" and ranks == {2} and target[1:] == (1, 1):
        config["target_shape"] = (1, 1, target[0])  # a vector made an image of one pixel, as squeeze-and-excite does
        return
    if ranks != {4}:
        raise _refusal(name, f"{layer.name}, a {kind}, makes images of something else, or mixes them with it")
    if kind == "Flatten" and config.get("data_format") == "channels_first":
        config["data_format"] = "channels_last"  # Keras turns channels last before it flattens: the order is the same
        return
    if kind == "Rescaling" and all(isinstance(config[key], int | float) for key in ("scale", "offset")):
        return
    if kind not in _SAME or not type(layer).__module__.startswith("keras."):
        raise _refusal(name, f"what {layer.name}, a {kind}, does depends on where the channels stand")
    if config.get("data_format", "channels_first") != "channels_first":
        raise _refusal(name, f"{layer.name} has data_format={config['data_format']!r}, unlike its input")
    if "data_format" in config:
        config["data_format"] = "channels_last"
    axis = config.get("axis")
    if axis is not None:
        config["axis"] = [_AXIS[one] for one in axis] if isinstance(axis, list | tuple) else _AXIS[axis]


def _tensors(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _refusal(name: str, reason: str) -> InputError:
    return InputError(
        "teacher.channels_first",
        f"{name} takes images with the channels first, and can't be rebuilt with the channels last: {reason}.",
        "build it with data_format='channels_last' and load the weights into that (kernels have the same shape); or "
        "export it to ONNX, which runs in either layout.",
    )
