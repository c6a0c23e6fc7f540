"""The layers that do what operations do which are no layers (`x + y`, `keras.ops.relu(x)`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from learn2compress.graph.lower_layers import extreme, softmax, window
from learn2compress.graph.lowering import Lowered, Lowering, Rule

# Operations (`keras.ops.relu(x)`) that are an activation of the same name.
_ACTIVATION_OPERATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "Silu": "silu",
    "HardSilu": "hard_silu",
    "Tanh": "tanh",
    "Gelu": "gelu",
    "Softplus": "softplus",
}


def _arithmetic(of_number: Callable[[float, bool], tuple[float, float] | None], of_tensors: Any = None) -> Any:
    """A rule for an operation of two things.

    Args:
        of_number: function (number, whether the tensor comes first) -> what the tensor is scaled and shifted by; None
            where it is no such thing.
        of_tensors: the layer that does it to two tensors of one rank.
    """

    def rule(lowering: Lowering, operation: Any, name: str) -> Lowered:
        plain = lowering.same(operation, name)
        made: dict[Any, Any] = {}

        def layer_of(kind: Any, *settings: float) -> Any:
            """One layer for all calls; another, with another name, where they differ in a number."""
            if (kind, settings) not in made:
                own = lowering.new_name(name, "other") if made else name
                made[kind, settings] = kind(*settings, name=own)
            return made[kind, settings]

        # The names are Keras'.
        def call(x1: Any, x2: Any) -> Any:
            first, second = (isinstance(x, keras.KerasTensor) for x in (x1, x2))
            if first and second:
                alike = of_tensors is not None and len(x1.shape) == len(x2.shape)
                return layer_of(of_tensors)([x1, x2]) if alike else plain(x1, x2)
            tensor, number = (x1, x2) if first else (x2, x1)
            found = of_number(float(np.asarray(number).reshape(())), first) if np.size(number) == 1 else None
            if found is None:
                return plain(x1, x2)
            return layer_of(layers.Rescaling, *found)(tensor)

        return call

    return rule


def _operation_activation(lowering: Lowering, operation: Any, name: str) -> Lowered | None:
    kind = _ACTIVATION_OPERATIONS[type(operation).__name__]
    if kind == "gelu" and getattr(operation, "approximate", False):
        return None  # the layer's is the exact one
    if lowering.is_end(operation) and kind != "sigmoid":
        return None
    return lowering.activated(kind, name)


def _operation_leaky(lowering: Lowering, operation: Any, name: str) -> Lowered:
    leaky: Lowered = layers.LeakyReLU(float(operation.negative_slope), name=name)
    return leaky


def _over_places(pool: Any) -> Callable[[Lowering, Any, str], Lowered | None]:
    """A mean or maximum over height and width is a global pool."""

    def rule(lowering: Lowering, operation: Any, name: str) -> Lowered | None:
        axes = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
        if sorted(axis for axis in axes if axis is not None) != [1, 2] or lowering.ranks(operation) != {4}:
            return None
        found: Lowered = pool(keepdims=bool(operation.keepdims), name=name)
        return found

    return rule


def _operation_concatenate(lowering: Lowering, operation: Any, name: str) -> Lowered:
    join: Lowered = layers.Concatenate(axis=operation.axis, name=name)
    return join


def _operation_reshape(lowering: Lowering, operation: Any, name: str) -> Lowered | None:
    batch, *shape = operation.newshape
    taken = [size for _, *size in lowering.taken(operation)]
    # Places may also move into the batch.
    if batch != -1 or any(None in size or math.prod(n or 1 for n in size) != math.prod(shape) for size in taken):
        return None
    reshape: Lowered = layers.Reshape(shape, name=name)
    return reshape


def _operation_transpose(lowering: Lowering, operation: Any, name: str) -> Lowered | None:
    axes = tuple(axis % len(operation.axes) for axis in operation.axes or ())
    if axes[:1] != (0,):
        return None
    permute: Lowered = layers.Permute(axes[1:], name=name)
    return permute


def _operation_clip(lowering: Lowering, operation: Any, name: str) -> Lowered | None:
    if operation.x_min != 0 or np.size(operation.x_max) != 1:
        return None
    relu: Lowered = layers.ReLU(float(operation.x_max), name=name)
    return relu


def _operation_flip(lowering: Lowering, operation: Any, name: str) -> Lowered | None:
    return _as_it_comes if lowering.is_gone(operation) else None


def _as_it_comes(x: Any, key: Any = None) -> Any:
    return x


def _operation_get_item(lowering: Lowering, operation: Any, name: str) -> Lowered:
    """Rows and columns at steps (`x[:, 1:-1, ::2]`)."""
    if lowering.is_gone(operation):
        return _as_it_comes
    plain = lowering.same(operation, name)

    # The names are Keras'.
    def call(x: Any, key: Any) -> Any:
        kept = _rows_and_columns(tuple(x.shape), key)
        return plain(x, key) if kept is None else window(lowering, name, (x.shape[1], x.shape[2]), kept)(x)

    return call


def _rows_and_columns(shape: tuple[int | None, ...], key: Any) -> tuple[range, range] | None:
    """What a key keeps of maps, ascending; None where it does something else to them."""
    parts = list(key) if isinstance(key, list | tuple) else [key]
    ellipses = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(shape) != 4 or None in shape[1:] or len(ellipses) > 1 or len(parts) - len(ellipses) > 4:
        return None
    place = ellipses[0] if ellipses else len(parts)
    parts[place : place + len(ellipses)] = [slice(None)] * (4 - len(parts) + len(ellipses))
    if not all(isinstance(part, slice) and _is_of_numbers(part) for part in parts):
        return None
    batch, *others = parts
    rows, columns, channels = (range(size or 0)[part] for size, part in zip(shape[1:], others, strict=True))
    all_else = (batch.start or 0, batch.stop, batch.step or 1) == (0, None, 1) and channels == range(shape[3] or 0)
    ascending = bool(rows and columns) and min(rows.step, columns.step) > 0
    return (rows, columns) if all_else and ascending else None


def _is_of_numbers(part: slice) -> bool:
    return all(end is None or isinstance(end, int) for end in (part.start, part.stop, part.step))


def _quotient(number: float, tensor_first: bool) -> tuple[float, float] | None:
    return (1 / number, 0.0) if tensor_first and number else None


OPERATIONS: dict[str, Rule] = {
    "Add": _arithmetic(lambda number, first: (1.0, number), layers.Add),
    "Multiply": _arithmetic(lambda number, first: (number, 0.0), layers.Multiply),
    **dict.fromkeys(("Divide", "TrueDivide"), _arithmetic(_quotient)),
    "Subtract": _arithmetic(lambda number, first: (1.0, -number) if first else (-1.0, number), layers.Subtract),
    **dict.fromkeys(_ACTIVATION_OPERATIONS, _operation_activation),
    "LeakyRelu": _operation_leaky,
    "Mean": _over_places(layers.GlobalAveragePooling2D),
    "Max": _over_places(layers.GlobalMaxPooling2D),
    "Maximum": extreme(1),
    "Minimum": extreme(-1),
    "Softmax": softmax,
    "Reshape": _operation_reshape,
    "Transpose": _operation_transpose,
    "Clip": _operation_clip,
    "Concatenate": _operation_concatenate,
    "Flip": _operation_flip,
    "GetItem": _operation_get_item,
}
