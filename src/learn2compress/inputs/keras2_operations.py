"""TensorFlow operations between the layers of a Keras 2 model (`x / 127.5`, `tf.nn.relu6(x)`), said as layers.

Keras 2 kept each as a layer of the class `TFOpLambda`, which Keras 3 does not have. One operation becomes one layer,
under its name: so the order in which layers stand in a file, by which their weights are found, stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceProperty")

# In place of a layer's name: the value that follows is no tensor, but a number.
_CONSTANT = "_CONSTANT_VALUE"
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "nn.relu": ("ReLU", {}),
    "nn.relu6": ("ReLU", {"max_value": 6.0}),
    **dict.fromkeys(("nn.sigmoid", "math.sigmoid"), ("Activation", {"activation": "sigmoid"})),
    **dict.fromkeys(("nn.tanh", "math.tanh"), ("Activation", {"activation": "tanh"})),
}
_SPELLINGS = {"divide": "truediv"}

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
        `class_name`, `config` and `inbound_nodes` of the layer.
    """
    function, name = layer["config"].get("function"), layer["config"].get("name")
    calls = layer.get("inbound_nodes")
    if layer["class_name"] != "TFOpLambda" or not isinstance(function, str) or not isinstance(calls, list):
        return None
    said = [_said(function, call) for call in calls]
    kinds = [one[:2] for one in said if one is not None]
    # Called twice with two numbers it would have to be two layers.
    if not kinds or len(kinds) != len(said) or any(kind != kinds[0] for kind in kinds):
        return None
    kind, settings = kinds[0]
    nodes = [[[*tensor, {}] for tensor in one[2]] for one in said if one is not None]
    return {"class_name": kind, "config": {"name": name, **settings}, "inbound_nodes": nodes}


def _said(function: str, call: Any) -> _Said | None:
    """One call, `[name, node, tensor, {"y": 2.0, "name": null}]`, as the layer that does it."""
    if not isinstance(call, list) or len(call) != 4 or not isinstance(call[3], dict):
        return None
    more = {key: value for key, value in call[3].items() if value is not None and key != "name"}
    if function in _ACTIVATIONS and not more and _tensor(call[:3]):
        kind, settings = _ACTIVATIONS[function]
        return kind, settings, [call[:3]]
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
