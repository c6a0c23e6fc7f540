"""TensorFlow operations between the layers of a Keras 2 model (`x / 127.5`, `tf.nn.relu6(x)`), said as layers.

Keras 2 kept each as a layer of the class `TFOpLambda`, which Keras 3 does not have. One operation becomes one layer,
under its name: so the order in which layers stand in a file, by which their weights are found, stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceProperty")
# Where they are from inside nested models, when Keras 2 is the package `tf_keras`: no public name of Keras.
MODULE = "tf_keras.src.layers.core.tf_op_layer"

# In place of a layer's name: the value that follows is no tensor, but a number.
_CONSTANT = "_CONSTANT_VALUE"
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "nn.relu": ("ReLU", {}),
    "nn.relu6": ("ReLU", {"max_value": 6.0}),
    **dict.fromkeys(("nn.sigmoid", "math.sigmoid"), ("Activation", {"activation": "sigmoid"})),
    **dict.fromkeys(("nn.tanh", "math.tanh"), ("Activation", {"activation": "tanh"})),
}
_SPELLINGS = {"divide": "truediv"}
# What no layer does, but one of Keras' own operations, and the module that it is from.
_MODULES = {"Flip": "keras.src.ops.numpy"}

# A layer's class, its settings, and the tensors that one call of it takes.
_Said = tuple[str, dict[str, Any], list[list[Any]]]
# A number, or one a channel.
_Number = float | list[float]


def function_of(layer: dict[str, Any]) -> str:
    """The name of the operation, `tf.math.truediv`; that of the layer's class where it has none."""
    name = layer["config"].get("function")
    return f"tf.{name}" if isinstance(name, str) else str(layer["class_name"])


def as_layer(layer: dict[str, Any]) -> dict[str, Any] | None:
    """The layer that does what the operation does; None where there is none.

    Args:
        layer: of one of the classes `OPERATIONS`, as Keras 2 wrote its configuration. It is not changed.

    Returns:
        `class_name`, `config` and `inbound_nodes` of the layer, and `module` where it is an operation of Keras.
    """
    function, name = layer["config"].get("function"), layer["config"].get("name")
    calls = layer.get("inbound_nodes")
    known = layer["class_name"] in ("TFOpLambda", "SlicingOpLambda")
    if not known or not isinstance(function, str) or not isinstance(calls, list):
        return None
    said = [_said(function, call) for call in calls]
    kinds = [one[:2] for one in said if one is not None]
    # Called twice with two numbers it would have to be two layers.
    if not kinds or len(kinds) != len(said) or any(kind != kinds[0] for kind in kinds):
        return None
    kind, settings = kinds[0]
    nodes = [[[*tensor, {}] for tensor in one[2]] for one in said if one is not None]
    place = {"module": _MODULES[kind]} if kind in _MODULES else {}
    return {"class_name": kind, "config": {"name": name, **settings}, "inbound_nodes": nodes, **place}


def _said(function: str, call: Any) -> _Said | None:
    """One call, `[name, node, tensor, {"y": 2.0, "name": null}]`, as the layer that does it."""
    if not isinstance(call, list) or len(call) != 4 or not isinstance(call[3], dict):
        return None
    more = {key: value for key, value in call[3].items() if value is not None and key != "name"}
    if function in _ACTIVATIONS and not more and _tensor(call[:3]):
        kind, settings = _ACTIVATIONS[function]
        return kind, settings, [call[:3]]
    axis = _reversed_axis(function, more)
    if axis is not None and _tensor(call[:3]):
        return "Flip", {"axis": axis}, [call[:3]]
    if function == "nn.bias_add" and _is_of_last_axis(more):
        function, more = "math.add", {"y": more["bias"]}
    short = function.removeprefix("__operators__.").removeprefix("math.")
    rule = _ARITHMETIC.get(_SPELLINGS.get(short, short))
    if rule is None or set(more) != {"y"}:
        return None
    of_number, of_tensors = rule
    first, second = call[:3], more["y"]
    if _tensor(first) and _tensor(second):
        return None if of_tensors is None else (of_tensors, {}, [first, second])
    if _tensor(first):
        number, tensor = _number(second), first
    elif first[0] == _CONSTANT and _tensor(second):
        number, tensor = _number(first[2]), second
    else:
        return None
    found = None if number is None else of_number(number, tensor is first)
    if found is None:
        return None
    return "Rescaling", dict(zip(("scale", "offset"), found, strict=True)), [tensor]


def _is_of_last_axis(arguments: dict[str, Any]) -> bool:
    """Whether a bias is added to the channels, and these come last."""
    layout = arguments.get("data_format", "NHWC")
    last = isinstance(layout, str) and not layout.startswith("NC")
    return last and set(arguments) - {"data_format"} == {"bias"} and not _tensor(arguments["bias"])


def _reversed_axis(function: str, arguments: dict[str, Any]) -> int | None:
    """The axis that a call turns around; None where it does anything else, or does that to several."""
    axes: Any = None
    if function == "reverse" and set(arguments) == {"axis"}:
        axes = arguments["axis"]
    elif function == "__operators__.getitem" and set(arguments) == {"slice_spec"}:
        axes = _turned_in(arguments["slice_spec"])
    single = isinstance(axes, list) and len(axes) == 1 and type(axes[0]) is int
    return int(axes[0]) if single else None


def _turned_in(key: Any) -> list[int] | None:
    """The axes that `x[key]` turns around; None where it does something else to any."""
    if not isinstance(key, list) or not all(isinstance(part, dict) for part in key):
        return None  # numbers leave out an axis
    axes: list[int] = []
    counted_from = 0
    for place, part in enumerate(key):
        if part.get("class_name") == "__ellipsis__":
            counted_from = -len(key)
            continue
        ends = [part.get(end, "") for end in ("start", "stop", "step")]
        if ends == [None, None, -1]:
            axes.append(counted_from + place)
        elif ends not in ([None, None, None], [None, None, 1]):
            return None
    return axes


def _tensor(value: Any) -> bool:
    """Whether it names a tensor: `[layer, call, tensor]`."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and value[0] != _CONSTANT
        and all(isinstance(number, int) for number in value[1:])
    )


def _number(value: Any) -> _Number | None:
    """A finite number, or a list of such by the channel, as broadcasting has it; None where it is anything else."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    values = value if isinstance(value, list) else [value]
    if not values or not all(type(one) in (int, float) and math.isfinite(one) for one in values):
        return None
    return [float(one) for one in values] if isinstance(value, list) else float(value)


def _each(number: _Number, of: Callable[[float], float]) -> _Number:
    return [of(one) for one in number] if isinstance(number, list) else of(number)


def _quotient(number: _Number, tensor_first: bool) -> tuple[_Number, _Number] | None:
    values = number if isinstance(number, list) else [number]
    return (_each(number, lambda one: 1 / one), 0.0) if tensor_first and all(values) else None


def _difference(number: _Number, tensor_first: bool) -> tuple[_Number, _Number]:
    return (1.0, _each(number, lambda one: -one)) if tensor_first else (-1.0, number)


# function (number, whether the tensor comes first) -> scale and offset; the layer that does it to two tensors, if any
_ARITHMETIC: dict[str, tuple[Callable[[_Number, bool], tuple[_Number, _Number] | None], str | None]] = {
    "add": (lambda number, first: (1.0, number), "Add"),
    "multiply": (lambda number, first: (number, 0.0), "Multiply"),
    "subtract": (_difference, "Subtract"),
    "truediv": (_quotient, None),
}
