"""What Keras 2 wrote into an `.h5` file and Keras 3 reads in another way, or not at all."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.inputs.keras2_operations import OPERATIONS, as_layer, function_of
from learn2compress.inputs.wording import listed

# Layers under their old names.
_RENAMED = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"}
# Keys that Keras 3 refuses, with the values that say nothing: `groups: 1` is what a layer without groups does anyway.
_SAY_NOTHING: dict[str, dict[str, tuple[Any, ...]]] = {
    "DepthwiseConv2D": {"groups": (1,)},
    "SeparableConv2D": {"groups": (1,)},
    "Conv2DTranspose": {"groups": (1,)},
    "BatchNormalization": {
        "renorm": (False, None),
        "fused": (True, False, None),
        "virtual_batch_size": (None,),
        "adjustment": (None,),
    },
    # Whether it is trained is no question for a layer without weights, and this one does not take it.
    "SpatialDropout2D": {"noise_shape": (None,), "trainable": (True, False)},
}
# What can go before an activation and is one with it in these; inside others (recurrent ones) it is used in between.
_ACTIVATED_LAST = frozenset(
    {"Activation", "Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "Dense", "DepthwiseConv2D", "SeparableConv2D"}
)
_AS_SAVED_MODEL = (
    "with the Keras 2 that wrote it, save it as a SavedModel, model.save('folder', save_format='tf'), and give that "
    "folder: it is then used as it is, without looking into it."
)


def refuse_unreadable(config: dict[str, Any], path: str) -> None:
    """Refuses what Keras 3 can't read, or would read as another function.

    Args:
        config: the `model_config` of a file that Keras 2 wrote.
        path: of the file, for the message.

    Raises:
        InputError: `teacher.keras2_operations`, `teacher.keras2_hard_sigmoid`.
    """
    operations = sorted(
        {
            function_of(layer)
            for layer in _layers(config)
            if layer["class_name"] in OPERATIONS and as_layer(layer) is None
        }
    )
    if operations:
        raise InputError(
            "teacher.keras2_operations",
            f"{path} was written by Keras 2 and has TensorFlow operations between its layers that no layer of "
            f"Keras 3 does: {listed(operations)}.",
            _AS_SAVED_MODEL,
        )
    users = [
        str(layer["config"].get("name", ""))
        for layer in _layers(config)
        if _uses(layer["config"], "hard_sigmoid") and not _ends_in_hard_sigmoid(layer)
    ]
    if users:
        raise InputError(
            "teacher.keras2_hard_sigmoid",
            f"{path} was written by Keras 2, whose hard_sigmoid is another function than that of Keras 3; it is used "
            f"in {listed(users)}.",
            _AS_SAVED_MODEL,
        )


def modernized(config: dict[str, Any]) -> dict[str, Any]:
    """The same model in the words of Keras 3; equal to `config` where nothing needs to be said in another way.

    Args:
        config: the `model_config` of an `.h5` file. It is not changed.
    """
    config = copy.deepcopy(config)
    for layer in _layers(config):
        if layer["class_name"] in OPERATIONS:
            said = as_layer(layer) or {}
            _forget_place(layer)
            layer.update(said)
        else:
            _modernize(layer)
        if _ends_in_hard_sigmoid(layer):
            _say_hard_sigmoid(layer)
    for layer in [config, *_layers(config)]:
        _count_calls_from_zero(layer)
    return config


def _modernize(layer: dict[str, Any]) -> None:
    layer["class_name"] = kind = _RENAMED.get(layer["class_name"], layer["class_name"])
    inner = layer["config"]
    _forget_place(layer)
    for key in ("input_layers", "output_layers"):
        if isinstance(inner.get(key), list) and len(inner[key]) == 1 and isinstance(inner[key][0], list):
            inner[key] = inner[key][0]  # one tensor, not a list of one
    for key, values in _SAY_NOTHING.get(kind, {}).items():
        if key in inner and inner[key] in values:
            del inner[key]
    if kind in ("SeparableConv2D", "DepthwiseConv2D"):
        # Of the convolution that it is derived from; its own are those for depthwise and pointwise kernels.
        for key in ("kernel_initializer", "kernel_regularizer", "kernel_constraint"):
            inner.pop(key, None)
    if kind.startswith("Random"):
        inner.pop("rng_type", None)  # they do nothing when the model is asked
    policy = inner.get("dtype")
    if isinstance(policy, dict) and policy.get("class_name") in ("Policy", "PolicyV1"):
        inner["dtype"] = policy["config"]["name"]
    if kind == "ThresholdedReLU":
        layer["class_name"], inner["threshold"] = "ReLU", inner.pop("theta", 1.0)


def _forget_place(layer: dict[str, Any]) -> None:
    # Only what stands inside nested models has these, and sends Keras 3 to a reader that expects its own format.
    if str(layer.get("module")).partition(".")[0] in ("keras", "tf_keras"):
        for key in ("module", "registered_name", "build_config"):
            layer.pop(key, None)


def _ends_in_hard_sigmoid(layer: dict[str, Any]) -> bool:
    return layer["class_name"] in _ACTIVATED_LAST and layer["config"].get("activation") == "hard_sigmoid"


def _say_hard_sigmoid(layer: dict[str, Any]) -> None:
    """Makes of a layer that ends in `clip(0.2 * x + 0.5, 0, 1)`, which has this name in Keras 2 alone, its parts.

    They stand in a model of their own, under the layer's name: more layers in the outer one might change the order in
    which weights are looked for.
    """
    inner = layer["config"]
    name = inner.get("name")
    parts: list[dict[str, Any]] = [
        {"class_name": "Rescaling", "config": {"name": f"{name}_line", "scale": 0.2, "offset": 0.5}},
        {"class_name": "ReLU", "config": {"name": f"{name}_clip", "max_value": 1.0}},
    ]
    if layer["class_name"] != "Activation":
        parts.insert(0, {**_alone(layer), "config": {**inner, "activation": "linear"}})
    layer["class_name"], layer["config"] = "Sequential", {"name": name, "layers": parts}


def _alone(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer without its name and connections in the model around it."""
    return {key: value for key, value in layer.items() if key not in ("name", "inbound_nodes")}


def _count_calls_from_zero(model: dict[str, Any]) -> None:
    """Numbers the calls of nested models from zero.

    To Keras 2 a model that knows its input was called when it was made: the first real call is its second.
    """
    inner = model.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(layers, list):
        return
    kinds = {
        inside["config"].get("name"): inside.get("class_name")
        for inside in layers
        if isinstance(inside, dict) and isinstance(inside.get("config"), dict)
    }
    between, last = _references(layers), _references(inner.get("output_layers"))
    for name, kind in kinds.items():
        if kind not in ("Sequential", "Functional", "Model"):
            continue
        first = min((one[1] for one in [*between, *last] if one[0] == name), default=0)
        # Of an output that is a functional model's, Keras 3 subtracts the one itself.
        for one in [*between, *(last if kind == "Sequential" else [])]:
            if one[0] == name:
                one[1] -= first


def _references(value: Any) -> list[list[Any]]:
    """Every `[layer, call, tensor, ...]` in the connections of layers and in a model's outputs."""
    found: dict[int, list[Any]] = {}
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.append(item.get("inbound_nodes"))
        elif isinstance(item, list):
            if len(item) >= 3 and isinstance(item[0], str) and all(isinstance(n, int) for n in item[1:3]):
                found[id(item)] = item
            waiting.extend(item)
    return list(found.values())


def _layers(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in the configuration that has one of its own: layers, nested models, initializers."""
    found, waiting = [], [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str) and isinstance(item.get("config"), dict):
                found.append(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    yield from found


def _uses(config: dict[str, Any], function: str) -> bool:
    return any(config.get(key) == function for key in ("activation", "recurrent_activation"))
