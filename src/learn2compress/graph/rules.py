"""What each kind of layer does to channels: which it makes, which it passes on, which it ties together.

A rule takes a call, the channels of its inputs (`Channels`: the numbers of the channels on the last axis, in order)
and the ledger; it says in the ledger which axes of the layer's variables hold which channels, ties channels that
must be kept or dropped together, and returns the channels of the output. What no rule understands is held: all its
channels stay, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.graph.calls import Call, kind_of
from learn2compress.graph.ledger import Ledger
from learn2compress.graph.walk import activation_name

Channels = NDArray[np.int64]
Shape = tuple[int | None, ...]
Rule = Callable[[Call, list[Channels], list[Shape], Shape, Ledger], Channels]

# Activations of which each output channel depends on its own input channel alone.
_ELEMENTWISE = """
    celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    mish relu relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus swish tanh
    tanh_shrink threshold
"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())


def rule_for(call: Call) -> Rule | None:
    """The rule for a layer or operation; None where none is known."""
    rules = LAYER_RULES if isinstance(call.operation, keras.Layer) else OPERATION_RULES
    rule = rules.get(kind_of(call.operation))
    understood = len(call.outputs) == 1 and (len(call.inputs) == 1 or rule in (_merge, _concatenate))
    return rule if understood else None


def hold(call: Call, inputs: list[Channels], reason: str, out: Shape, ledger: Ledger) -> Channels:
    """All channels that go into the call stay, and so do those that come out."""
    for channels in inputs:
        ledger.hold(channels, reason)
    made = ledger.make(_last(out))
    ledger.hold(made, reason)
    return made


def _last(shape: Shape) -> int:
    return int(shape[-1] or 1) if len(shape) > 1 else 1


def _variable(layer: Any, *names: str) -> list[tuple[int, Any]]:
    """The position in `layer.weights` of each variable of these attribute names that the layer has."""
    found = []
    for name in names:
        variable = getattr(layer, name, None)
        position = next((i for i, v in enumerate(layer.weights) if v is variable), None)
        if position is not None:
            found.append((position, variable))
    return found


def _activated(layer: Any, channels: Channels, ledger: Ledger) -> Channels:
    """Holds the channels where the layer's own activation mixes them, or may: it is not Keras'."""
    name = activation_name(layer)
    if name is not None and name not in ELEMENTWISE:
        ledger.hold(channels, f"{layer.name} has the activation {name}")
    return channels


def _first_call_or_tied(call: Call, taken: Channels, made: int, ledger: Ledger) -> tuple[Channels, bool]:
    """The channels a layer makes; at its second call those of the first, whose inputs are tied to these."""
    known = ledger.made_by(call.operation)
    if known is not None:
        before, outputs = known
        ledger.tie(before, taken)
        return outputs, False
    outputs = ledger.make(made)
    ledger.remember(call.operation, taken, outputs)
    return outputs, True


def _weights(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """Conv1D, Conv2D, Conv3D, Dense: kernel (..., in, out)."""
    layer, taken = call.operation, inputs[0]
    outputs, first = _first_call_or_tied(call, taken, _last(out), ledger)
    if not first:
        return outputs
    kernel = _variable(layer, "kernel")
    if len(kernel) != 1:
        ledger.hold(np.concatenate([taken, outputs]), f"{layer.name} has no kernel of its own")
        return outputs
    position, axes = kernel[0][0], len(kernel[0][1].shape)
    groups = getattr(layer, "groups", 1)
    ledger.uses(layer, position, axes - 1, outputs)
    if groups == 1:
        ledger.uses(layer, position, axes - 2, taken)
    else:
        # A group of a grouped convolution goes as a whole, with all that it takes and makes.
        inside = np.concatenate([taken.reshape(groups, -1), outputs.reshape(groups, -1)], axis=1)
        ledger.tie(inside[:, :-1].ravel(), inside[:, 1:].ravel())
    for position, _ in _variable(layer, "bias"):
        ledger.uses(layer, position, 0, outputs)
    return _activated(layer, outputs, ledger)


def _transposed(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """Conv2DTranspose: kernel (h, w, out, in)."""
    layer, taken = call.operation, inputs[0]
    outputs, first = _first_call_or_tied(call, taken, _last(out), ledger)
    if first:
        for position, kernel in _variable(layer, "kernel"):
            ledger.uses(layer, position, len(kernel.shape) - 2, outputs)
            ledger.uses(layer, position, len(kernel.shape) - 1, taken)
        for position, _ in _variable(layer, "bias"):
            ledger.uses(layer, position, 0, outputs)
    return _activated(layer, outputs, ledger)


def _depthwise(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """DepthwiseConv2D: kernel (h, w, in, multiplier); output channels come `multiplier` to an input channel."""
    layer, taken = call.operation, inputs[0]
    outputs = np.repeat(taken, layer.depth_multiplier)
    if ledger.tied_to_first(layer, taken):
        return outputs
    for position, kernel in _variable(layer, "kernel"):
        ledger.uses(layer, position, len(kernel.shape) - 2, taken)
    for position, _ in _variable(layer, "bias"):
        ledger.uses(layer, position, 0, outputs)
    return _activated(layer, outputs, ledger)


def _separable(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """SeparableConv2D: a depthwise and a pointwise kernel in one layer."""
    layer, taken = call.operation, inputs[0]
    outputs, first = _first_call_or_tied(call, taken, _last(out), ledger)
    if first:
        for position, kernel in _variable(layer, "depthwise_kernel"):
            ledger.uses(layer, position, len(kernel.shape) - 2, taken)
        for position, kernel in _variable(layer, "pointwise_kernel"):
            ledger.uses(layer, position, len(kernel.shape) - 2, np.repeat(taken, layer.depth_multiplier))
            ledger.uses(layer, position, len(kernel.shape) - 1, outputs)
        for position, _ in _variable(layer, "bias"):
            ledger.uses(layer, position, 0, outputs)
    return _activated(layer, outputs, ledger)


def _vectors(*names: str) -> Callable[..., Channels]:
    """A layer with one number a channel in each of these variables."""

    def rule(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
        layer, taken = call.operation, inputs[0]
        if not ledger.tied_to_first(layer, taken):
            for position, variable in _variable(layer, *names):
                if tuple(variable.shape) != (len(taken),):
                    return hold(call, inputs, f"{layer.name} has a {variable.name} of another shape", out, ledger)
                ledger.uses(layer, position, 0, taken)
        return taken

    return rule


def _on_last_axis(layer: Any, rank: int) -> bool:
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    return [axis % rank for axis in axes] == [rank - 1]


def _batch_norm(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    if not _on_last_axis(call.operation, len(shapes[0])):
        return hold(call, inputs, f"{call.name} normalizes another axis than the channels", out, ledger)
    return _vectors("gamma", "beta", "moving_mean", "moving_variance")(call, inputs, shapes, out, ledger)


def _layer_norm(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    if not _on_last_axis(call.operation, len(shapes[0])):
        return hold(call, inputs, f"{call.name} normalizes another axis than the channels", out, ledger)
    # Its mean is over all channels: without one of them the others change, if only a little.
    ledger.mark_mixed(inputs[0])
    return _vectors("gamma", "beta")(call, inputs, shapes, out, ledger)


def _group_norm(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    layer, taken = call.operation, inputs[0]
    if not _on_last_axis(layer, len(shapes[0])):
        return hold(call, inputs, f"{call.name} normalizes another axis than the channels", out, ledger)
    groups = len(taken) if layer.groups == -1 else layer.groups
    inside = taken.reshape(groups, -1)
    ledger.tie(inside[:, :-1].ravel(), inside[:, 1:].ravel())
    return _vectors("gamma", "beta")(call, inputs, shapes, out, ledger)


def _prelu(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    layer, taken = call.operation, inputs[0]
    if not ledger.tied_to_first(layer, taken):
        for position, alpha in _variable(layer, "alpha"):
            if alpha.shape[-1] == len(taken):
                ledger.uses(layer, position, len(alpha.shape) - 1, taken)
    return taken


def _pass(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """Layers without variables that treat every channel by itself."""
    if _last(out) != len(inputs[0]):
        return hold(call, inputs, f"{call.name} changes the number of channels", out, ledger)
    return _activated(call.operation, inputs[0], ledger)


def _dropout(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    noise_shape = call.operation.noise_shape
    if noise_shape is not None and noise_shape[-1] not in (None, 1):
        return hold(call, inputs, f"{call.name} has the channels in its noise_shape", out, ledger)
    return _pass(call, inputs, shapes, out, ledger)


def _rescaling(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    layer = call.operation
    if np.size(layer.scale) > 1 or np.size(layer.offset) > 1:
        ledger.hold(inputs[0], f"{layer.name} has one scale a channel")
    return inputs[0]


def _normalization(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    # Its mean and variance are settings as much as weights; it stands at the input, whose channels stay anyway.
    ledger.hold(inputs[0], f"{call.operation.name} has one mean a channel")
    return inputs[0]


def _spatial_only(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """Pooling, padding, cropping, resizing."""
    if getattr(call.operation, "data_format", "channels_last") != "channels_last":
        return hold(call, inputs, f"{call.name} has the channels first", out, ledger)
    return _pass(call, inputs, shapes, out, ledger)


def _channels_last(rule: Rule) -> Rule:
    def checked(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
        if getattr(call.operation, "data_format", "channels_last") == "channels_first":
            return hold(call, inputs, f"{call.name} has the channels first", out, ledger)
        return rule(call, inputs, shapes, out, ledger)

    return checked


def _has_constants(call: Call) -> bool:
    """Whether arrays are among the arguments (`x + y` may be of a tensor and an array)."""
    return any(
        np.size(value) > 1
        for value in keras.tree.flatten((call.node.arguments.args, call.node.arguments.kwargs))
        if value is not None and not isinstance(value, keras.KerasTensor | str | bool)
    )


def _merge(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """Add, Multiply, Average, ...: channels at the same place are tied; a single one is broadcast."""
    if _has_constants(call):
        return hold(call, inputs, f"{call.name} has a constant of one value a channel", out, ledger)
    count = _last(out)
    whole = [channels for channels in inputs if len(channels) == count]
    if not whole:
        return hold(call, inputs, f"{call.name} takes inputs of other shapes than it gives", out, ledger)
    for channels in inputs:
        if len(channels) == count:
            ledger.tie(whole[0], channels)
        else:
            ledger.hold(channels, f"{call.name} broadcasts it over the channels")
    return whole[0]


def _concatenate(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    axis = getattr(call.operation, "axis", -1) % len(out)
    if axis == len(out) - 1 and not _has_constants(call):
        return np.concatenate(inputs)
    return _merge(call, inputs, shapes, out, ledger)


def _flatten(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """Flatten, Reshape: every element keeps its channel; where rows are cut anew, channels are tied."""
    layer, taken = call.operation, inputs[0]
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        return hold(call, inputs, f"{layer.name} has the channels first", out, ledger)
    if hasattr(layer, "target_shape"):
        # A second call has the same target.
        ledger.tied_to_first(layer, taken)
    before, count = shapes[0][1:], _last(out)
    if count == len(taken) and None not in before[:-1]:
        return taken
    if None in before or len(before) == 0:
        return hold(call, inputs, f"{layer.name} reshapes a tensor of unknown size", out, ledger)
    elements = np.tile(taken, math.prod(int(n or 1) for n in before[:-1]))
    if len(out) < 2 or len(elements) % count:
        return hold(call, inputs, f"{layer.name} reshapes across channels", out, ledger)
    rows = elements.reshape(-1, count)
    for row in rows[1:]:
        ledger.tie(rows[0], row)
    return rows[0]


def _pooled(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    """A mean or maximum over axes that are not the channels."""
    axis = getattr(call.operation, "axis", None)
    axes = [axis] if isinstance(axis, int) else list(axis or [])
    rank = len(shapes[0])
    if not axes or rank - 1 in [a % rank for a in axes]:
        return hold(call, inputs, f"{call.name} reduces over the channels", out, ledger)
    return inputs[0]


def _embedding(call: Call, inputs: list[Channels], shapes: list[Shape], out: Shape, ledger: Ledger) -> Channels:
    layer = call.operation
    ledger.hold(inputs[0], f"{layer.name} takes numbers, not channels")
    outputs, first = _first_call_or_tied(call, inputs[0], _last(out), ledger)
    if first:
        for position, _ in _variable(layer, "embeddings", "_embeddings"):
            ledger.uses(layer, position, 1, outputs)
    return outputs


def _named(rule: Rule, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


def _dimensions(kind: str, of: Sequence[int] = (1, 2, 3)) -> tuple[str, ...]:
    return tuple(f"{kind}{n}D" for n in of)


LAYER_RULES: dict[str, Rule] = {
    **_named(_channels_last(_weights), "Dense", *_dimensions("Conv")),
    **_named(_channels_last(_transposed), *(f"Conv{n}DTranspose" for n in (1, 2, 3))),
    **_named(_channels_last(_depthwise), *_dimensions("DepthwiseConv", (1, 2))),
    **_named(_channels_last(_separable), *_dimensions("SeparableConv", (1, 2))),
    **_named(_batch_norm, "BatchNormalization", "FusedBatchNormalization"),
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "LayerScale": _vectors("gamma"),
    "PReLU": _prelu,
    **_named(_pass, "Activation", "ReLU", "ReLU6", "LeakyReLU", "ELU", "Identity", "ActivityRegularization"),
    **_named(_pass, "GaussianDropout", "GaussianNoise", "StochasticDepth"),
    **_named(_dropout, "Dropout", "AlphaDropout"),
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    **_named(_spatial_only, *_dimensions("SpatialDropout"), *_dimensions("ZeroPadding"), *_dimensions("Cropping")),
    **_named(_spatial_only, *_dimensions("MaxPooling"), *_dimensions("AveragePooling"), *_dimensions("UpSampling")),
    **_named(_spatial_only, *_dimensions("GlobalMaxPooling"), *_dimensions("GlobalAveragePooling"), "Resizing"),
    **_named(_spatial_only, "CenterCrop", "RandomCrop", "RandomFlip", "RandomRotation", "RandomTranslation"),
    **_named(_spatial_only, "RandomZoom"),
    **_named(_merge, "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "CustomScaleLayer"),
    "Concatenate": _concatenate,
    **_named(_flatten, "Flatten", "Reshape"),
    "Embedding": _embedding,
}

OPERATION_RULES: dict[str, Rule] = {
    **_named(_merge, "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum"),
    **_named(
        _pass, "Relu", "Relu6", "Sigmoid", "HardSigmoid", "Silu", "HardSilu", "Tanh", "Gelu", "Elu", "LeakyRelu"
    ),
    **_named(_pass, "Softplus", "Exp", "Sqrt", "Square", "Abs", "Absolute", "Negative", "Identity", "Clip"),
    **_named(_pooled, "Mean", "Max"),
    "Concatenate": _concatenate,
}
