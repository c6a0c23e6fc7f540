"""Channels that a model turns around itself (`x[..., ::-1]`, RGB to BGR), where convolutions can do without that.

No layer turns channels around. Where only what treats each channel by itself stands between that and convolutions,
these take the channels as they come, with kernels the other way round, and numbers by the channel are turned too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learn2compress.graph.calls import Call, Graph, kind_of
from learn2compress.graph.lower_layers import ONLY_IN_TRAINING

# What does to each channel what it does to the others, and has no numbers by the channel.
_ALIKE = (
    *("AveragePooling2D", "CenterCrop", "Cropping2D", "Dropout", "Identity", "MaxPooling2D", "ReLU", "Resizing"),
    *("UpSampling2D", "ZeroPadding2D", *ONLY_IN_TRAINING),
)
_ARITHMETIC = ("Add", "Divide", "Multiply", "Subtract", "TrueDivide")
_ALL = ((None, None, None), (None, None, 1), (0, None, None), (0, None, 1))


def needless_reversals(graph: Graph) -> tuple[frozenset[int], frozenset[int]]:
    """The reversals that can go, and the layers that then get their kernel or their numbers the other way round.

    Args:
        graph: of which each layer is called once.

    Returns:
        `id(operation)` of either.
    """
    consumers = graph.consumers()
    gone: set[int] = set()
    turned: set[int] = set()
    for call in graph.calls:
        behind = _behind(graph, consumers, call) if _reverses(graph, call) else None
        if behind is not None:
            gone.add(id(call.operation))
            turned |= behind
    return frozenset(gone), frozenset(turned)


def _reverses(graph: Graph, call: Call) -> bool:
    """Whether a call turns the channels of maps around, and does nothing else."""
    kind = kind_of(call.operation)
    if kind not in ("Flip", "GetItem") or len(call.inputs) != 1:
        return False
    shape = graph.shapes[call.inputs[0]]
    if len(shape) != 4 or shape[3] is None:
        return False
    if kind == "Flip":
        axis = call.operation.axis
        axes = list(axis) if isinstance(axis, list | tuple) else [axis]
        return axes in ([-1], [3])
    args, kwargs = call.node.arguments.args, call.node.arguments.kwargs
    return _key_reverses(kwargs["key"] if "key" in kwargs else args[1], shape[3])


def _key_reverses(key: Any, channels: int) -> bool:
    parts = list(key) if isinstance(key, list | tuple) else [key]
    ellipses = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(ellipses) == 1:
        parts[ellipses[0] : ellipses[0] + 1] = [slice(None)] * (5 - len(parts))
    if len(parts) != 4 or not all(isinstance(part, slice) for part in parts):
        return False
    *others, last = [(part.start, part.stop, part.step) for part in parts]
    if not all(end is None or isinstance(end, int) for end in (*last, *(end for part in others for end in part))):
        return False
    return all(part in _ALL for part in others) and range(channels)[slice(*last)] == range(channels)[::-1]


def _behind(graph: Graph, consumers: Mapping[int, Sequence[int]], reversal: Call) -> set[int] | None:
    """`id` of the layers that the channels come to which have to turn, convolutions last; None where one can't."""
    found: set[int] = set()
    waiting = list(reversal.outputs)
    while waiting:
        number = waiting.pop()
        if number in graph.outputs:
            return None
        for user in (graph.calls[position] for position in consumers[number]):
            layer, kind = user.operation, kind_of(user.operation)
            if len(user.inputs) != 1 or getattr(layer, "data_format", "channels_last") == "channels_first":
                return None
            if kind == "Conv2D" and layer.groups == 1:
                found.add(id(layer))
            elif kind == "Rescaling" and _by_channel(layer, graph.shapes[number][3]):
                found.add(id(layer))
                waiting.extend(user.outputs)
            elif kind in _ALIKE or (kind in _ARITHMETIC and _has_single_numbers(user)):
                waiting.extend(user.outputs)
            else:
                return None
    return found


def _by_channel(rescaling: Any, channels: int | None) -> bool:
    return all(np.size(numbers) in (1, channels) for numbers in (rescaling.scale, rescaling.offset))


def _has_single_numbers(call: Call) -> bool:
    """Whether what an operation takes beside its tensor is the same number for all channels."""
    arguments = call.node.arguments
    tensors = {id(tensor) for tensor in arguments.keras_tensors}
    values = [value for value in (*arguments.args, *arguments.kwargs.values()) if id(value) not in tensors]
    return all(np.size(value) == 1 for value in values)
